package millstream

import "unsafe"

// Store is a store of a step as the call at hand sees it: with what was written before.
type Store struct {
	call *Call
	name string
	// entries are in the order in which they were first seen; places says where they are.
	entries []held
	places  map[string]int
	// written are the places of entries that were written since they last went to the host; some may be there for nothing.
	written []int
}

// held is an entry as the call sees it; of a nil value it is not there.
type held struct {
	key, value []byte
	// Not known: the host was not asked yet.
	known, written bool
}

// Entry is an entry of a store.
type Entry struct {
	Key, Value []byte
}

// Get is the value of a key; nil when there is none. It stays until the call ends, and is not to be changed. A nil key
// panics.
func (s *Store) Get(key []byte) []byte {
	place := s.place(key)
	if !s.entries[place].known {
		value := s.call.host.get(s.name, key)
		s.call.bytes += len(value)
		s.entries[place].value, s.entries[place].known = value, true
	}
	return s.entries[place].value
}

// Put sets the value of a key; a nil value removes the key. Both are copied. A nil key panics.
func (s *Store) Put(key, value []byte) {
	place := s.place(key)
	s.call.undo = append(s.call.undo, undo{s, place, s.entries[place]})
	s.restore(place, held{s.entries[place].key, s.call.copied(value), true, true})
	s.call.puts = (*Call).putAll
}

// Remove removes a key, where it is there. A nil key panics.
func (s *Store) Remove(key []byte) { s.Put(key, nil) }

// Range gives entries with start <= key < end in the order of keys, at most limit of them; an empty end is no bound. They
// stay until the call ends, and are not to be changed. What was written before is among them. A host gives 65,536 entries or
// 64 MiB at the most, and fails the call where there are more.
func (s *Store) Range(start, end []byte, limit uint32) []Entry {
	// The host puts what this call wrote in its place among the others. Should the record be refused all the same, the host
	// forgets the call and asks again without it.
	s.call.flush()
	keys, values := s.call.host.entries(s.name, start, end, limit)
	s.call.bytes += len(keys.Data) + len(values.Data)
	found := make([]Entry, keys.Len())
	for index := range found {
		found[index] = Entry{keys.Get(index), values.Get(index)}
	}
	return found
}

// place is where the entry of a key is, which is made when the call does not have it yet.
func (s *Store) place(key []byte) int {
	if key == nil {
		panic("a key of a store is nil; only records and timers may be without one")
	}
	if place, found := s.places[string(key)]; found {
		return place
	}
	own := s.call.copied(key)
	s.call.bytes += heldBytes
	place := len(s.entries)
	s.entries = append(s.entries, held{key: own})
	// The copy never changes.
	s.places[unsafe.String(unsafe.SliceData(own), len(own))] = place
	return place
}

// restore makes an entry what it shall be.
func (s *Store) restore(place int, entry held) {
	if entry.written && !s.entries[place].written {
		s.written = append(s.written, place)
	}
	s.entries[place] = entry
}

// flush hands what was written over.
func (s *Store) flush() {
	// Room for all of it at once: columns that grow leave several times as many bytes to the collector, and a function's
	// memory is small.
	keyBytes, valueBytes := 0, 0
	for _, place := range s.written {
		keyBytes, valueBytes = keyBytes+len(s.entries[place].key), valueBytes+len(s.entries[place].value)
	}
	keys, values := NewColumn(len(s.written), keyBytes), NewColumn(len(s.written), valueBytes)
	for _, place := range s.written {
		entry := &s.entries[place]
		if entry.written {
			entry.written = false
			keys.Push(entry.key)
			values.Push(entry.value)
		}
	}
	s.written = s.written[:0]
	if keys.Len() > 0 {
		s.call.host.put(s.name, keys, values)
	}
}
