package ontimer

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/on-timer@0.1.0#fire
func fire(clock, a, b, c, d, e, f, g, h, i, j, k, l, m, n uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("on-timer"))
	}
	due := abi.ArgsOf(a, b, c, d, e, f, g, h, i, j, k, l, m, n).Batch()
	return abi.OK().Output(millstream.Fire(exported, millstream.Clock(clock), due, millstream.CallingHost())).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/on-timer@0.1.0#fire
func fireDone(unsafe.Pointer) { abi.Done() }
