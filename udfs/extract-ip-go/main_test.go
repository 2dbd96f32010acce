package main

import (
	"reflect"
	"strings"
	"testing"

	millstream "millstream.example/millstream/guest-sdk/go"
)

const line = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login"

func TestAddressAndTimeOfALine(t *testing.T) {
	results, err := millstream.Map(extractIP, millstream.Record{Value: []byte(line)})
	expected := []millstream.Result{{Key: []byte("192.168.1.1"), Value: []byte(line), Timestamp: 1_619_879_400_000}}
	if err != nil || !reflect.DeepEqual(results, expected) {
		t.Errorf("%v, %v", results, err)
	}
}

func TestTimes(t *testing.T) {
	const none = -1
	for text, expected := range map[string]int64{
		"1970-01-01 00:00:00": 0,
		"0000-01-01 00:00:00": -62_167_219_200_000,
		"9999-12-31 23:59:59": 253_402_300_799_000,
		"2000-02-29 23:59:59": 951_868_799_000,
		"2024-03-01 00:00:00": 1_709_251_200_000,
		"1900-02-29 00:00:00": none,
		"2021-13-01 00:00:00": none,
		"2021-00-01 00:00:00": none,
		"2021-04-31 00:00:00": none,
		"2021-05-01 24:00:00": none,
		"2021-05-0x 10:00:00": none,
		"2021-05-01T10:00:00": none,
	} {
		if found, ok := milliseconds([]byte(text)); ok != (expected != none) || ok && found != expected {
			t.Errorf("%s: %d, %v", text, found, ok)
		}
	}
}

func TestALineThatDoesNotParseSaysWhy(t *testing.T) {
	for text, expected := range map[string]string{
		"":                     "the line does not start with [YYYY-MM-DD hh:mm:ss]",
		"[2021-05-01 14:30:00": "the line does not start with [YYYY-MM-DD hh:mm:ss]",
		strings.Replace(line, "05-01", "05-32", 1): "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss",
		"[1969-12-31 23:59:59] IP: ::1":            "the bracketed time is before 1970",
		"[2021-05-01 14:30:00] User: Alice":        "the line has no field IP",
		"[2021-05-01 14:30:00] IP: , User: Alice":  "the field IP is empty",
	} {
		if _, _, err := parse([]byte(text)); err == nil || err.Error() != expected {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheValueColumnIsNotSent(t *testing.T) {
	out := millstream.Apply(extractIP, millstream.BatchOf(millstream.Record{Value: []byte(line)}))
	if out.Values != nil || out.Sources != nil || out.Keys == nil || out.Timestamps == nil {
		t.Errorf("%+v", out)
	}
}
