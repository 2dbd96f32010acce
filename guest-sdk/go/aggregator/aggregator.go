// Package aggregator exports the contract's `aggregator`. A component has this interface when its program imports this
// package.
package aggregator

import millstream "millstream.example/millstream/guest-sdk/go"

var (
	add    func(*millstream.Groups, *millstream.Batch) (*millstream.Folded, error)
	finish func(*millstream.Groups) (*millstream.Column, error)
)

// Export makes aggregator the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export[S any](aggregator millstream.Aggregator[S]) {
	add = func(into *millstream.Groups, records *millstream.Batch) (*millstream.Folded, error) {
		return millstream.Add(aggregator, into, records)
	}
	finish = func(of *millstream.Groups) (*millstream.Column, error) { return millstream.Finish(aggregator, of) }
}
