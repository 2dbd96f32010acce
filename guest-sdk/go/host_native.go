//go:build !wasip1

package millstream

import (
	"fmt"
	"os"
)

func hostHeaders() *HeaderColumns         { return nil }
func hostStreamTimes() []int64            { return nil }
func hostWindows() (starts, ends []int64) { return nil, nil }
func hostInputs() []uint32                { return nil }

func hostLog(level Level, message string) { fmt.Fprintf(os.Stderr, "%s: %s\n", level, message) }
