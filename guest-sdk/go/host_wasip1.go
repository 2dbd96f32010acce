package millstream

import (
	"runtime"
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/memory"
)

// What the contract lets any function import; the linker leaves out what nobody calls.

//go:wasmimport millstream:udf/context@0.1.0 headers
func contextHeaders(result unsafe.Pointer)

//go:wasmimport millstream:udf/context@0.1.0 stream-times
func contextStreamTimes(result unsafe.Pointer)

//go:wasmimport millstream:udf/context@0.1.0 windows
func contextWindows(result unsafe.Pointer)

//go:wasmimport millstream:udf/context@0.1.0 inputs
func contextInputs(result unsafe.Pointer)

//go:wasmimport millstream:udf/log@0.1.0 write
func logWrite(level uint32, message unsafe.Pointer, bytes uint32)

func hostHeaders() *HeaderColumns {
	var words [15]uint32
	contextHeaders(unsafe.Pointer(&words))
	// The low byte says whether there are any; what else is in the word is not said.
	if words[0]&0xff == 0 {
		return nil
	}
	return &HeaderColumns{
		Offsets: memory.U32s(words[1], words[2]),
		Names:   Column{memory.U32s(words[3], words[4]), memory.Bytes(words[5], words[6]), memory.Bytes(words[7], words[8])},
		Values:  Column{memory.U32s(words[9], words[10]), memory.Bytes(words[11], words[12]), memory.Bytes(words[13], words[14])},
	}
}

func hostStreamTimes() []int64 {
	var words [2]uint32
	contextStreamTimes(unsafe.Pointer(&words))
	return memory.I64s(words[0], words[1])
}

func hostWindows() (starts, ends []int64) {
	var words [5]uint32
	contextWindows(unsafe.Pointer(&words))
	if words[0]&0xff == 0 {
		return nil, nil
	}
	return memory.I64s(words[1], words[2]), memory.I64s(words[3], words[4])
}

func hostInputs() []uint32 {
	var words [3]uint32
	contextInputs(unsafe.Pointer(&words))
	if words[0]&0xff == 0 {
		return nil
	}
	return memory.U32s(words[1], words[2])
}

func hostLog(level Level, message string) {
	logWrite(uint32(level), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
	runtime.KeepAlive(message)
}
