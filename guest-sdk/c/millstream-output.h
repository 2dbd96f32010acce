//! Where results of a record go, and the loop of mappers that write them. Included by millstream.h; not stores and timers.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_OUTPUT_H
#define MILLSTREAM_OUTPUT_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Mappers ---- */

/// Where results go. A column is made only when a result differs from its record; the first that does opens it, and what
/// was before is filled in from the records.
typedef struct ms_output {
  const ms_batch *records;
  size_t record;
  size_t results;
  uint32_t port;
  bool has_keys, has_values, has_timestamps, has_sources, has_ports;
  ms_column_out keys, values;
  ms_buffer timestamps, sources, ports;
  /// Of the results, once one differs from its record's; those of the records are `given`, NULL where there are none.
  ms_column_out header_names, header_values;
  ms_buffer header_offsets;
  const ms_header_columns *headers_given;
  /// How those of a result more are pushed, and those of results are forgotten. NULL until a result has some of its own: who has
  /// none does not carry the code.
  void (*push_headers)(struct ms_output *out, size_t record);
  void (*cut_headers)(struct ms_output *out, size_t results);
} ms_output;

/// Writes the results of a record with ms_emit and its kin. With a reason, nothing of what it wrote stays.
typedef ms_reason (*ms_mapper)(const ms_record *record, ms_output *out);

static inline size_t ms_source_of(const ms_output *out, size_t result) {
  return out->has_sources ? ((const uint32_t *)(const void *)out->sources.data)[result] : result;
}

/// The record's own bytes, not a copy of them: they can stay where they are.
static inline bool ms_same(ms_bytes left, ms_bytes right) { return left.data == right.data && left.size == right.size; }

static inline ms_column_out *ms_open_column(ms_output *out, bool *has, ms_column_out *made, const ms_column *given) {
  if (*has) return made;
  *has = true;
  ms_column_begin(made, out->records->len, given->data_len + 8 * out->records->len);
  for (size_t i = 0; i < out->results; i++) ms_column_push(made, ms_item(given, ms_source_of(out, i)));
  return made;
}

static inline void ms_put_bytes(ms_output *out, bool *has, ms_column_out *made, const ms_column *given, ms_bytes item) {
  if (*has || !ms_same(item, ms_item(given, out->record))) ms_column_push(ms_open_column(out, has, made, given), item);
}

static inline void ms_put_time(ms_output *out, int64_t time) {
  const int64_t *given = out->records->timestamps;
  if (!out->has_timestamps) {
    if (time == given[out->record]) return;
    out->has_timestamps = true;
    ms_reserve(&out->timestamps, out->records->len * sizeof time);
    for (size_t i = 0; i < out->results; i++) ms_push(&out->timestamps, &given[ms_source_of(out, i)], sizeof time);
  }
  ms_push(&out->timestamps, &time, sizeof time);
}

/// Headers of one more result: those of record `index`.
static inline void ms_push_headers(ms_output *out, size_t index) {
  const ms_header_columns *given = out->headers_given;
  if (given) {
    size_t end = ms_headers_from(given, index + 1);
    for (size_t at = ms_headers_from(given, index); at < end; at++) {
      ms_column_push(&out->header_names, ms_item(&given->names, at));
      ms_column_push(&out->header_values, ms_item(&given->values, at));
    }
  }
  uint32_t end = (uint32_t)out->header_names.len;
  ms_push(&out->header_offsets, &end, sizeof end);
}

/// Sources, ports, and the count of results: after the columns, which fill in by what was before.
static inline void ms_end_result(ms_output *out) {
  uint32_t source = (uint32_t)out->record;
  if (!out->has_ports && out->port) {
    out->has_ports = true;
    ms_reserve(&out->ports, (out->results + 1) * sizeof out->port);
    memset(out->ports.data, 0, out->results * sizeof out->port);
    out->ports.size = out->results * sizeof out->port;
  }
  if (out->has_ports) ms_push(&out->ports, &out->port, sizeof out->port);
  if (out->push_headers) out->push_headers(out, out->record);
  if (!out->has_sources && out->results != out->record) {
    for (uint32_t i = 0; i < out->results; i++) ms_push(&out->sources, &i, sizeof i);
    out->has_sources = true;
  }
  if (out->has_sources) ms_push(&out->sources, &source, sizeof source);
  out->results++;
}

/// A result. A part that is the record's own, not a copy, costs nothing while that column is unchanged.
static inline void ms_emit(ms_output *out, ms_bytes key, ms_bytes value, int64_t timestamp) {
  ms_put_bytes(out, &out->has_keys, &out->keys, &out->records->keys, key);
  ms_put_bytes(out, &out->has_values, &out->values, &out->records->values, value);
  ms_put_time(out, timestamp);
  ms_end_result(out);
}

/// A result that is the record itself.
static inline void ms_emit_same(ms_output *out) {
  ms_record own = ms_record_at(out->records, out->record);
  ms_emit(out, own.key, own.value, own.timestamp);
}

/// A result with a new value; key and time stay.
static inline void ms_emit_value(ms_output *out, ms_bytes value) {
  ms_record own = ms_record_at(out->records, out->record);
  ms_emit(out, own.key, value, own.timestamp);
}

/// A result with a new key; value and time stay.
static inline void ms_emit_key(ms_output *out, ms_bytes key) {
  ms_record own = ms_record_at(out->records, out->record);
  ms_emit(out, key, own.value, own.timestamp);
}

