package millstream

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// TestHost has stores and timers for tests of processors: they are there when the test asks, and nothing fires by itself.
// The zero value has none.
type TestHost struct {
	// Stores: by store, values by key.
	Stores map[string]map[string][]byte
	// Timers that are set, in the order in which they would fire: by due time, then key (the task's first), then name.
	Timers []Timer
	// Asked is how many questions were asked of it: what a function costs besides its own work.
	Asked int
}

// Process gives the results of one record and the error with which it was refused. Of a refused record nothing stays.
func (h *TestHost) Process(processor Processor, record Record) ([]Result, error) {
	batch, before := batchOfOne(record), h.copied()
	var refused error
	columns := Process(func(record Record, out *Output, call *Call) error {
		refused = processor(record, out, call)
		return refused
	}, batch, h)
	h.backIf(refused, before)
	return columns.resultsOf(batch), refused
}

// Fire gives the results of one timer and the error with which it was refused. The timer need not be set, and is gone
// afterwards unless onTimer sets it again; of one that was refused nothing else stays.
func (h *TestHost) Fire(onTimer OnTimer, timer Timer) ([]Result, error) {
	h.drop(timer)
	batch, before := BatchOf(Record{Key: timer.Key, Value: []byte(timer.Name), Timestamp: timer.Due}), h.copied()
	var refused error
	columns := Fire(func(timer Timer, out *Output, call *Call) error {
		refused = onTimer(timer, out, call)
		return refused
	}, timer.Clock, batch, h)
	h.backIf(refused, before)
	return columns.resultsOf(batch), refused
}

func (h *TestHost) copied() TestHost {
	stores := maps.Clone(h.Stores)
	for name, entries := range stores {
		stores[name] = maps.Clone(entries)
	}
	return TestHost{Stores: stores, Timers: slices.Clone(h.Timers)}
}

// backIf: a call in which something was refused is forgotten, with what a range in it has sent.
func (h *TestHost) backIf(refused error, before TestHost) {
	if refused != nil {
		h.Stores, h.Timers = before.Stores, before.Timers
	}
}

func (h *TestHost) get(store string, key []byte) []byte {
	h.Asked++
	return h.Stores[store][string(key)]
}

func (h *TestHost) put(store string, keys, values *Column) {
	h.Asked++
	if h.Stores == nil {
		h.Stores = map[string]map[string][]byte{}
	}
	if h.Stores[store] == nil {
		h.Stores[store] = map[string][]byte{}
	}
	for index := range keys.Len() {
		key, value := string(keys.Get(index)), values.Get(index)
		if value == nil {
			delete(h.Stores[store], key)
		} else {
			h.Stores[store][key] = value
		}
	}
}

func (h *TestHost) entries(store string, start, end []byte, limit uint32) (keys, values Column) {
	h.Asked++
	keys, values = *NewColumn(0, 0), *NewColumn(0, 0)
	for _, key := range slices.Sorted(maps.Keys(h.Stores[store])) {
		if key < string(start) {
			continue
		}
		if len(end) > 0 && key >= string(end) || keys.Len() == int(limit) {
			break
		}
		keys.Push([]byte(key))
		values.Push(h.Stores[store][key])
	}
	return keys, values
}

func (h *TestHost) setTimers(clock Clock, keys *Column, name string, due []int64) {
	h.Asked++
	for index, time := range due {
		timer := Timer{clock, keys.Get(index), name, time}
		h.drop(timer)
		at, _ := slices.BinarySearchFunc(h.Timers, timer, byFiring)
		h.Timers = slices.Insert(h.Timers, at, timer)
	}
}

func (h *TestHost) cancelTimers(clock Clock, keys *Column, name string) {
	h.Asked++
	for index := range keys.Len() {
		h.drop(Timer{clock, keys.Get(index), name, 0})
	}
}

// drop takes away a timer with the same clock, key and name.
func (h *TestHost) drop(timer Timer) {
	h.Timers = slices.DeleteFunc(h.Timers, func(set Timer) bool {
		return set.Clock == timer.Clock && byKey(set, timer) == 0 && set.Name == timer.Name
	})
}

func byFiring(one, other Timer) int {
	name, clock := cmp.Compare(one.Name, other.Name), cmp.Compare(one.Clock, other.Clock)
	return cmp.Or(cmp.Compare(one.Due, other.Due), byKey(one, other), name, clock)
}

// byKey: a timer of the task is the first.
func byKey(one, other Timer) int {
	switch {
	case one.Key == nil && other.Key != nil:
		return -1
	case one.Key != nil && other.Key == nil:
		return 1
	}
	return bytes.Compare(one.Key, other.Key)
}
