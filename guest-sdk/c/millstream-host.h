//! What processors see, and the host that has their stores and timers: for WebAssembly the one that calls, natively the one for
//! tests of millstream-native.h. Included by millstream-processors.h; not what a function calls.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_HOST_H
#define MILLSTREAM_HOST_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What processors see ---- */

/// What time a timer goes by: the step's stream time (behind a repartition topic the smallest of its upstream tasks'), or the
/// host's wall clock.
typedef enum ms_clock { MS_EVENT_TIME, MS_WALL_CLOCK } ms_clock;

/// A timer that is due. It is gone unless it is set again.
typedef struct ms_timer {
  ms_clock clock;
  /// Null: it is the task's.
  ms_bytes key;
  ms_bytes name;
  /// The time for which it was set, milliseconds since 1970-01-01T00:00:00Z.
  int64_t due;
} ms_timer;

/// Handles a record: reads and writes stores, sets timers, writes results. With a reason, nothing of it counts.
typedef ms_reason (*ms_processor)(const ms_record *record, ms_output *out);

/// Handles a timer. Results have its key and its due time unless they are given others; ms_emit_same's value is its name.
typedef ms_reason (*ms_on_timer)(const ms_timer *timer, ms_output *out);

/// Keys and values in the order of keys: item i of both, by ms_item; there are ms_len(&entries.keys) of them.
typedef struct ms_entries {
  ms_column keys;
  ms_column values;
} ms_entries;

/// An entry as the call sees it. Not known: the host was not asked yet.
typedef struct ms_held {
  ms_bytes key;
  ms_bytes value;
  bool known;
  bool written;
} ms_held;

/// A store of the step, by the name that the manifest gives it: `static ms_store last = MS_STORE("last");`. All but the name
/// is this file's own.
typedef struct ms_store {
  const char *name;
  /// The host's number of it, for as long as the instance lives.
  bool is_open;
  int32_t handle;
  /// What the call at hand knows of it, in the order of keys; whether it is among the call's stores, and which is next there.
  ms_held **held;
  size_t len;
  size_t capacity;
  bool is_listed;
  struct ms_store *next;
} ms_store;
#define MS_STORE(name) {name, false, 0, NULL, 0, 0, false, NULL}

/* ---- The host ---- */

#ifdef __wasm__
/// 0 and a handle, or 1 and why there is none.
typedef struct ms_opened {
  uint8_t failed;
  union {
    int32_t handle;
    ms_bytes reason;
  } is;
} ms_opened;
_Static_assert(sizeof(ms_opened) == 12 && sizeof(ms_entries) == 48, "as the canonical ABI has it");

#define MS_STATE(name) __attribute__((import_module("millstream:udf/state@0.1.0"), import_name(name)))
MS_STATE("[static]store.open") void ms_host_open(const char *name, size_t size, ms_opened *into);
MS_STATE("[method]store.get") void ms_state_get(int32_t store, MS_COLUMN_PARAMETERS(keys), ms_column *into);
MS_STATE("[method]store.put") void ms_state_put(int32_t store, MS_COLUMN_PARAMETERS(keys), MS_COLUMN_PARAMETERS(values));
MS_STATE("[method]store.range")
void ms_state_range(int32_t store, const uint8_t *start, size_t start_size, const uint8_t *end, size_t end_size, uint32_t limit,
                    ms_entries *into);
#undef MS_STATE
#define MS_TIMERS(name) __attribute__((import_module("millstream:udf/timers@0.1.0"), import_name(name)))
MS_TIMERS("set")
void ms_timers_set(int32_t clock, MS_COLUMN_PARAMETERS(keys), const uint8_t *name, size_t size, const int64_t *due, size_t len);
MS_TIMERS("cancel") void ms_timers_cancel(int32_t clock, MS_COLUMN_PARAMETERS(keys), const uint8_t *name, size_t size);
#undef MS_TIMERS

static inline int32_t ms_handle(ms_store *store) {
  if (!store->is_open) {
    ms_opened opened;
    ms_host_open(store->name, strlen(store->name), &opened);
    if (opened.failed) ms_fail(opened.is.reason);
    store->handle = opened.is.handle;
    store->is_open = true;
  }
  return store->handle;
}

static inline ms_column ms_host_get(ms_store *store, const ms_column *keys) {
  ms_column values;
  ms_state_get(ms_handle(store), MS_COLUMN_ARGUMENTS(keys), &values);
  return values;
}

static inline void ms_host_put(ms_store *store, const ms_column *keys, const ms_column *values) {
  ms_state_put(ms_handle(store), MS_COLUMN_ARGUMENTS(keys), MS_COLUMN_ARGUMENTS(values));
}

static inline ms_entries ms_host_range(ms_store *store, ms_bytes start, ms_bytes end, uint32_t limit) {
  ms_entries found;
  ms_state_range(ms_handle(store), start.data, start.size, end.data, end.size, limit, &found);
  return found;
}

static inline void ms_host_set(ms_clock clock, const ms_column *keys, ms_bytes name, ms_times due) {
  ms_timers_set((int32_t)clock, MS_COLUMN_ARGUMENTS(keys), name.data, name.size, due.data, due.len);
}

static inline void ms_host_cancel(ms_clock clock, const ms_column *keys, ms_bytes name) {
  ms_timers_cancel((int32_t)clock, MS_COLUMN_ARGUMENTS(keys), name.data, name.size);
}
#endif

#ifdef __cplusplus
}
#endif

#ifndef __wasm__
#include "millstream-native.h"
#endif

#endif
