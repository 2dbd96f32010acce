package millstream

// Call is what a processor has besides the record or the timer at hand: the stores and timers of its step. It is good until
// the function returns. What is written is held here and goes to the host at once, at the end of the host's call.
type Call struct {
	host   Host
	stores []*Store
	// undo has what was there before each write for the record at hand.
	undo    []undo
	changes []change
	// How writes and changes go to the host: nil as long as there are none, so that a function without any does not import
	// them.
	puts, sends func(*Call)
	// earliest is the earliest event time for which a timer was set.
	earliest    int64
	hasEarliest bool
	before      mark
	// bytes is about how many the call has taken for stores and timers.
	bytes int
	// room is where copies are made.
	room []byte
}

// mark is where a call was before the record at hand.
type mark struct {
	changes     int
	earliest    int64
	hasEarliest bool
}

type undo struct {
	store *Store
	place int
	held  held
}

// change is one of a timer.
type change struct {
	clock   Clock
	cancels bool
	key     []byte
	name    string
	due     int64
}

// About how many bytes an entry and a change take besides their own.
const (
	heldBytes   = 128
	changeBytes = 64
)

// Store is a store of the step, by the name that the manifest gives it. A name that the manifest does not have fails the
// call.
func (c *Call) Store(name string) *Store {
	for _, store := range c.stores {
		if store.name == name {
			return store
		}
	}
	store := &Store{call: c, name: name, places: map[string]int{}}
	c.stores = append(c.stores, store)
	return store
}

// SetTimer sets a timer. There is one for each clock, key and name: setting it again moves it. A nil key: it is the task's;
// name is UTF-8, due in milliseconds since 1970-01-01T00:00:00Z.
func (c *Call) SetTimer(clock Clock, key []byte, name string, due int64) {
	if clock == EventTime && (!c.hasEarliest || due < c.earliest) {
		c.earliest, c.hasEarliest = due, true
	}
	c.change(change{clock, false, c.copied(key), name, due})
}

// CancelTimer cancels a timer, where there is one.
func (c *Call) CancelTimer(clock Clock, key []byte, name string) {
	c.change(change{clock, true, c.copied(key), name, 0})
}

func (c *Call) change(made change) {
	c.changes = append(c.changes, made)
	c.bytes += changeBytes + len(made.name)
	c.sends = (*Call).sendAll
}

// sendAll hands changes of timers over in their order; those that follow each other and are alike go together.
func (c *Call) sendAll() {
	for from, to := 0, 0; from < len(c.changes); from = to {
		first := c.changes[from]
		keys, due := NewColumn(0, 0), []int64(nil)
		for ; to < len(c.changes) && c.changes[to].isLike(first); to++ {
			keys.Push(c.changes[to].key)
			due = append(due, c.changes[to].due)
		}
		if first.cancels {
			c.host.cancelTimers(first.clock, keys, first.name)
		} else {
			c.host.setTimers(first.clock, keys, first.name, due)
		}
	}
	c.changes = c.changes[:0]
}

func (c change) isLike(other change) bool {
	return c.clock == other.clock && c.cancels == other.cancels && c.name == other.name
}

// putAll hands over what was written into stores.
func (c *Call) putAll() {
	for _, store := range c.stores {
		store.flush()
	}
}

// flush hands everything over.
func (c *Call) flush() {
	if c.puts != nil {
		c.puts(c)
	}
	if c.sends != nil {
		c.sends(c)
	}
}

// begin goes on with a record, or with a timer.
func (c *Call) begin() {
	c.undo = c.undo[:0]
	c.before = mark{len(c.changes), c.earliest, c.hasEarliest}
}

// forget: the record at hand is refused, and what was written for it never was.
func (c *Call) forget() {
	for index := len(c.undo) - 1; index >= 0; index-- {
		before := c.undo[index]
		before.store.restore(before.place, before.held)
	}
	// A range may have sent those before it too.
	c.changes = c.changes[:min(len(c.changes), c.before.changes)]
	c.earliest, c.hasEarliest = c.before.earliest, c.before.hasEarliest
}

// roomBytes is how many bytes are taken at once for copies.
const roomBytes = 16 << 10

// copied is a copy that stays until the call ends, whatever becomes of the bytes; nil stays nil, and what is empty does not
// become nil.
func (c *Call) copied(bytes []byte) []byte {
	if len(bytes) == 0 {
		return bytes[:0:0]
	}
	if len(bytes) > cap(c.room)-len(c.room) {
		c.room = make([]byte, 0, max(roomBytes, len(bytes)))
	}
	from := len(c.room)
	c.room = append(c.room, bytes...)
	c.bytes += len(bytes)
	return c.room[from:len(c.room):len(c.room)]
}
