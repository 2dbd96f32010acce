package millstream

// Aggregator folds records into a state that the host stores as bytes.
type Aggregator[S any] interface {
	// Start is the state before the first record.
	Start(group Group) S
	// Decode reads a stored state. An error fails the call: stored bytes are no record's fault.
	Decode(bytes []byte) (S, error)
	// Encode appends the state's bytes to into.
	Encode(state S, into []byte) []byte
	// Add takes a record in. A record that is refused by an error leaves the state as it was: what is answered beside the
	// error is forgotten, and what the state points to must not be changed.
	Add(state S, record Record) (S, error)
	// Finish is what leaves the pipeline; nil: nothing (in a table: a tombstone).
	Finish(state S, group Group) []byte
}

// Goner is an aggregator that knows when nothing worth keeping is left; such a group is removed from the store.
type Goner[S any] interface {
	Gone(state S) bool
}

// Merger is an aggregator whose states can be joined: sessions that meet, windows built from panes.
type Merger[S any] interface {
	Aggregator[S]
	// Merge makes one state of two of the same key; left is the earlier. An error fails the call.
	Merge(left, right S) (S, error)
}

// Retractor is an aggregator over tables: what a row was is taken out before what it is comes in.
type Retractor[S any] interface {
	Aggregator[S]
	// Remove takes a record out that Add took in. What Add refuses is refused here too, as it never came in.
	Remove(state S, record Record) (S, error)
}

// Folded is what a fold left: the contract's `folded`.
type Folded struct {
	// States: one a group; null removes the group.
	States *Column
	// Rejected: by place in Members.
	Rejected []Rejection
}

// Scanned is what each record of a scan left, besides the states: the contract's `scanned`.
type Scanned struct {
	Folded
	// Values: one for each entry of Members; null: nothing leaves after that record.
	Values *Column
}

// Add folds the members of each group into its state.
func Add[S any](aggregator Aggregator[S], into *Groups, records *Batch) (*Folded, error) {
	return fold(aggregator, into, records, aggregator.Add, nil)
}

// Remove takes the members of each group out of its state.
func Remove[S any](retractor Retractor[S], from *Groups, records *Batch) (*Folded, error) {
	return fold(retractor, from, records, retractor.Remove, nil)
}

// Scan folds the members of each group into its state, and finishes after each of them. A record that is refused leaves
// nothing.
func Scan[S any](aggregator Aggregator[S], into *Groups, records *Batch) (*Scanned, error) {
	values := NewColumn(len(into.Members), 0)
	folded, err := fold(aggregator, into, records, aggregator.Add, values)
	if err != nil {
		return nil, err
	}
	return &Scanned{*folded, values}, nil
}

// fold: values, when it is there, gets what each member leaves.
func fold[S any](aggregator Aggregator[S], into *Groups, records *Batch, take func(S, Record) (S, error), values *Column) (*Folded, error) {
	groups := into.Keys.Len()
	folded := &Folded{States: NewColumn(groups, max(len(into.States.Data), 8*groups))}
	goner, _ := aggregator.(Goner[S])
	for index := range groups {
		stored, group := into.States.Get(index), into.Group(index)
		state, err := stateOf(aggregator, stored, group)
		if err != nil {
			return nil, err
		}
		added := false
		for place := into.Offsets[index]; place < into.Offsets[index+1]; place++ {
			next, err := take(state, records.Record(int(into.Members[place])))
			if err != nil {
				folded.Rejected = append(folded.Rejected, Rejection{place, err.Error()})
			} else {
				state, added = next, true
			}
			if values != nil && err != nil {
				values.Push(nil)
			} else if values != nil {
				values.Push(aggregator.Finish(state, group))
			}
		}
		switch {
		case !added:
			// A group whose every record was refused is as it was: stored bytes, or nothing.
			folded.States.Push(stored)
		case goner != nil && goner.Gone(state):
			folded.States.Push(nil)
		default:
			pushState(aggregator, state, folded.States)
		}
	}
	return folded, nil
}

func stateOf[S any](aggregator Aggregator[S], stored []byte, group Group) (S, error) {
	if stored == nil {
		return aggregator.Start(group), nil
	}
	return aggregator.Decode(stored)
}

func pushState[S any](aggregator Aggregator[S], state S, into *Column) {
	into.Data = aggregator.Encode(state, into.Data)
	into.close()
}

// Finish is what leaves the pipeline for each group; null where nothing was stored.
func Finish[S any](aggregator Aggregator[S], of *Groups) (*Column, error) {
	results := NewColumn(of.Keys.Len(), len(of.States.Data))
	for index := range of.Keys.Len() {
		stored := of.States.Get(index)
		if stored == nil {
			results.Push(nil)
			continue
		}
		state, err := aggregator.Decode(stored)
		if err != nil {
			return nil, err
		}
		results.Push(aggregator.Finish(state, of.Group(index)))
	}
	return results, nil
}

// Merge joins two states of each key; a null side leaves the other as it is.
func Merge[S any](merger Merger[S], left, right *Column) (*Column, error) {
	merged := NewColumn(left.Len(), len(left.Data))
	for index := range left.Len() {
		one, other := left.Get(index), right.Get(index)
		switch {
		case one == nil:
			merged.Push(other)
			continue
		case other == nil:
			merged.Push(one)
			continue
		}
		state, err := mergeTwo(merger, one, other)
		if err != nil {
			return nil, err
		}
		pushState(merger, state, merged)
	}
	return merged, nil
}

func mergeTwo[S any](merger Merger[S], left, right []byte) (state S, err error) {
	one, err := merger.Decode(left)
	if err != nil {
		return state, err
	}
	other, err := merger.Decode(right)
	if err != nil {
		return state, err
	}
	return merger.Merge(one, other)
}
