package aggregator

import (
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/aggregator@0.1.0#add
func exportAdd(at unsafe.Pointer) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if add == nil {
		return abi.Fail(abi.ErrNothing("aggregator"))
	}
	args := abi.ArgsAt(at)
	folded, err := add(args.Groups(), args.Batch())
	if err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Column(folded.States).Rejected(folded.Rejected).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/aggregator@0.1.0#add
func addDone(unsafe.Pointer) { abi.Done() }

//go:wasmexport millstream:udf/aggregator@0.1.0#finish
func exportFinish(at unsafe.Pointer) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if finish == nil {
		return abi.Fail(abi.ErrNothing("aggregator"))
	}
	results, err := finish(abi.ArgsAt(at).Groups())
	if err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Column(results).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/aggregator@0.1.0#finish
func finishDone(unsafe.Pointer) { abi.Done() }
