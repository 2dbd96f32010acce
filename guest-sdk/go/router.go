package millstream

// Route is where a result goes: a topic of the sink's list or pattern (empty: the sink's own) and a partition.
type Route struct {
	Topic     string
	Partition uint32
}

// Router says where results go. A window is not in a record's key, but in Record.Window. An error refuses the result.
type Router func(record Record) (Route, error)

// Routed is what a router answers: the contract's `routed`.
type Routed struct {
	Topics *Column
	// Partitions: nil, by the keys.
	Partitions []uint32
	Rejected   []Rejection
}

// Direct asks a router about every result. partitioned: whether its partitions count, or keys say them.
func Direct(router Router, partitioned bool, records *Batch) *Routed {
	routed := &Routed{Topics: NewColumn(records.Len(), 0)}
	if partitioned {
		routed.Partitions = make([]uint32, records.Len())
	}
	for index := range records.Len() {
		route, err := router(records.Record(index))
		if err != nil {
			routed.Rejected = append(routed.Rejected, Rejection{uint32(index), err.Error()})
			route = Route{}
		}
		var topic []byte
		if route.Topic != "" {
			topic = []byte(route.Topic)
		}
		routed.Topics.Push(topic)
		if partitioned {
			routed.Partitions[index] = route.Partition
		}
	}
	return routed
}
