package joiner

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/joiner@0.1.0#join
func join(at unsafe.Pointer) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("joiner"))
	}
	args := abi.ArgsAt(at)
	keys, left, right := args.Column(), args.Column(), args.Column()
	joined := millstream.Join(exported, &keys, &left, &right)
	return abi.OK().Column(joined.Values).Rejected(joined.Rejected).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/joiner@0.1.0#join
func joinDone(unsafe.Pointer) { abi.Done() }
