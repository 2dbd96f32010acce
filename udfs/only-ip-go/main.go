// Keeps lines that carry an address. Whether the address is one is not its matter.
package main

import (
	"bytes"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/filter"
)

var field = []byte("IP:")

// onlyIP says whether the value contains `IP:`.
func onlyIP(record millstream.Record) (bool, error) {
	return bytes.Contains(record.Value, field), nil
}

func init() { filter.Export(onlyIP) }

func main() {}
