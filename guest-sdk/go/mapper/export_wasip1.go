package mapper

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/mapper@0.1.0#apply
func apply(a, b, c, d, e, f, g, h, i, j, k, l, m, n uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("mapper"))
	}
	records := abi.ArgsOf(a, b, c, d, e, f, g, h, i, j, k, l, m, n).Batch()
	return abi.OK().Output(millstream.Apply(exported, records)).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/mapper@0.1.0#apply
func applyDone(unsafe.Pointer) { abi.Done() }
