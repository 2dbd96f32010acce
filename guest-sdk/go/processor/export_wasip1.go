package processor

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/processor@0.1.0#process
func process(a, b, c, d, e, f, g, h, i, j, k, l, m, n uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("processor"))
	}
	records := abi.ArgsOf(a, b, c, d, e, f, g, h, i, j, k, l, m, n).Batch()
	return abi.OK().Output(millstream.Process(exported, records, millstream.CallingHost())).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/processor@0.1.0#process
func processDone(unsafe.Pointer) { abi.Done() }
