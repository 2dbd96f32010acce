package millstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// longer adds a byte; what it gives for "x" is nothing at all, which must not become null.
type longer struct{}

func (longer) Layouts() Layouts { return Layouts{2, []uint32{1}, []uint32{1}} }
func (longer) Migrate(stored Stored, old, _ uint32) ([]byte, error) {
	state := stored.State
	switch {
	case string(state) == "bad":
		return nil, errors.New("it is bad")
	case string(state) == "x":
		return nil, nil
	case old == 2:
		return state[: len(state)-1 : len(state)-1], nil
	}
	return append(state, '+'), nil
}

func TestStatesMigrateThereAndBackAndNullsStay(t *testing.T) {
	keys := ColumnOf([]byte("k"), []byte("l"), []byte("m"))
	old := ColumnOf([]byte("a"), nil, []byte(""))
	current, err := Migrate(longer{}, "", 1, 2, keys, old)
	if found := items(current); err != nil || !reflect.DeepEqual(found, []string{"a+", "null", "+"}) {
		t.Error(found, err)
	}
	if back, err := Migrate(longer{}, "", 2, 1, keys, current); err != nil || !reflect.DeepEqual(items(back), items(old)) {
		t.Error(back, err)
	}
	for _, way := range [][2]uint32{{0, 2}, {2, 0}, {1, 1}, {2, 2}} {
		if _, err := Migrate(longer{}, "", way[0], way[1], keys, old); err == nil {
			t.Error("a way that was not promised:", way)
		}
	}
	one := ColumnOf([]byte("k"))
	if _, err := Migrate(longer{}, "", 1, 2, one, ColumnOf([]byte("bad"))); err == nil || err.Error() != "it is bad" {
		t.Error(err)
	}
	if emptied, err := Migrate(longer{}, "", 1, 2, one, ColumnOf([]byte("x"))); err != nil || emptied.Get(0) == nil {
		t.Error("a state that became empty is null", err)
	}
}

// several: the entries of `names` begin with their keys from layout 1 on, all else ends with its layout.
type several struct{}

func (several) Layouts() Layouts { return Layouts{Current: 1, Reads: []uint32{0}} }
func (several) Migrate(stored Stored, old, new uint32) ([]byte, error) {
	if stored.Store == "names" {
		return fmt.Appendf(nil, "%s=%s", stored.Key, stored.State), nil
	}
	return fmt.Appendf(nil, "%q %t %s, %d to %d", stored.Store, stored.Key == nil, stored.State, old, new), nil
}

func TestAMigratorIsToldTheStoreAndTheKeyOfEachState(t *testing.T) {
	keys := ColumnOf([]byte("a"), []byte("b"), nil, []byte{})
	states := ColumnOf([]byte("1"), nil, []byte("3"), []byte("4"))
	for store, expected := range map[string][]string{
		"names":  {"a=1", "null", "=3", "=4"},
		"counts": {`"counts" false 1, 0 to 1`, "null", `"counts" true 3, 0 to 1`, `"counts" false 4, 0 to 1`},
		"":       {`"" false 1, 0 to 1`, "null", `"" true 3, 0 to 1`, `"" false 4, 0 to 1`},
	} {
		migrated, err := Migrate(several{}, store, 0, 1, keys, states)
		if found := items(migrated); err != nil || !reflect.DeepEqual(found, expected) {
			t.Errorf("%q: %q, %v", store, found, err)
		}
	}
}

// The program in testdata has a migrator and no aggregator: what it exports is seen once it is built for WebAssembly.
func TestAMigratorBesideAProcessorExportsBoth(t *testing.T) {
	// Looked at, so that `go test` does not answer from what it knows when one of the files has changed.
	if err := filepath.WalkDir(".", func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(t.TempDir(), "module.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, "./testdata/stores")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	bytes, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	found := slices.DeleteFunc(exportsOf(bytes), func(name string) bool { return !strings.HasPrefix(name, "millstream:") })
	slices.Sort(found)
	expected := []string{
		"millstream:udf/migrator@0.1.0#describe",
		"millstream:udf/migrator@0.1.0#migrate",
		"millstream:udf/processor@0.1.0#process",
	}
	if !reflect.DeepEqual(found, expected) {
		t.Errorf("%q", found)
	}
}

// exportsOf are the names of a module's exports.
func exportsOf(module []byte) []string {
	const magicAndVersion, exportSection = 8, 7
	var names []string
	for rest := module[magicAndVersion:]; len(rest) > 0; {
		section, size, behind := rest[0], 0, rest[1:]
		size, behind = number(behind)
		if section == exportSection {
			count, exports := number(behind)
			for range count {
				var length int
				length, exports = number(exports)
				names = append(names, string(exports[:length]))
				// Behind the name: a byte of what it is, and its index.
				_, exports = number(exports[length+1:])
			}
		}
		rest = behind[size:]
	}
	return names
}

// number reads a number of WebAssembly's binary format.
func number(bytes []byte) (value int, rest []byte) {
	read, length := binary.Uvarint(bytes)
	return int(read), bytes[length:]
}
