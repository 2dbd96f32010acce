// Package filter exports the contract's `filter`. A component has this interface when its program imports this package.
package filter

import millstream "millstream.example/millstream/guest-sdk/go"

var exported millstream.Filter

// Export makes filter the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export(filter millstream.Filter) { exported = filter }
