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

#ifdef __cplusplus
}
#endif

#endif
