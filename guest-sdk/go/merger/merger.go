// Package merger exports the contract's `merger`, beside an aggregator. A component has this interface when its program
// imports this package.
package merger

import millstream "millstream.example/millstream/guest-sdk/go"

var merge func(left, right *millstream.Column) (*millstream.Column, error)

// Export makes merger the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export[S any](merger millstream.Merger[S]) {
	merge = func(left, right *millstream.Column) (*millstream.Column, error) {
		return millstream.Merge(merger, left, right)
	}
}
