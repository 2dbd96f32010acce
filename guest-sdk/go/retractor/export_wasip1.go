package retractor

import (
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/retractor@0.1.0#remove
func exportRemove(at unsafe.Pointer) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if remove == nil {
		return abi.Fail(abi.ErrNothing("retractor"))
	}
	args := abi.ArgsAt(at)
	folded, err := remove(args.Groups(), args.Batch())
	if err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Column(folded.States).Rejected(folded.Rejected).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/retractor@0.1.0#remove
func removeDone(unsafe.Pointer) { abi.Done() }
