// Package millstream has what functions for Millstream in Go are written with: records, results, refusals, settings, the log,
// and the stores and timers of processors.
//
// A function is written on single records and runs on columns. The packages beside this one (filter, mapper, aggregator and
// others) each export an interface of the contract; a component has those that its program imports.
package millstream
