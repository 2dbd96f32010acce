package millstream

// Pair is what has met; not both sides are missing.
type Pair struct {
	// Key: nil for a stream's record without a key, which a left join joins with nothing.
	Key []byte
	// Left, Right: nil where there is nothing.
	Left, Right []byte
}

// Joiner makes a value of two that have the same key; nil: null, of two tables the row is gone. An error refuses the
// pair.
type Joiner func(pair Pair) ([]byte, error)

// Joined is what a joiner answers: the contract's `joined`.
type Joined struct {
	Values   *Column
	Rejected []Rejection
}

// Join asks a joiner about every pair.
func Join(joiner Joiner, keys, left, right *Column) *Joined {
	joined := &Joined{Values: NewColumn(keys.Len(), len(left.Data)+len(right.Data))}
	for index := range keys.Len() {
		value, err := joiner(Pair{keys.Get(index), left.Get(index), right.Get(index)})
		if err != nil {
			joined.Rejected = append(joined.Rejected, Rejection{uint32(index), err.Error()})
			value = nil
		}
		joined.Values.Push(value)
	}
	return joined
}
