// Package migrator exports the contract's `migrator`, beside an aggregator, a scanner or a processor. A component has this
// interface when its program imports this package.
package migrator

import millstream "millstream.example/millstream/guest-sdk/go"

var exported millstream.Migrator

// Export makes migrator the one that the host asks. Call it from init, or from the start of a lifecycle; of several functions
// in a file, those that do not have layout 0.
func Export(migrator millstream.Migrator) { exported = migrator }
