// Keeps access-log lines of logins.
package main

import (
	"strings"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/filter"
)

// keep says whether the line has `Action: Login`. A value that is no text is refused.
func keep(record millstream.Record) (bool, error) {
	text, err := record.Text()
	return strings.Contains(text, "Action: Login"), err
}

func init() { filter.Export(keep) }

func main() {}
