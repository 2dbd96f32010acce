package millstream

// Facts is what the host knows about the records of a call beside the records: headers, stream times, windows, inputs.
// Each is fetched from the host when it is first asked for, once a call; a function that never asks does not even import
// the interface. Natively there is nothing but what a test gives.
type Facts struct {
	headersOf            *HeaderColumns
	streamTimes          []int64
	starts, ends         []int64
	inputs               []uint32
	hasHeaders, hasTimes bool
	hasWindows           bool
	hasInputs            bool
}

// WithHeaders gives, for tests, the headers of each record.
func (f *Facts) WithHeaders(records ...[]Header) {
	f.headersOf, f.hasHeaders = newHeaderColumns(), true
	for _, headers := range records {
		f.headersOf.pushRecord()
		for _, header := range headers {
			f.headersOf.push(header)
		}
	}
}

// WithStreamTimes gives, for tests, the step's stream time once each record is in.
func (f *Facts) WithStreamTimes(times ...int64) { f.streamTimes, f.hasTimes = times, true }

// WithWindows gives, for tests, the window of each record's key.
func (f *Facts) WithWindows(windows ...Window) {
	f.hasWindows = true
	for _, window := range windows {
		f.starts, f.ends = append(f.starts, window.Start), append(f.ends, window.End)
	}
}

// WithInputs gives, for tests, which of the step's inputs each record came from.
func (f *Facts) WithInputs(inputs ...uint32) { f.inputs, f.hasInputs = inputs, true }

func (f *Facts) headers() *HeaderColumns {
	if !f.hasHeaders {
		f.headersOf, f.hasHeaders = hostHeaders(), true
	}
	return f.headersOf
}

func (f *Facts) streamTime(index int) int64 {
	if !f.hasTimes {
		f.streamTimes, f.hasTimes = hostStreamTimes(), true
	}
	if index >= len(f.streamTimes) {
		return 0
	}
	return f.streamTimes[index]
}

func (f *Facts) window(index int) *Window {
	if !f.hasWindows {
		f.starts, f.ends = hostWindows()
		f.hasWindows = true
	}
	if index >= len(f.starts) || index >= len(f.ends) {
		return nil
	}
	return &Window{f.starts[index], f.ends[index]}
}

func (f *Facts) input(index int) int {
	if !f.hasInputs {
		f.inputs, f.hasInputs = hostInputs(), true
	}
	if index >= len(f.inputs) {
		return 0
	}
	return int(f.inputs[index])
}
