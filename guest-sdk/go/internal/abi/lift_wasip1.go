package abi

import (
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/memory"
)

// How many words each of the contract's records has.
const (
	columnWords = 6
	BatchWords  = 2*columnWords + 2
	groupsWords = 2*columnWords + 8
)

// Args are a call's arguments, word by word; each read takes what it reads. A call with more than sixteen of them has them
// in memory.
type Args struct {
	words []uint32
}

// ArgsOf are arguments that were given as such.
func ArgsOf(words ...uint32) *Args { return &Args{words} }

// ArgsAt are arguments in memory.
func ArgsAt(at unsafe.Pointer) *Args {
	return &Args{unsafe.Slice((*uint32)(at), groupsWords+BatchWords)}
}

// U32 reads a number.
func (a *Args) U32() uint32 {
	word := a.words[0]
	a.words = a.words[1:]
	return word
}

// Text reads a string.
func (a *Args) Text() string { return string(memory.Bytes(a.U32(), a.U32())) }

// Column reads a `bytes-column`.
func (a *Args) Column() millstream.Column {
	return millstream.Column{
		Offsets:  memory.U32s(a.U32(), a.U32()),
		Data:     memory.Bytes(a.U32(), a.U32()),
		Validity: memory.Bytes(a.U32(), a.U32()),
	}
}

// Batch reads a `batch`.
func (a *Args) Batch() *millstream.Batch {
	return &millstream.Batch{Keys: a.Column(), Values: a.Column(), Timestamps: memory.I64s(a.U32(), a.U32())}
}

// Groups reads `groups`.
func (a *Args) Groups() *millstream.Groups {
	return &millstream.Groups{
		Keys:    a.Column(),
		Starts:  memory.I64s(a.U32(), a.U32()),
		Ends:    memory.I64s(a.U32(), a.U32()),
		States:  a.Column(),
		Offsets: memory.U32s(a.U32(), a.U32()),
		Members: memory.U32s(a.U32(), a.U32()),
	}
}

// Settings reads the settings of `lifecycle.start`.
func (a *Args) Settings() *millstream.Settings {
	at, length := a.U32(), a.U32()
	settings := &millstream.Settings{}
	pairs := &Args{memory.U32s(at, 4*length)}
	for range length {
		settings.Put(pairs.Text(), pairs.Text())
	}
	return settings
}
