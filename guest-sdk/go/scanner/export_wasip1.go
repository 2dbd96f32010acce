package scanner

import (
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/scanner@0.1.0#scan
func exportScan(at unsafe.Pointer) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if scan == nil {
		return abi.Fail(abi.ErrNothing("scanner"))
	}
	args := abi.ArgsAt(at)
	scanned, err := scan(args.Groups(), args.Batch())
	if err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Column(scanned.States).Column(scanned.Values).Rejected(scanned.Rejected).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/scanner@0.1.0#scan
func scanDone(unsafe.Pointer) { abi.Done() }
