package millstream

// Host has the stores and timers of a call: in a component the one that calls, in tests a TestHost. Its methods are asked by
// the SDK alone.
type Host interface {
	// get: nil when the key is not there.
	get(store string, key []byte) []byte
	// put: a null value removes its key.
	put(store string, keys, values *Column)
	// entries are those with start <= key < end in the order of keys, at most limit; an empty end is no bound.
	entries(store string, start, end []byte, limit uint32) (keys, values Column)
	setTimers(clock Clock, keys *Column, name string, due []int64)
	cancelTimers(clock Clock, keys *Column, name string)
}
