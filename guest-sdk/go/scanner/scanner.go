// Package scanner exports the contract's `scanner`, of an aggregator. A component has this interface when its program
// imports this package.
package scanner

import millstream "millstream.example/millstream/guest-sdk/go"

var scan func(*millstream.Groups, *millstream.Batch) (*millstream.Scanned, error)

// Export makes aggregator the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export[S any](aggregator millstream.Aggregator[S]) {
	scan = func(into *millstream.Groups, records *millstream.Batch) (*millstream.Scanned, error) {
		return millstream.Scan(aggregator, into, records)
	}
}
