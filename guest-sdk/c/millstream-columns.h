//! The loops between a function that sees one record and the contract's columns. Included by millstream.h; not the exports.
//! On wasm32 the structs here lie in memory as the canonical ABI has the records of the same names.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_COLUMNS_H
#define MILLSTREAM_COLUMNS_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The contract's types ---- */

typedef struct ms_column {
  const uint32_t *offsets;
  size_t offsets_len;
  const uint8_t *data;
  size_t data_len;
  /// Bit i: item i is there. Of length 0: all are.
  const uint8_t *validity;
  size_t validity_len;
} ms_column;

typedef struct ms_batch {
  ms_column keys;
  ms_column values;
  const int64_t *timestamps;
  size_t len;
} ms_batch;

typedef struct ms_numbers {
  const uint32_t *data;
  size_t len;
} ms_numbers;

typedef struct ms_times {
  const int64_t *data;
  size_t len;
} ms_times;

typedef struct ms_groups {
  ms_column keys;
  ms_times starts;
  ms_times ends;
  ms_column states;
  ms_numbers offsets;
  ms_numbers members;
} ms_groups;

typedef struct ms_rejection {
  uint32_t index;
  ms_bytes reason;
} ms_rejection;

typedef struct ms_rejections {
  ms_rejection *data;
  size_t len;
} ms_rejections;

typedef struct ms_kept {
  const uint8_t *bits;
  size_t bits_len;
  ms_rejections rejected;
} ms_kept;

/// `there` 0: none.
typedef struct ms_option_numbers {
  uint8_t there;
  ms_numbers value;
} ms_option_numbers;

typedef struct ms_option_times {
  uint8_t there;
  ms_times value;
} ms_option_times;

typedef struct ms_option_column {
  uint8_t there;
  ms_column value;
} ms_option_column;

typedef struct ms_option_headers {
  uint8_t there;
  struct {
    ms_numbers offsets;
    ms_column names;
    ms_column values;
  } value;
} ms_option_headers;

typedef struct ms_output_columns {
  uint32_t taken;
  ms_option_numbers sources;
  ms_option_numbers ports;
  ms_option_column keys;
  ms_option_column values;
  ms_option_times timestamps;
  ms_option_headers headers;
  ms_rejections rejected;
} ms_output_columns;

typedef struct ms_folded {
  ms_column states;
  ms_rejections rejected;
} ms_folded;

typedef struct ms_layouts {
  uint32_t current;
  ms_numbers reads;
  ms_numbers writes;
} ms_layouts;

/* ---- Columns, read and written ---- */

static inline size_t ms_len(const ms_column *column) { return column->offsets_len ? column->offsets_len - 1 : 0; }

/// Item `index`; traps when there is none. Null's `data` is NULL, that of empty bytes is not.
static inline ms_bytes ms_item(const ms_column *column, size_t index) {
  static const uint8_t nothing[1] = {0};
  ms_bytes item = {NULL, 0};
  if (index + 1 >= column->offsets_len) __builtin_trap();
  if (column->validity_len && !(column->validity[index / 8] >> (index % 8) & 1)) return item;
  uint32_t start = column->offsets[index], end = column->offsets[index + 1];
  if (start > end || end > column->data_len) __builtin_trap();
  item.data = start == end ? nothing : column->data + start;
  item.size = end - start;
  return item;
}

static inline ms_record ms_record_at(const ms_batch *records, size_t index) {
  ms_record record = {ms_item(&records->keys, index), ms_item(&records->values, index), records->timestamps[index]};
  return record;
}

/// A column that is written: its bytes are in `data`, and item i ends at `ends[i]`.
typedef struct ms_column_out {
  ms_buffer data;
  ms_buffer offsets;
  /// Empty until the first null.
  ms_buffer validity;
  size_t len;
} ms_column_out;

static inline void ms_column_begin(ms_column_out *column, size_t items, size_t bytes) {
  memset(column, 0, sizeof *column);
  ms_reserve(&column->offsets, (items + 1) * sizeof(uint32_t));
  ms_reserve(&column->data, bytes);
  uint32_t zero = 0;
  ms_push(&column->offsets, &zero, sizeof zero);
}

