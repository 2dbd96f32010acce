// Package lifecycle exports the contract's `lifecycle`: several functions in one file, and settings. A component has this
// interface when its program imports this package.
package lifecycle

import (
	"fmt"
	"strings"

	millstream "millstream.example/millstream/guest-sdk/go"
)

// Function is one function of a file.
type Function struct {
	// Name is by what a manifest picks it.
	Name string
	// Interfaces are the contract's that answer for it: "filter", or "aggregator" and "merger".
	Interfaces []string
	// Summary is a line for people.
	Summary string
	// SettingsSchema is the JSON Schema of its settings; empty: it takes none.
	SettingsSchema string
	// Start makes it from its settings and exports it: filter.Export and the like. An error refuses the version.
	Start func(settings *millstream.Settings) error
}

var exported []Function

// Export makes these the functions of the file. Call it from init.
func Export(functions ...Function) { exported = functions }

// Start makes this instance the function of this name; an empty name is the only function of a file with one. The host
// does so once; natively it is for tests.
func Start(name string, settings *millstream.Settings) error {
	var known []string
	for _, function := range exported {
		if function.Name == name || name == "" && len(exported) == 1 {
			if err := function.Start(settings); err != nil {
				return err
			}
			return settings.AllKnown()
		}
		known = append(known, "`"+function.Name+"`")
	}
	if name == "" {
		return fmt.Errorf("which of its functions is meant: %s?", strings.Join(known, ", "))
	}
	return fmt.Errorf("there is no function `%s` in this file; there are %s", name, strings.Join(known, ", "))
}
