// Package mapper exports the contract's `mapper`. A component has this interface when its program imports this package.
package mapper

import millstream "millstream.example/millstream/guest-sdk/go"

var exported millstream.Mapper

// Export makes mapper the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export(mapper millstream.Mapper) { exported = mapper }
