//! The host of processors for tests: stores that are there when a function asks for them, and timers that fire only when a test
//! says so (testing.h). Included natively by millstream-host.h; nothing is kept on disk, and nothing is fast.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_NATIVE_H
#define MILLSTREAM_NATIVE_H

#ifdef __cplusplus
extern "C" {
#endif

/// An entry of a store, or a timer: its name in place of a value.
typedef struct ms_native_item {
  /// The store's name; for a timer NULL.
  const char *store;
  ms_clock clock;
  int64_t due;
  ms_bytes key;
  ms_bytes value;
} ms_native_item;

typedef struct ms_native_host {
  ms_native_item *items;
  size_t len;
  /// Questions asked of it, and entries that were put: what a function costs besides its own work.
  size_t asked;
  size_t put;
} ms_native_host;

__attribute__((weak)) ms_native_host ms_native;

/// A copy that stays.
static inline ms_bytes ms_native_copy(ms_bytes bytes) {
  if (!bytes.data) return bytes;
  uint8_t *made = (uint8_t *)malloc(bytes.size + 1);
  if (!made) abort();
  if (bytes.size) memcpy(made, bytes.data, bytes.size);
  bytes.data = made;
  return bytes;
}

static inline ms_native_item *ms_native_entry(const char *store, ms_bytes key) {
  for (size_t i = 0; i < ms_native.len; i++) {
    ms_native_item *item = &ms_native.items[i];
    if (item->store && !strcmp(item->store, store) && ms_equal(item->key, key)) return item;
  }
  return NULL;
}

static inline ms_native_item *ms_native_timer(ms_clock clock, ms_bytes key, ms_bytes name) {
  for (size_t i = 0; i < ms_native.len; i++) {
    ms_native_item *item = &ms_native.items[i];
    if (!item->store && item->clock == clock && ms_equal(item->key, key) && ms_equal(item->value, name)) return item;
  }
  return NULL;
}

static inline void ms_native_drop(ms_native_item *item) {
  if (!item) return;
  free((void *)(uintptr_t)item->key.data);
  free((void *)(uintptr_t)item->value.data);
  *item = ms_native.items[--ms_native.len];
}

static inline void ms_native_add(ms_native_item item) {
  size_t bytes = (ms_native.len + 1) * sizeof item;
  ms_native.items = (ms_native_item *)realloc(ms_native.items, bytes);
  if (!ms_native.items) abort();
  item.key = ms_native_copy(item.key);
  item.value = ms_native_copy(item.value);
  ms_native.items[ms_native.len++] = item;
}

static inline ms_column ms_host_get(ms_store *store, const ms_column *keys) {
  ms_column_out values;
  ms_column_begin(&values, ms_len(keys), 0);
  ms_native.asked++;
  for (size_t i = 0; i < ms_len(keys); i++) {
    ms_native_item *item = ms_native_entry(store->name, ms_item(keys, i));
    ms_bytes none = {NULL, 0};
    ms_column_push(&values, item ? item->value : none);
  }
  return ms_column_done(&values);
}

static inline void ms_host_put(ms_store *store, const ms_column *keys, const ms_column *values) {
  ms_native.asked++;
  for (size_t i = 0; i < ms_len(keys); i++) {
    ms_native_item item = {store->name, MS_EVENT_TIME, 0, ms_item(keys, i), ms_item(values, i)};
    ms_native.put++;
    ms_native_drop(ms_native_entry(item.store, item.key));
    if (item.value.data) ms_native_add(item);
  }
}

/// Whether an entry of the store lies from `start` to before `end`, and behind `last`, where that is not NULL.
static inline bool ms_native_inside(const ms_native_item *item, const ms_store *store, ms_bytes start, ms_bytes end,
                                    const ms_native_item *last) {
  if (!item->store || strcmp(item->store, store->name) || ms_order(item->key, start) < 0) return false;
  return (!end.size || ms_order(item->key, end) < 0) && (!last || ms_order(item->key, last->key) > 0);
}

static inline ms_entries ms_host_range(ms_store *store, ms_bytes start, ms_bytes end, uint32_t limit) {
  ms_column_out keys, values;
  const ms_native_item *last = NULL;
  ms_column_begin(&keys, 0, 0);
  ms_column_begin(&values, 0, 0);
  ms_native.asked++;
  while (keys.len < limit) {
    const ms_native_item *next = NULL;
    for (size_t i = 0; i < ms_native.len; i++) {
      const ms_native_item *item = &ms_native.items[i];
      if (ms_native_inside(item, store, start, end, last) && (!next || ms_order(item->key, next->key) < 0)) next = item;
    }
    if (!next) break;
    ms_column_push(&keys, next->key);
    ms_column_push(&values, next->value);
    last = next;
  }
  ms_entries found = {ms_column_done(&keys), ms_column_done(&values)};
  return found;
}

static inline void ms_host_set(ms_clock clock, const ms_column *keys, ms_bytes name, ms_times due) {
  ms_native.asked++;
  for (size_t i = 0; i < ms_len(keys); i++) {
    ms_native_item item = {NULL, clock, due.data[i], ms_item(keys, i), name};
    ms_native_drop(ms_native_timer(clock, item.key, name));
    ms_native_add(item);
  }
}

static inline void ms_host_cancel(ms_clock clock, const ms_column *keys, ms_bytes name) {
  ms_native.asked++;
  for (size_t i = 0; i < ms_len(keys); i++) ms_native_drop(ms_native_timer(clock, ms_item(keys, i), name));
}

#ifdef __cplusplus
}
#endif

#endif
