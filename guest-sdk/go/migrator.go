package millstream

import (
	"fmt"
	"slices"
)

// Layouts says which layouts of states a function knows: the contract's `layouts`.
type Layouts struct {
	// Current is what it writes.
	Current uint32
	// Reads are other layouts that Migrate turns into Current.
	Reads []uint32
	// Writes are older layouts that Migrate turns Current back into: a rollback is possible.
	Writes []uint32
}

// Stored is what is to be brought into another layout: a state of an aggregate or a scan, or an entry of a processor's
// store. Its bytes are borrowed until Migrate returns.
type Stored struct {
	// Store is the store's name, as the manifest has it; empty: a state of an aggregate or a scan.
	Store string
	// Key is the group's or the entry's; nil: whoever asks has none, which a host has of all that it stores.
	Key []byte
	// State is the state, or the entry's value; it is there, if it is empty.
	State []byte
}

// Migrator is for what a function stores, an aggregator, a scanner or a processor, where its layout changes between
// versions. A function has one layout, that of all its stores. Without it: layout 0, for ever.
type Migrator interface {
	Layouts() Layouts
	// Migrate turns the state from the layout old into new; one of them is Current. The key stays. An error fails the call.
	Migrate(stored Stored, old, new uint32) ([]byte, error)
}

// Migrate turns states from one layout into another; null stays null. store is empty for those of an aggregate or a scan;
// keys has one for each of states.
func Migrate(migrator Migrator, store string, old, new uint32, keys, states *Column) (*Column, error) {
	known := migrator.Layouts()
	reads := new == known.Current && slices.Contains(known.Reads, old)
	writes := old == known.Current && slices.Contains(known.Writes, new)
	if !reads && !writes {
		return nil, fmt.Errorf("no way from layout %d to %d: layout %d is made of %v, and made into %v",
			old, new, known.Current, known.Reads, known.Writes)
	}
	migrated := NewColumn(states.Len(), len(states.Data))
	for index := range states.Len() {
		state := states.Get(index)
		if state == nil {
			migrated.Push(nil)
			continue
		}
		turned, err := migrator.Migrate(Stored{store, keys.Get(index), state}, old, new)
		if err != nil {
			return nil, err
		}
		if turned == nil {
			turned = empty
		}
		migrated.Push(turned)
	}
	return migrated, nil
}
