package main

import (
	"testing"

	millstream "millstream.example/millstream/guest-sdk/go"
)

func TestLinesWithAnAddressAreKept(t *testing.T) {
	for value, kept := range map[string]bool{
		"[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice": true,
		"IP:":            true,
		"IP 192.168.1.1": false,
		"IP":             false,
		"":               false,
	} {
		if keep, err := onlyIP(millstream.Record{Value: []byte(value)}); keep != kept || err != nil {
			t.Errorf("%q: %v, %v", value, keep, err)
		}
	}
	if keep, err := onlyIP(millstream.Record{}); keep || err != nil {
		t.Errorf("no value: %v, %v", keep, err)
	}
}
