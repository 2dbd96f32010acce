package merger

import (
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/merger@0.1.0#merge
func exportMerge(at unsafe.Pointer) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if merge == nil {
		return abi.Fail(abi.ErrNothing("merger"))
	}
	args := abi.ArgsAt(at)
	// The keys come first.
	_, left, right := args.Column(), args.Column(), args.Column()
	merged, err := merge(&left, &right)
	if err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Column(merged).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/merger@0.1.0#merge
func mergeDone(unsafe.Pointer) { abi.Done() }
