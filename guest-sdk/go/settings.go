package millstream

import (
	"fmt"
	"strings"
)

// Settings is what the manifest gives a function under `config`: text by name; nested values are JSON text. It remembers
// which settings were asked for, so that one nobody asks for (a slip of the pen) is refused.
type Settings struct {
	names, values, asked []string
}

// SettingsOf makes settings of names and values in turn, for tests.
func SettingsOf(pairs ...string) *Settings {
	settings := &Settings{}
	for index := 0; index+1 < len(pairs); index += 2 {
		settings.Put(pairs[index], pairs[index+1])
	}
	return settings
}

// Put adds a setting.
func (s *Settings) Put(name, value string) {
	s.names, s.values = append(s.names, name), append(s.values, value)
}

// Get is the text of a setting, and whether it is given.
func (s *Settings) Get(name string) (string, bool) {
	s.asked = append(s.asked, name)
	for index, given := range s.names {
		if given == name {
			return s.values[index], true
		}
	}
	return "", false
}

// Required is the text of a setting that must be given.
func (s *Settings) Required(name string) (string, error) {
	value, given := s.Get(name)
	if !given {
		return "", fmt.Errorf("the setting `%s` is missing", name)
	}
	return value, nil
}

// AllKnown refuses settings that nobody asked for.
func (s *Settings) AllKnown() error {
	var known []string
	for _, name := range s.asked {
		known = append(known, "`"+name+"`")
	}
	for _, name := range s.names {
		switch {
		case strings.Contains(strings.Join(known, ""), "`"+name+"`"):
		case len(known) == 0:
			return fmt.Errorf("it takes no settings, and `%s` was given", name)
		default:
			return fmt.Errorf("there is no setting `%s`; there are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
