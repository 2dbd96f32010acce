// Package retractor exports the contract's `retractor`, beside an aggregator. A component has this interface when its
// program imports this package.
package retractor

import millstream "millstream.example/millstream/guest-sdk/go"

var remove func(*millstream.Groups, *millstream.Batch) (*millstream.Folded, error)

// Export makes retractor the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export[S any](retractor millstream.Retractor[S]) {
	remove = func(from *millstream.Groups, records *millstream.Batch) (*millstream.Folded, error) {
		return millstream.Remove(retractor, from, records)
	}
}
