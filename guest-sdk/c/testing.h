//! For native tests of functions: checks that count, and columns made of single items. Not for WebAssembly.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_TESTING_H
#define MILLSTREAM_TESTING_H

#include "millstream.h"

#ifdef __cplusplus
extern "C" {
#endif

static int ms_failures;

/// Says what does not hold, and goes on.
#define CHECK(holds)                                                    \
  do {                                                                  \
    if (!(holds)) {                                                     \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #holds); \
      ms_failures++;                                                    \
    }                                                                   \
  } while (0)

/// What `main` returns: 1 when a check failed.
static inline int failures(void) { return ms_failures != 0; }

static inline ms_column *column_of(const ms_bytes *items, size_t len) {
  ms_column_out made;
  ms_column *column = (ms_column *)ms_alloc(sizeof *column);
  ms_column_begin(&made, len, 0);
  for (size_t i = 0; i < len; i++) ms_column_push(&made, items[i]);
  *column = ms_column_done(&made);
  return column;
}

/// Records without keys, at times 0, 1, 2….
static inline ms_batch *batch_of_values(const ms_bytes *values, size_t len) {
  ms_batch *batch = (ms_batch *)ms_alloc(sizeof *batch);
  int64_t *times = (int64_t *)ms_alloc(len * sizeof *times);
  ms_bytes *none = (ms_bytes *)ms_alloc(len * sizeof *none);
  memset(none, 0, len * sizeof *none);
  for (size_t i = 0; i < len; i++) times[i] = (int64_t)i;
  batch->keys = *column_of(none, len);
  batch->values = *column_of(values, len);
  batch->timestamps = times;
  batch->len = len;
  return batch;
}

static inline ms_batch *batch_of(ms_bytes value) { return batch_of_values(&value, 1); }

static inline ms_batch *batch_of_records(const ms_record *records, size_t len) {
  ms_bytes *keys = (ms_bytes *)ms_alloc(len * sizeof *keys), *values = (ms_bytes *)ms_alloc(len * sizeof *values);
  int64_t *times = (int64_t *)ms_alloc(len * sizeof *times);
  for (size_t i = 0; i < len; i++) {
    keys[i] = records[i].key;
    values[i] = records[i].value;
    times[i] = records[i].timestamp;
  }
  ms_batch *batch = batch_of_values(values, len);
  batch->keys = *column_of(keys, len);
  batch->timestamps = times;
  return batch;
}

/* ---- Stores and timers: what the host of processors has, from one call to the next ---- */

/// What a store holds for a key; null: nothing.
static inline ms_bytes stored(const char *store, ms_bytes key) {
  ms_native_item *item = ms_native_entry(store, key);
  ms_bytes none = {NULL, 0};
  return item ? item->value : none;
}

/// For which time a timer is set; not there: it is not set.
static inline ms_time due_of(ms_clock clock, ms_bytes key, ms_bytes name) {
  ms_native_item *item = ms_native_timer(clock, key, name);
  ms_time due = {item != NULL, item ? item->due : 0};
  return due;
}

/// Takes the timer of this clock that is due first, of several the one with the least key; false: none is set. `ms_fire`
/// takes it with batch_of_timer.
static inline bool take_timer(ms_clock clock, ms_timer *timer) {
  ms_native_item *first = NULL;
  for (size_t i = 0; i < ms_native.len; i++) {
    ms_native_item *item = &ms_native.items[i];
    if (item->store || item->clock != clock) continue;
    if (!first || item->due < first->due || (item->due == first->due && ms_order(item->key, first->key) < 0)) first = item;
  }
  if (!first) return false;
  timer->clock = clock;
  timer->key = ms_native_copy(first->key);
  timer->name = ms_native_copy(first->value);
  timer->due = first->due;
  ms_native_drop(first);
  return true;
}

static inline ms_batch *batch_of_timer(const ms_timer *timer) {
  ms_record record = {timer->key, timer->name, timer->due, 0};
  return batch_of_records(&record, 1);
}

/// Every store is empty, and no timer is set.
static inline void forget_stores_and_timers(void) {
  while (ms_native.len) ms_native_drop(&ms_native.items[0]);
  ms_native.asked = ms_native.put = 0;
}

/* ---- What the host would say about the records of a call, until ms_reset ---- */

/// Headers, as many for each record as `counts` says.
static inline void give_headers(const ms_header *headers, const uint32_t *counts, size_t records) {
  ms_facts *facts = ms_facts_now();
  ms_column_out names, values;
  uint32_t *offsets = (uint32_t *)ms_alloc((records + 1) * sizeof *offsets);
  ms_column_begin(&names, 0, 0);
  ms_column_begin(&values, 0, 0);
  offsets[0] = 0;
  for (size_t i = 0; i < records; i++) {
    offsets[i + 1] = offsets[i] + counts[i];
    for (size_t at = offsets[i]; at < offsets[i + 1]; at++) {
      ms_column_push(&names, headers[at].name);
      ms_column_push(&values, headers[at].value);
    }
  }
  facts->has_headers = true;
  facts->headers.there = 1;
  facts->headers.value.offsets.data = offsets;
  facts->headers.value.offsets.len = records + 1;
  facts->headers.value.names = ms_column_done(&names);
  facts->headers.value.values = ms_column_done(&values);
}

/// The step's stream time once each record is in; `times` must stay.
static inline void give_stream_times(const int64_t *times, size_t records) {
  ms_facts *facts = ms_facts_now();
  facts->has_stream_times = true;
  facts->stream_times.data = times;
  facts->stream_times.len = records;
}

/// The window of each record's key; both must stay.
static inline void give_windows(const int64_t *starts, const int64_t *ends, size_t records) {
  ms_facts *facts = ms_facts_now();
  facts->has_windows = true;
  facts->windows.there = 1;
  facts->windows.value.starts.data = starts;
  facts->windows.value.ends.data = ends;
  facts->windows.value.starts.len = facts->windows.value.ends.len = records;
}

/// Which of the step's inputs each record came from; must stay.
static inline void give_inputs(const uint32_t *inputs, size_t records) {
  ms_facts *facts = ms_facts_now();
  facts->has_inputs = true;
  facts->inputs.there = 1;
  facts->inputs.value.data = inputs;
  facts->inputs.value.len = records;
}

#ifdef __cplusplus
}
#endif

#endif
