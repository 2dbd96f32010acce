//! What the host knows about the records of a call beside the records: headers, windows, stream times, inputs. Included by
//! millstream.h; not what a function writes.
//!
//! Each is fetched from the host when it is first asked for, once a call. A function that never asks does not even import
//! the interface. Natively there is nothing but what a test gives (testing.h).
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_FACTS_H
#define MILLSTREAM_FACTS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ms_facts {
  /// The call that they are about.
  uint64_t call;
  bool has_headers, has_stream_times, has_windows, has_inputs;
  ms_option_headers headers;
  ms_times stream_times;
  ms_option_windows windows;
  ms_option_numbers inputs;
} ms_facts;

__attribute__((weak)) ms_facts ms_facts_known;

#ifdef __wasm__
_Static_assert(sizeof(ms_option_headers) == 60, "as the canonical ABI has it");
_Static_assert(sizeof(ms_option_windows) == 20, "as the canonical ABI has it");

#define MS_FACT(name) __attribute__((import_module("millstream:udf/context@0.1.0"), import_name(name)))
MS_FACT("headers") void ms_host_headers(ms_option_headers *into);
MS_FACT("stream-times") void ms_host_stream_times(ms_times *into);
MS_FACT("windows") void ms_host_windows(ms_option_windows *into);
MS_FACT("inputs") void ms_host_inputs(ms_option_numbers *into);
#undef MS_FACT
#else
static inline void ms_host_headers(ms_option_headers *into) { memset(into, 0, sizeof *into); }
static inline void ms_host_stream_times(ms_times *into) { memset(into, 0, sizeof *into); }
static inline void ms_host_windows(ms_option_windows *into) { memset(into, 0, sizeof *into); }
static inline void ms_host_inputs(ms_option_numbers *into) { memset(into, 0, sizeof *into); }
#endif

/// Those of the call at hand.
static inline ms_facts *ms_facts_now(void) {
  if (ms_facts_known.call != ms_calls) {
    memset(&ms_facts_known, 0, sizeof ms_facts_known);
    ms_facts_known.call = ms_calls;
  }
  return &ms_facts_known;
}

/* ---- Headers ---- */

typedef struct ms_header {
  /// UTF-8; a name may come several times.
  ms_bytes name;
  ms_bytes value;
} ms_header;

/// The headers of the call's records; NULL when no record has any.
static inline const ms_header_columns *ms_headers_given(void) {
  ms_facts *facts = ms_facts_now();
  if (!facts->has_headers) {
    ms_host_headers(&facts->headers);
    facts->has_headers = true;
  }
  return facts->headers.there ? &facts->headers.value : NULL;
}

/// Where the headers of record `index` begin in names and values; of `index` + 1: where they end.
static inline size_t ms_headers_from(const ms_header_columns *headers, size_t index) {
  if (index >= headers->offsets.len) __builtin_trap();
  return headers->offsets.data[index];
}

/// How many headers the record has.
static inline size_t ms_headers(const ms_record *record) {
  const ms_header_columns *given = ms_headers_given();
  return given ? ms_headers_from(given, record->index + 1) - ms_headers_from(given, record->index) : 0;
}

/// Header `index` of the record, in their order; traps when there is none.
static inline ms_header ms_header_at(const ms_record *record, size_t index) {
  if (index >= ms_headers(record)) __builtin_trap();
  const ms_header_columns *given = ms_headers_given();
  size_t at = ms_headers_from(given, record->index) + index;
  ms_header header = {ms_item(&given->names, at), ms_item(&given->values, at)};
  return header;
}

/// The value of the last header of this name; null when there is none, or its value is null.
static inline ms_bytes ms_header_value(const ms_record *record, const char *name) {
  ms_bytes none = {NULL, 0};
  for (size_t index = ms_headers(record); index-- > 0;) {
    ms_header header = ms_header_at(record, index);
    if (ms_equal(header.name, ms_text(name))) return header.value;
  }
  return none;
}

/* ---- Times and inputs ---- */

/// Milliseconds since 1970-01-01T00:00:00Z.
typedef struct ms_time {
  bool there;
  int64_t at;
} ms_time;

/// `start` is in the window, `end` no longer; milliseconds since 1970-01-01T00:00:00Z.
typedef struct ms_window {
  bool there;
  int64_t start;
  int64_t end;
} ms_window;

/// The step's stream time once the record is in; not there where nobody knows it (tests).
static inline ms_time ms_stream_time(const ms_record *record) {
  ms_facts *facts = ms_facts_now();
  ms_time time = {false, 0};
  if (!facts->has_stream_times) {
    ms_host_stream_times(&facts->stream_times);
    facts->has_stream_times = true;
  }
  time.there = record->index < facts->stream_times.len;
  if (time.there) time.at = facts->stream_times.data[record->index];
  return time;
}

/// The window of the record's key; not there where keys have no window.
static inline ms_window ms_window_of(const ms_record *record) {
  ms_facts *facts = ms_facts_now();
  ms_window window = {false, 0, 0};
  if (!facts->has_windows) {
    ms_host_windows(&facts->windows);
    facts->has_windows = true;
  }
  const ms_windows *given = &facts->windows.value;
  window.there = facts->windows.there && record->index < given->starts.len && record->index < given->ends.len;
  if (window.there) {
    window.start = given->starts.data[record->index];
    window.end = given->ends.data[record->index];
  }
  return window;
}

/// Which of the step's inputs, in the manifest's order, the record came from; 0 where there is only one.
static inline uint32_t ms_input(const ms_record *record) {
  ms_facts *facts = ms_facts_now();
  if (!facts->has_inputs) {
    ms_host_inputs(&facts->inputs);
    facts->has_inputs = true;
  }
  return facts->inputs.there && record->index < facts->inputs.value.len ? facts->inputs.value.data[record->index] : 0;
}

#ifdef __cplusplus
}
#endif

#endif
