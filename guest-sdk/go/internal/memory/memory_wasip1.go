package memory

import "unsafe"

// keptMax is how many words of memory stay for the next call: 8 MiB. A batch that is larger has its own, which the
// collector takes when the call is over.
const keptMax = 1 << 20

// growthMax is how many words are taken at once beyond what is needed: 1 MiB. A function's memory is small.
const growthMax = 1 << 17

// The piece at hand, in words so that all of it is aligned to eight bytes; how much of it is used; and those that were
// too small for what came, which must live until the call is over.
var (
	words []uint64
	used  int
	full  [][]uint64
)

// realloc is what the host calls for every list that it gives.
//
//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, newSize uint32) unsafe.Pointer {
	if newSize == 0 {
		// A list that is empty: never read, but it must be aligned.
		return unsafe.Add(nil, align)
	}
	need := int(newSize+7) / 8
	if used+need > len(words) {
		if used > 0 {
			full = append(full, words)
		}
		words, used = make([]uint64, max(need, min(2*len(words), growthMax), 512)), 0
	}
	at := unsafe.Pointer(&words[used])
	used += need
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(at), newSize), unsafe.Slice((*byte)(old), min(oldSize, newSize)))
	}
	return at
}

// Release ends a call: what the host gave for it is forgotten.
func Release() {
	need := used
	for _, piece := range full {
		need += len(piece)
	}
	switch {
	case need > keptMax:
		words = nil
	case len(full) > 0:
		// The next call is likely as large, and gets all that it needs in one piece.
		words = make([]uint64, need)
	}
	full, used = nil, 0
}

// Bytes borrows a list of bytes.
func Bytes(at, length uint32) []byte { return list[byte](at, length) }

// U32s borrows a list of u32.
func U32s(at, length uint32) []uint32 { return list[uint32](at, length) }

// I64s borrows a list of s64.
func I64s(at, length uint32) []int64 { return list[int64](at, length) }

func list[T any](at, length uint32) []T {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*T)(Pointer(at)), length)
}

// Pointer is an address that the host gave, which lies in what realloc made.
func Pointer(at uint32) unsafe.Pointer { return unsafe.Add(nil, at) }