/// Ends the item whose bytes were pushed to `data`.
static inline void ms_column_end(ms_column_out *column, bool there) {
  size_t index = column->len++;
  uint32_t end = (uint32_t)column->data.size;
  ms_push(&column->offsets, &end, sizeof end);
  if (!there && !column->validity.size) {
    // The first null: all before are there.
    size_t bytes = index / 8 + 1;
    ms_reserve(&column->validity, bytes);
    memset(column->validity.data, 0xff, bytes);
    column->validity.size = bytes;
  }
  if (!column->validity.size) return;
  if (index / 8 >= column->validity.size) ms_push(&column->validity, "\xff", 1);
  uint8_t bit = (uint8_t)(1u << (index % 8)), *byte = column->validity.data + index / 8;
  *byte = there ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
}

static inline void ms_column_push(ms_column_out *column, ms_bytes item) {
  if (item.data) ms_push(&column->data, item.data, item.size);
  ms_column_end(column, item.data != NULL);
}

/// Forgets the items from `len` on.
static inline void ms_column_cut(ms_column_out *column, size_t len) {
  if (len >= column->len) return;
  column->len = len;
  column->offsets.size = (len + 1) * sizeof(uint32_t);
  column->data.size = ((const uint32_t *)column->offsets.data)[len];
  if (column->validity.size > (len + 7) / 8) column->validity.size = (len + 7) / 8;
}

static inline ms_column ms_column_done(ms_column_out *column) {
  if (column->validity.size && column->len % 8) {
    column->validity.data[column->len / 8] &= (uint8_t)((1u << (column->len % 8)) - 1);
  }
  ms_column done = {(const uint32_t *)column->offsets.data, column->len + 1, column->data.data, column->data.size,
                    column->validity.data, column->validity.size};
  return done;
}

static inline void ms_reject_at(ms_buffer *rejected, size_t index, ms_reason reason) {
  ms_rejection rejection = {(uint32_t)index, ms_text(reason)};
  ms_push(rejected, &rejection, sizeof rejection);
}

static inline ms_rejections ms_rejections_of(const ms_buffer *rejected) {
  ms_rejections rejections = {(ms_rejection *)(void *)rejected->data, rejected->size / sizeof(ms_rejection)};
  return rejections;
}

/* ---- Filters ---- */

/// Whether the record is kept. `*refused`, which is NULL at first, set to a reason: the record is refused.
typedef bool (*ms_filter)(const ms_record *record, ms_reason *refused);

static inline ms_kept ms_keep(ms_filter filter, const ms_batch *records) {
  size_t bytes = (records->len + 7) / 8;
  uint8_t *bits = (uint8_t *)ms_alloc(bytes);
  ms_buffer rejected = {NULL, 0, 0};
  memset(bits, 0, bytes);
  for (size_t index = 0; index < records->len; index++) {
    ms_record record = ms_record_at(records, index);
    ms_reason refused = NULL;
    bool keep = filter(&record, &refused);
    if (refused) ms_reject_at(&rejected, index, refused);
    else bits[index / 8] |= (uint8_t)((unsigned)keep << (index % 8));
  }
  ms_kept kept = {bits, bytes, ms_rejections_of(&rejected)};
  return kept;
}

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

/// Forgets all results from `results` on.
static inline void ms_forget(ms_output *out, size_t results) {
  ms_column_cut(&out->keys, results);
  ms_column_cut(&out->values, results);
  if (out->has_timestamps) out->timestamps.size = results * sizeof(int64_t);
  if (out->has_sources) out->sources.size = results * sizeof(uint32_t);
  if (out->has_ports) out->ports.size = results * sizeof(uint32_t);
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
  done.rejected = ms_rejections_of(rejected);
  return done;
}

