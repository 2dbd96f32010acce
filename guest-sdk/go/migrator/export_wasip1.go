package migrator

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

//go:wasmexport millstream:udf/migrator@0.1.0#describe
func describe() unsafe.Pointer {
	// Without a migrator: layout 0, for ever.
	var layouts millstream.Layouts
	if exported != nil {
		layouts = exported.Layouts()
	}
	return abi.New().U32(layouts.Current).U32s(layouts.Reads).U32s(layouts.Writes).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/migrator@0.1.0#describe
func describeDone(unsafe.Pointer) { abi.Done() }

//go:wasmexport millstream:udf/migrator@0.1.0#migrate
func migrate(name, nameBytes, old, to, e, f, g, h, i, j, k, l, m, n, o, p uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	if exported == nil {
		return abi.Fail(abi.ErrNothing("migrator"))
	}
	args := abi.ArgsOf(name, nameBytes, e, f, g, h, i, j, k, l, m, n, o, p)
	store, keys, states := args.Text(), args.Column(), args.Column()
	migrated, err := millstream.Migrate(exported, store, old, to, &keys, &states)
	if err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Column(migrated).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/migrator@0.1.0#migrate
func migrateDone(unsafe.Pointer) { abi.Done() }
