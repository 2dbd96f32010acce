// Package processor exports the contract's `processor`. A component has this interface when its program imports this package.
package processor

import millstream "millstream.example/millstream/guest-sdk/go"

var exported millstream.Processor

// Export makes processor the one that the host asks. Call it from init, or from the start of a lifecycle.
func Export(processor millstream.Processor) { exported = processor }