static inline ms_output_columns ms_apply(ms_mapper mapper, const ms_batch *records) {
  ms_output out;
  ms_buffer rejected = {NULL, 0, 0};
  size_t taken = 0;
  memset(&out, 0, sizeof out);
  out.records = records;
  while (taken < records->len && out.keys.data.size + out.values.data.size < MS_RESULT_BYTES_MAX) {
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

/* ---- Aggregators ---- */

/// A fold. `state` points to `state_size` bytes of the function's own, aligned to 16; a state may point to memory of the
/// call. What may be NULL says so.
typedef struct ms_aggregator {
  size_t state_size;
  /// The state of a new group; NULL: all zero.
  void (*start)(void *state, const ms_group *group);
  /// A stored state. A reason fails the call: stored bytes are no record's fault.
  ms_reason (*decode)(void *state, ms_bytes stored);
  void (*encode)(const void *state, ms_buffer *into);
  /// Takes a record in. A record that is refused must leave the state as it was.
  ms_reason (*add)(void *state, const ms_record *record);
  /// Takes a record out again; for MS_RETRACTOR only.
  ms_reason (*remove)(void *state, const ms_record *record);
  /// Whether nothing worth keeping is left: the group is removed. NULL: never.
  bool (*is_gone)(const void *state);
  /// Writes what leaves the pipeline; false: nothing does.
  bool (*finish)(const void *state, const ms_group *group, ms_buffer *into);
  /// `left`, the earlier, becomes both; for MS_MERGER only. A reason fails the call.
  ms_reason (*merge)(void *left, const void *right);
} ms_aggregator;

/// Turns a stored state of the layout `old` into one of `now`. A reason fails the call.
typedef struct ms_migrator {
  /// The layout that is written.
  uint32_t current;
  ms_numbers reads;
  ms_numbers writes;
  ms_reason (*migrate)(ms_bytes state, uint32_t old, uint32_t now, ms_buffer *into);
} ms_migrator;

static inline ms_group ms_group_at(const ms_groups *groups, size_t index) {
  ms_group group = {ms_item(&groups->keys, index), index < groups->starts.len && index < groups->ends.len, 0, 0};
  if (group.has_window) {
    group.window_start = groups->starts.data[index];
    group.window_end = groups->ends.data[index];
  }
  return group;
}

/// Folds one group's members; sets `*added` when one was not refused.
static inline void ms_fold_members(ms_reason (*take)(void *, const ms_record *), void *state, const ms_groups *groups,
                                   size_t group, const ms_batch *records, ms_buffer *rejected, bool *added) {
  if (group + 1 >= groups->offsets.len) __builtin_trap();
  for (size_t at = groups->offsets.data[group]; at < groups->offsets.data[group + 1]; at++) {
    if (at >= groups->members.len || groups->members.data[at] >= records->len) __builtin_trap();
    ms_record record = ms_record_at(records, groups->members.data[at]);
    ms_reason refused = take(state, &record);
    if (refused) ms_reject_at(rejected, at, refused);
    else *added = true;
  }
}

/// Folds each group's members with `take`, the aggregator's add or remove. A reason fails the call.
static inline ms_reason ms_fold(const ms_aggregator *aggregator, ms_reason (*take)(void *, const ms_record *),
                                const ms_groups *groups, const ms_batch *records, ms_folded *folded) {
  size_t len = ms_len(&groups->keys);
  ms_column_out states;
  ms_buffer rejected = {NULL, 0, 0};
  void *state = ms_alloc(aggregator->state_size);
  ms_column_begin(&states, len, groups->states.data_len + 16 * len);
  for (size_t index = 0; index < len; index++) {
    ms_bytes stored = ms_item(&groups->states, index);
    ms_group group = ms_group_at(groups, index);
    bool added = false;
    memset(state, 0, aggregator->state_size);
    if (stored.data) {
      ms_reason wrong = aggregator->decode(state, stored);
      if (wrong) return wrong;
    } else if (aggregator->start) {
      aggregator->start(state, &group);
    }
    ms_fold_members(take, state, groups, index, records, &rejected, &added);
    // A group whose every record was refused is as it was: stored bytes, or nothing.
    if (!added) {
      ms_column_push(&states, stored);
    } else if (aggregator->is_gone && aggregator->is_gone(state)) {
      ms_column_end(&states, false);
    } else {
      aggregator->encode(state, &states.data);
      ms_column_end(&states, true);
    }
  }
  folded->states = ms_column_done(&states);
  folded->rejected = ms_rejections_of(&rejected);
  return NULL;
}

/// What leaves for each group; null where nothing was stored.
static inline ms_reason ms_finish(const ms_aggregator *aggregator, const ms_groups *groups, ms_column *results) {
  size_t len = ms_len(&groups->keys);
  ms_column_out made;
  void *state = ms_alloc(aggregator->state_size);
  ms_column_begin(&made, len, groups->states.data_len + 16 * len);
  for (size_t index = 0; index < len; index++) {
    ms_bytes stored = ms_item(&groups->states, index);
    ms_group group = ms_group_at(groups, index);
    size_t before = made.data.size;
    bool leaves = false;
    if (stored.data) {
      memset(state, 0, aggregator->state_size);
      ms_reason wrong = aggregator->decode(state, stored);
      if (wrong) return wrong;
      leaves = aggregator->finish(state, &group, &made.data);
    }
    if (!leaves) made.data.size = before;
    ms_column_end(&made, leaves);
  }
  *results = ms_column_done(&made);
  return NULL;
}

/// Joins two states of each key; a null side leaves the other as it is.
static inline ms_reason ms_merge(const ms_aggregator *aggregator, const ms_column *left, const ms_column *right,
                                 ms_column *merged) {
  size_t len = ms_len(left);
  ms_column_out made;
  void *first = ms_alloc(aggregator->state_size), *second = ms_alloc(aggregator->state_size);
  ms_column_begin(&made, len, left->data_len + 16 * len);
  for (size_t index = 0; index < len; index++) {
    ms_bytes one = ms_item(left, index), other = ms_item(right, index);
    if (!one.data || !other.data) {
      ms_column_push(&made, one.data ? one : other);
      continue;
    }
    memset(first, 0, aggregator->state_size);
    memset(second, 0, aggregator->state_size);
    ms_reason wrong = aggregator->decode(first, one);
    if (!wrong) wrong = aggregator->decode(second, other);
    if (!wrong) wrong = aggregator->merge(first, second);
    if (wrong) return wrong;
    aggregator->encode(first, &made.data);
    ms_column_end(&made, true);
  }
  *merged = ms_column_done(&made);
  return NULL;
}

static inline bool ms_has(ms_numbers numbers, uint32_t number) {
  for (size_t i = 0; i < numbers.len; i++) {
    if (numbers.data[i] == number) return true;
  }
  return false;
}

/// Brings each state from the layout `old` to `now`; null stays null.
static inline ms_reason ms_migrate(const ms_migrator *migrator, uint32_t old, uint32_t now, const ms_column *states,
                                   ms_column *migrated) {
  size_t len = ms_len(states);
  ms_column_out made;
  bool known = (now == migrator->current && ms_has(migrator->reads, old)) ||
               (old == migrator->current && ms_has(migrator->writes, now));
  if (!known) {
    ms_buffer why = {NULL, 0, 0};
    ms_push_text(&why, "no way from layout ");
    ms_push_number(&why, old);
    ms_push_text(&why, " to ");
    ms_push_number(&why, now);
    return ms_reason_of(&why);
  }
  ms_column_begin(&made, len, states->data_len + 16 * len);
  for (size_t index = 0; index < len; index++) {
    ms_bytes state = ms_item(states, index);
    if (state.data) {
      ms_reason wrong = migrator->migrate(state, old, now, &made.data);
      if (wrong) return wrong;
    }
    ms_column_end(&made, state.data != NULL);
  }
  *migrated = ms_column_done(&made);
  return NULL;
}

#ifdef __cplusplus
}
#endif

#endif
