package main

import (
	"testing"

	millstream "millstream.example/millstream/guest-sdk/go"
)

func TestLoginsAreKept(t *testing.T) {
	for value, kept := range map[string]bool{"User: Alice, Action: Login": true, "User: Alice, Action: Logout": false} {
		if keeps, err := keep(millstream.Record{Value: []byte(value)}); keeps != kept || err != nil {
			t.Errorf("%q: %v, %v", value, keeps, err)
		}
	}
	if _, err := keep(millstream.Record{Value: []byte("\xff")}); err == nil {
		t.Error("a value that is no text was not refused")
	}
}
