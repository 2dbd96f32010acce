// Package router exports the contract's `router`. A component has this interface when its program imports this package.
package router

import millstream "millstream.example/millstream/guest-sdk/go"

var (
	exported    millstream.Router
	partitioned bool
)

// Export makes router the one that the host asks; partitions are those of the keys. Call it from init, or from the start
// of a lifecycle.
func Export(router millstream.Router) { exported, partitioned = router, false }

// ExportPartitioned is Export of a router that says the partition of every result.
func ExportPartitioned(router millstream.Router) { exported, partitioned = router, true }
