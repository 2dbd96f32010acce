package router

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/router@0.1.0#route
func route(a, b, c, d, e, f, g, h, i, j, k, l, m, n uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("router"))
	}
	routed := millstream.Direct(exported, partitioned, abi.ArgsOf(a, b, c, d, e, f, g, h, i, j, k, l, m, n).Batch())
	return abi.OK().Column(routed.Topics).OptionU32s(routed.Partitions).Rejected(routed.Rejected).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/router@0.1.0#route
func routeDone(unsafe.Pointer) { abi.Done() }
