package abi

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/internal/memory"
)

// answerWords is how many the largest answer has, an `output`: a host may look whether the memory goes so far.
const answerWords = 42

// Answer is what a call answers, word by word.
type Answer struct {
	words []uint32
	// What the words point to: the collector does not see that they do.
	live []unsafe.Pointer
}

// answer is that of the call at hand, kept until the host has read it and used again by the next: an instance has one
// thread.
var answer = Answer{words: make([]uint32, 0, answerWords)}

// New begins an answer that is no `result`.
func New() *Answer {
	answer.words, answer.live = answer.words[:0], answer.live[:0]
	return &answer
}

// OK begins an answer that is a `result` which went well.
func OK() *Answer { return New().U32(0) }

// Fail is an answer that fails the call, with these words.
func Fail(err error) unsafe.Pointer { return New().U32(1).Text(err.Error()).Pointer() }

// Done ends a call, once the host has read the answer: neither it nor what the host gave is kept.
func Done() {
	clear(answer.live[:cap(answer.live)])
	answer.live = answer.live[:0]
	memory.Release()
}

// Guard, deferred by a call, turns a panic into a failed call that says what and where: else it would be a trap without
// words, as standard error leads nowhere.
func Guard(result *unsafe.Pointer) {
	cause := recover()
	if cause == nil {
		return
	}
	*result = Fail(fmt.Errorf("panic: %v%s", cause, place()))
}

// place is where the panic that is being recovered from began: the frame below the runtime's last one.
func place() string {
	var counters [64]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(3, counters[:])])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf(", in %s at %s:%d", frame.Function, frame.File, frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// Pointer is where the answer lies.
func (a *Answer) Pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(a.words)) }

// U32 writes a number.
func (a *Answer) U32(word uint32) *Answer {
	a.words = append(a.words, word)
	return a
}

// none writes what stands for an option of so many words that is not there.
func (a *Answer) none(words int) *Answer {
	for range 1 + words {
		a.U32(0)
	}
	return a
}

// list writes where a list lies and how long it is.
func (a *Answer) list(at unsafe.Pointer, length int) *Answer {
	if length > 0 {
		a.live = append(a.live, at)
		return a.U32(uint32(uintptr(at))).U32(uint32(length))
	}
	// Never read, but it must be aligned.
	return a.U32(8).U32(0)
}

// Text writes a string.
func (a *Answer) Text(text string) *Answer {
	return a.list(unsafe.Pointer(unsafe.StringData(text)), len(text))
}

// Bytes writes a list of bytes.
func (a *Answer) Bytes(items []byte) *Answer { return list(a, items) }

// U32s writes a list of u32.
func (a *Answer) U32s(items []uint32) *Answer { return list(a, items) }

func list[T any](a *Answer, items []T) *Answer {
	return a.list(unsafe.Pointer(unsafe.SliceData(items)), len(items))
}

// Texts writes a list of strings, or of pairs of them when they are given in turn.
func (a *Answer) Texts(items []string, each int) *Answer {
	words := make([]uint32, 0, 2*len(items))
	for _, item := range items {
		at := unsafe.Pointer(unsafe.StringData(item))
		a.live = append(a.live, at)
		words = append(words, uint32(uintptr(at)), uint32(len(item)))
	}
	return list(a, words).divide(uint32(2 * each))
}

// OptionU32s writes an optional list of u32; nil: none.
func (a *Answer) OptionU32s(items []uint32) *Answer { return option(a, items) }

// OptionI64s writes an optional list of s64; nil: none.
func (a *Answer) OptionI64s(items []int64) *Answer { return option(a, items) }

func option[T any](a *Answer, items []T) *Answer {
	if items == nil {
		return a.none(2)
	}
	return list(a.U32(1), items)
}

// Column writes a `bytes-column`.
func (a *Answer) Column(column *millstream.Column) *Answer {
	return a.U32s(column.Offsets).Bytes(column.Data).Bytes(column.Validity)
}

// OptionColumn writes an optional `bytes-column`; nil: none.
func (a *Answer) OptionColumn(column *millstream.Column) *Answer {
	if column == nil {
		return a.none(columnWords)
	}
	return a.U32(1).Column(column)
}

// OptionHeaders writes optional `header-columns`; nil: none.
func (a *Answer) OptionHeaders(headers *millstream.HeaderColumns) *Answer {
	if headers == nil {
		return a.none(2 + 2*columnWords)
	}
	return a.U32(1).U32s(headers.Offsets).Column(&headers.Names).Column(&headers.Values)
}

// Output writes an `output`.
func (a *Answer) Output(out *millstream.Columns) *Answer {
	a.U32(out.Taken).OptionU32s(out.Sources).OptionU32s(out.Ports).OptionColumn(out.Keys).OptionColumn(out.Values)
	return a.OptionI64s(out.Timestamps).OptionHeaders(out.Headers).Rejected(out.Rejected)
}

// Rejected writes a list of `rejection`.
func (a *Answer) Rejected(rejected []millstream.Rejection) *Answer {
	words := make([]uint32, 0, 3*len(rejected))
	for _, one := range rejected {
		at := unsafe.Pointer(unsafe.StringData(one.Reason))
		a.live = append(a.live, at)
		words = append(words, one.Index, uint32(uintptr(at)), uint32(len(one.Reason)))
	}
	return list(a, words).divide(3)
}

// List writes a list of records, of which all words are in items.
func (a *Answer) List(items *Answer, words uint32) *Answer {
	a.live = append(a.live, items.live...)
	return list(a, items.words).divide(words)
}

// divide turns the number of words of the list written last into that of its items.
func (a *Answer) divide(by uint32) *Answer {
	a.words[len(a.words)-1] /= by
	return a
}

// ErrNothing: the program has the interface, and has said no function for it.
func ErrNothing(kind string) error {
	return fmt.Errorf("nothing was exported as %s: call its Export from init, or from the start of this function", kind)
}