/// The named output, by its place in the step's list, of this record's results from here on; 0 without this.
static inline void ms_port(ms_output *out, uint32_t port) { out->port = port; }

/// Forgets the headers from `results` on, all but those of the results before.
static inline void ms_cut_headers(ms_output *out, size_t results) {
  uint32_t *offsets = (uint32_t *)(void *)out->header_offsets.data;
  ms_column_cut(&out->header_names, offsets[results]);
  ms_column_cut(&out->header_values, offsets[results]);
  out->header_offsets.size = (results + 1) * sizeof *offsets;
}

/// The result emitted last has headers of its own from here on; before it all have those of their records.
static inline void ms_open_headers(ms_output *out) {
  if (!out->results || ms_source_of(out, out->results - 1) != out->record) {
    ms_fail(ms_text("a header belongs to a result: emit the result first"));
  }
  if (out->push_headers) return;
  uint32_t zero = 0;
  out->push_headers = ms_push_headers;
  out->cut_headers = ms_cut_headers;
  out->headers_given = ms_headers_given();
  ms_column_begin(&out->header_names, 0, 0);
  ms_column_begin(&out->header_values, 0, 0);
  ms_push(&out->header_offsets, &zero, sizeof zero);
  for (size_t i = 0; i < out->results; i++) ms_push_headers(out, ms_source_of(out, i));
}

/// Adds a header to the result emitted last, behind those it has from its record. `name` is UTF-8. Before this record has a
/// result the call fails.
static inline void ms_add_header(ms_output *out, ms_bytes name, ms_bytes value) {
  ms_open_headers(out);
  ms_push_bytes(&out->header_names.data, name);
  ms_column_end(&out->header_names, true);
  ms_column_push(&out->header_values, value);
  ((uint32_t *)(void *)out->header_offsets.data)[out->results] = (uint32_t)out->header_names.len;
}

/// Takes all headers from the result emitted last. Before this record has a result the call fails.
static inline void ms_clear_headers(ms_output *out) {
  ms_open_headers(out);
  ms_cut_headers(out, out->results - 1);
  uint32_t end = (uint32_t)out->header_names.len;
  ms_push(&out->header_offsets, &end, sizeof end);
}

/// Forgets all results from `results` on.
static inline void ms_forget(ms_output *out, size_t results) {
  ms_column_cut(&out->keys, results);
  ms_column_cut(&out->values, results);
  if (out->has_timestamps) out->timestamps.size = results * sizeof(int64_t);
  if (out->has_sources) out->sources.size = results * sizeof(uint32_t);
  if (out->has_ports) out->ports.size = results * sizeof(uint32_t);
  if (out->cut_headers) out->cut_headers(out, results);
  out->results = results;
}

static inline ms_output_columns ms_output_done(ms_output *out, size_t taken, const ms_buffer *rejected) {
  ms_output_columns done;
  memset(&done, 0, sizeof done);
  if (!out->has_sources && (out->results != taken || rejected->size)) {
    out->has_sources = true;
    for (uint32_t i = 0; i < out->results; i++) ms_push(&out->sources, &i, sizeof i);
  }
  done.taken = (uint32_t)taken;
  done.sources.there = out->has_sources;
  done.sources.value.data = (const uint32_t *)(const void *)out->sources.data;
  done.ports.there = out->has_ports;
  done.ports.value.data = (const uint32_t *)(const void *)out->ports.data;
  done.timestamps.there = out->has_timestamps;
  done.timestamps.value.data = (const int64_t *)(const void *)out->timestamps.data;
  done.sources.value.len = done.ports.value.len = done.timestamps.value.len = out->results;
  done.keys.there = out->has_keys;
  if (out->has_keys) done.keys.value = ms_column_done(&out->keys);
  done.values.there = out->has_values;
  if (out->has_values) done.values.value = ms_column_done(&out->values);
  done.headers.there = out->push_headers != NULL;
  if (out->push_headers) {
    done.headers.value.offsets.data = (const uint32_t *)(const void *)out->header_offsets.data;
    done.headers.value.offsets.len = out->results + 1;
    done.headers.value.names = ms_column_done(&out->header_names);
    done.headers.value.values = ms_column_done(&out->header_values);
  }
  done.rejected = ms_rejections_of(rejected);
  return done;
}

/// About how many bytes the results take.
static inline size_t ms_output_bytes(const ms_output *out) {
  size_t headers = out->header_names.data.size + out->header_values.data.size + 8 * out->header_names.len;
  return out->keys.data.size + out->values.data.size + 8 * out->results + headers;
}

static inline ms_output_columns ms_apply(ms_mapper mapper, const ms_batch *records) {
  ms_output out;
  ms_buffer rejected = {NULL, 0, 0};
  size_t taken = 0;
  memset(&out, 0, sizeof out);
  out.records = records;
  while (taken < records->len && ms_output_bytes(&out) < MS_RESULT_BYTES_MAX) {
    ms_record record = ms_record_at(records, taken);
    size_t before = out.results;
    out.record = taken;
    out.port = 0;
    ms_reason refused = mapper(&record, &out);
    if (refused) {
      ms_forget(&out, before);
      ms_reject_at(&rejected, taken, refused);
    }
    taken++;
  }
  return ms_output_done(&out, taken, &rejected);
}

#ifdef __cplusplus
}
#endif

#endif
