package filter

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/filter@0.1.0#keep
func keep(a, b, c, d, e, f, g, h, i, j, k, l, m, n uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("filter"))
	}
	records := abi.ArgsOf(a, b, c, d, e, f, g, h, i, j, k, l, m, n).Batch()
	kept := millstream.Keep(exported, records)
	return abi.OK().Bytes(kept.Bits).Rejected(kept.Rejected).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/filter@0.1.0#keep
func keepDone(unsafe.Pointer) { abi.Done() }
