package lifecycle

import (
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/abi"
)

// functionWords is how many words the contract's `function` has.
const functionWords = 6

//go:wasmexport millstream:udf/lifecycle@0.1.0#functions
func functions() unsafe.Pointer {
	var list abi.Answer
	for _, function := range exported {
		var details []string
		if function.Summary != "" {
			details = append(details, "summary", function.Summary)
		}
		if function.SettingsSchema != "" {
			details = append(details, "settings-schema", function.SettingsSchema)
		}
		list.Text(function.Name).Texts(function.Interfaces, 1).Texts(details, 2)
	}
	return abi.New().List(&list, functionWords).Pointer()
}

//go:wasmexport cabi_post_millstream:udf/lifecycle@0.1.0#functions
func functionsDone(unsafe.Pointer) { abi.Done() }

//go:wasmexport millstream:udf/lifecycle@0.1.0#start
func start(name, nameBytes, settings, settingsItems uint32) (result unsafe.Pointer) {
	defer abi.Guard(&result)
	args := abi.ArgsOf(name, nameBytes, settings, settingsItems)
	if err := Start(args.Text(), args.Settings()); err != nil {
		return abi.Fail(err)
	}
	return abi.OK().Pointer()
}

//go:wasmexport cabi_post_millstream:udf/lifecycle@0.1.0#start
func startDone(unsafe.Pointer) { abi.Done() }
