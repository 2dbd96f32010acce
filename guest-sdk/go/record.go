package millstream

import (
	"errors"
	"unicode/utf8"
)

// Record is a record, borrowed from the columns of its batch: reading one copies nothing. Its bytes are the function's
// only until it returns; who keeps them longer copies them.
type Record struct {
	// Key: nil when the record has none; an empty key is not nil.
	Key []byte
	// Value: nil when the record has none (in a table: a tombstone); an empty value is not nil.
	Value []byte
	// Timestamp is event time, milliseconds since 1970-01-01T00:00:00Z.
	Timestamp int64

	facts *Facts
	index int
}

// Text is the value as text. A value that is not there or not UTF-8 is refused.
func (r Record) Text() (string, error) {
	if r.Value == nil {
		return "", Reject("the record has no value")
	}
	if !utf8.Valid(r.Value) {
		return "", Reject("the value is not UTF-8")
	}
	return string(r.Value), nil
}

// Headers are the record's headers in order; a name may come several times, a value may be nil.
func (r Record) Headers() []Header {
	if r.facts == nil {
		return nil
	}
	headers := r.facts.headers()
	if headers == nil {
		return nil
	}
	return headers.of(r.index, nil)
}

// Header is the value of the last header of this name; nil when there is none, or its value is null.
func (r Record) Header(name string) []byte {
	var value []byte
	for _, header := range r.Headers() {
		if header.Name == name {
			value = header.Value
		}
	}
	return value
}

// StreamTime is the step's stream time once this record is in, milliseconds; 0 where nobody knows it (tests).
func (r Record) StreamTime() int64 {
	if r.facts == nil {
		return 0
	}
	return r.facts.streamTime(r.index)
}

// Window is the window of the record's key; nil where keys have no window.
func (r Record) Window() *Window {
	if r.facts == nil {
		return nil
	}
	return r.facts.window(r.index)
}

// Input says which of the step's inputs, in the manifest's order, the record came from; 0 where there is only one.
func (r Record) Input() int {
	if r.facts == nil {
		return 0
	}
	return r.facts.input(r.index)
}

// Header is a header of a record; a nil value is null.
type Header struct {
	Name  string
	Value []byte
}

// Window is a time window, milliseconds since 1970-01-01T00:00:00Z: Start is in it, End no longer.
type Window struct {
	Start, End int64
}

// Group is what an aggregator folds records into.
type Group struct {
	// Key is what all of its records have.
	Key []byte
	// Window: nil when there is none.
	Window *Window
}

// Reject makes the error by which a function refuses a record: the pipeline's `on-error` decides its fate, and the
// other records go on. The reason is for people: what about the record is wrong. Any other error that a function
// returns for a record refuses it just so, with its text; a panic fails the whole call instead.
func Reject(reason string) error { return errors.New(reason) }
