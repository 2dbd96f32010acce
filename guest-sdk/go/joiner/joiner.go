// Package joiner exports the contract's `joiner`. A component has this interface when its program imports this package.
package joiner

import millstream "millstream.example/millstream/guest-sdk/go"

var exported millstream.Joiner

// Export makes joiner the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export(joiner millstream.Joiner) { exported = joiner }
