// A processor with two stores and a migrator of both: for the test of what such a program exports.
package main

import (
	"fmt"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/migrator"
	"millstream.example/millstream/guest-sdk/go/processor"
)

// layouts: from layout 1 on an entry of `names` begins with its key, and one of `counts` ends with a dot.
type layouts struct{}

func (layouts) Layouts() millstream.Layouts {
	return millstream.Layouts{Current: 1, Reads: []uint32{0}}
}

func (layouts) Migrate(stored millstream.Stored, _, _ uint32) ([]byte, error) {
	switch stored.Store {
	case "names":
		return fmt.Appendf(nil, "%s=%s", stored.Key, stored.State), nil
	case "counts":
		return append(stored.State, '.'), nil
	}
	return nil, fmt.Errorf("there is no store `%s`", stored.Store)
}

func keep(record millstream.Record, _ *millstream.Output, call *millstream.Call) error {
	call.Store("names").Put(record.Key, record.Value)
	return nil
}

func init() {
	processor.Export(keep)
	migrator.Export(layouts{})
}

func main() {}
