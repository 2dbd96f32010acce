//! Shows what the host says about each record, as the new value; adds a header; and logs a line for a record whose value
//! begins with `log `. For tests of hosts, not for pipelines.
#include "millstream.h"

static void push_signed(ms_buffer *into, int64_t number) {
  if (number < 0) ms_push_text(into, "-");
  ms_push_number(into, number < 0 ? 0 - (uint64_t)number : (uint64_t)number);
}

static void push_headers(ms_buffer *into, const ms_record *record) {
  ms_push_text(into, "headers");
  for (size_t i = 0; i < ms_headers(record); i++) {
    ms_header header = ms_header_at(record, i);
    ms_push_text(into, " ");
    ms_push_bytes(into, header.name);
    if (ms_is_null(header.value)) continue;
    ms_push_text(into, "=");
    ms_push_bytes(into, header.value);
  }
}

/// `headers a=1 b; stream time 5; window 0..10; input 0`, with what is not there left out.
static ms_reason facts(const ms_record *record, ms_output *out) {
  // The log takes text alone.
  if (ms_starts_with(record->value, "log ") && ms_is_utf8(record->value)) {
    ms_log(MS_INFO, ms_slice(record->value, strlen("log "), record->value.size));
  }
  ms_buffer line = {NULL, 0, 0};
  push_headers(&line, record);
  ms_time time = ms_stream_time(record);
  if (time.there) {
    ms_push_text(&line, "; stream time ");
    push_signed(&line, time.at);
  }
  ms_window window = ms_window_of(record);
  if (window.there) {
    ms_push_text(&line, "; window ");
    push_signed(&line, window.start);
    ms_push_text(&line, "..");
    push_signed(&line, window.end);
  }
  ms_push_text(&line, "; input ");
  ms_push_number(&line, ms_input(record));
  ms_emit_value(out, ms_bytes_of(&line));
  ms_add_header(out, ms_text("seen"), ms_text("yes"));
  return NULL;
}

MS_MAPPER(facts)
