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

// Migrator is for stored states whose layout changes between versions of a function. Without it: layout 0, for ever.
type Migrator interface {
	Layouts() Layouts
	// Migrate turns one state from the layout old into new; one of them is Current. An error fails the call.
	Migrate(state []byte, old, new uint32) ([]byte, error)
}

// Migrate turns states from one layout into another; null stays null.
func Migrate(migrator Migrator, old, new uint32, states *Column) (*Column, error) {
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
		turned, err := migrator.Migrate(state, old, new)
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
