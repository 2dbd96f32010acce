package millstream

import (
	"runtime"
	"unsafe"

	"millstream.example/millstream/guest-sdk/go/internal/memory"
)

// What the contract lets processors import; the linker leaves out what nobody calls. A column is six words: where its
// offsets, its data and its validity lie, and how long each is.

//go:wasmimport millstream:udf/state@0.1.0 [static]store.open
func stateOpen(name unsafe.Pointer, bytes uint32, result unsafe.Pointer)

//go:wasmimport millstream:udf/state@0.1.0 [method]store.get
func stateGet(store uint32, k unsafe.Pointer, kn uint32, kd unsafe.Pointer, kdn uint32, kv unsafe.Pointer, kvn uint32,
	result unsafe.Pointer)

//go:wasmimport millstream:udf/state@0.1.0 [method]store.put
func statePut(store uint32, k unsafe.Pointer, kn uint32, kd unsafe.Pointer, kdn uint32, kv unsafe.Pointer, kvn uint32,
	v unsafe.Pointer, vn uint32, vd unsafe.Pointer, vdn uint32, vv unsafe.Pointer, vvn uint32)

//go:wasmimport millstream:udf/state@0.1.0 [method]store.range
func stateRange(store uint32, start unsafe.Pointer, startBytes uint32, end unsafe.Pointer, endBytes, limit uint32,
	result unsafe.Pointer)

//go:wasmimport millstream:udf/timers@0.1.0 set
func timersSet(clock uint32, k unsafe.Pointer, kn uint32, kd unsafe.Pointer, kdn uint32, kv unsafe.Pointer, kvn uint32,
	name unsafe.Pointer, bytes uint32, due unsafe.Pointer, dueItems uint32)

//go:wasmimport millstream:udf/timers@0.1.0 cancel
func timersCancel(clock uint32, k unsafe.Pointer, kn uint32, kd unsafe.Pointer, kdn uint32, kv unsafe.Pointer, kvn uint32,
	name unsafe.Pointer, bytes uint32)

// CallingHost is the one that calls. Only components have it.
func CallingHost() Host { return callingHost{} }

type callingHost struct{}

// The stores that were opened, by name and the host's number, for as long as the instance lives: as many as the manifest
// gives to the step.
var (
	opened  []string
	handles []uint32
)

// What the host writes its answers into: an instance has one thread, and each is read before the next is asked for.
var hostAnswer [12]uint32

// One key's column, which is asked for again and again.
var keyOffsets [2]uint32

func handleOf(store string) uint32 {
	for index, name := range opened {
		if name == store {
			return handles[index]
		}
	}
	stateOpen(unsafe.Pointer(unsafe.StringData(store)), uint32(len(store)), unsafe.Pointer(&hostAnswer))
	runtime.KeepAlive(store)
	// The low byte says whether there is none, and why then follows; what else is in the word is not said.
	if hostAnswer[0]&0xff != 0 {
		panic(string(memory.Bytes(hostAnswer[1], hostAnswer[2])))
	}
	opened, handles = append(opened, store), append(handles, hostAnswer[1])
	return hostAnswer[1]
}

// list is where items lie, and how many there are.
func list[T any](items []T) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(items)), uint32(len(items))
}

// columnAt reads a column that the host wrote.
func columnAt(words []uint32) Column {
	return Column{memory.U32s(words[0], words[1]), memory.Bytes(words[2], words[3]), memory.Bytes(words[4], words[5])}
}

func (callingHost) get(store string, key []byte) []byte {
	handle := handleOf(store)
	keyOffsets[1] = uint32(len(key))
	k, kn := list(keyOffsets[:])
	kd, kdn := list(key)
	stateGet(handle, k, kn, kd, kdn, nil, 0, unsafe.Pointer(&hostAnswer))
	runtime.KeepAlive(key)
	values := columnAt(hostAnswer[:6])
	return values.Get(0)
}

func (callingHost) put(store string, keys, values *Column) {
	handle := handleOf(store)
	k, kn := list(keys.Offsets)
	kd, kdn := list(keys.Data)
	kv, kvn := list(keys.Validity)
	v, vn := list(values.Offsets)
	vd, vdn := list(values.Data)
	vv, vvn := list(values.Validity)
	statePut(handle, k, kn, kd, kdn, kv, kvn, v, vn, vd, vdn, vv, vvn)
	runtime.KeepAlive(keys)
	runtime.KeepAlive(values)
}

func (callingHost) entries(store string, start, end []byte, limit uint32) (keys, values Column) {
	handle := handleOf(store)
	s, sn := list(start)
	e, en := list(end)
	stateRange(handle, s, sn, e, en, limit, unsafe.Pointer(&hostAnswer))
	runtime.KeepAlive(start)
	runtime.KeepAlive(end)
	return columnAt(hostAnswer[:6]), columnAt(hostAnswer[6:])
}

func (callingHost) setTimers(clock Clock, keys *Column, name string, due []int64) {
	k, kn := list(keys.Offsets)
	kd, kdn := list(keys.Data)
	kv, kvn := list(keys.Validity)
	d, dn := list(due)
	timersSet(uint32(clock), k, kn, kd, kdn, kv, kvn, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), d, dn)
	runtime.KeepAlive(keys)
	runtime.KeepAlive(name)
	runtime.KeepAlive(due)
}

func (callingHost) cancelTimers(clock Clock, keys *Column, name string) {
	k, kn := list(keys.Offsets)
	kd, kdn := list(keys.Data)
	kv, kvn := list(keys.Validity)
	timersCancel(uint32(clock), k, kn, kd, kdn, kv, kvn, unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)))
	runtime.KeepAlive(keys)
	runtime.KeepAlive(name)
}
