package millstream

import (
	"bytes"
	"io"
)

// Level says how important a line is.
type Level uint8

// From each little thing to what is broken.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
)

func (l Level) String() string {
	return [...]string{"trace", "debug", "info", "warn", "error"}[min(l, Error)]
}

// Log writes a line to the host's log, which adds pipeline, function and position, and cuts and counts. Natively it
// goes to standard error. Nothing to rely on: a host may drop lines.
func Log(level Level, message string) { hostLog(min(level, Error), message) }

// LogWriter makes each write a line at this level: what the packages log and log/slog need. In a component standard
// output and standard error lead nowhere; this is their way out.
func LogWriter(level Level) io.Writer { return logWriter(level) }

type logWriter Level

func (w logWriter) Write(line []byte) (int, error) {
	Log(Level(w), string(bytes.TrimRight(line, "\n")))
	return len(line), nil
}
