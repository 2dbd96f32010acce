package lifecycle

import (
	"errors"
	"testing"

	millstream "millstream.example/millstream/guest-sdk/go"
)

func TestAFunctionIsStartedByItsNameAndSettings(t *testing.T) {
	started := ""
	Export(Function{Name: "a", Start: func(settings *millstream.Settings) error {
		started, _ = settings.Get("least")
		return nil
	}}, Function{Name: "b", Start: func(*millstream.Settings) error { return errors.New("never") }})
	if err := Start("a", millstream.SettingsOf("least", "3")); err != nil || started != "3" {
		t.Error(err, started)
	}
	for _, one := range []struct{ name, given, expected string }{
		{"a", "last", "there is no setting `last`; there are `least`"},
		{"b", "x", "never"},
		{"c", "x", "there is no function `c` in this file; there are `a`, `b`"},
		{"", "x", "which of its functions is meant: `a`, `b`?"},
	} {
		if err := Start(one.name, millstream.SettingsOf(one.given, "3")); err == nil || err.Error() != one.expected {
			t.Errorf("%+v: %v", one, err)
		}
	}
	Export(exported[0])
	if err := Start("", millstream.SettingsOf()); err != nil {
		t.Error(err)
	}
}
