//! Stores and timers, and the loops of processors that use them. Included by millstream.h; not the host, which is in
//! millstream-host.h.
//!
//! What a function writes in a call is held here, and goes to the host at once behind the last record. What it writes for a
//! record that it refuses never goes.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_PROCESSORS_H
#define MILLSTREAM_PROCESSORS_H

#include "millstream-host.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- A call ---- */

/// What an entry was before a write for the record at hand.
typedef struct ms_undo {
  ms_held *held;
  ms_held before;
} ms_undo;

/// A change of a timer.
typedef struct ms_change {
  ms_clock clock;
  bool cancels;
  ms_bytes key;
  ms_bytes name;
  int64_t due;
} ms_change;

typedef struct ms_call {
  bool under_way;
  /// The stores that it has asked for, one behind the other.
  ms_store *stores;
  /// How writes and changes of timers go to the host: NULL in a function that has none, so that it does not import them.
  void (*send_writes)(ms_store *store);
  void (*send_changes)(void);
  ms_buffer undo;
  ms_buffer changes;
  /// The earliest event time for which a timer was set.
  bool has_earliest;
  int64_t earliest;
  /// About how much memory it has taken for stores and timers.
  size_t bytes;
} ms_call;

__attribute__((weak)) ms_call ms_call_now;

/// The call at hand. There is none in other functions than processors: they have no stores and no timers.
static inline ms_call *ms_calling(void) {
  if (!ms_call_now.under_way) ms_fail(ms_text("stores and timers are for processors, while they handle a record or a timer"));
  return &ms_call_now;
}

/// A copy that stays until the call ends, whatever becomes of the bytes; null stays null.
static inline ms_bytes ms_copy(ms_call *call, ms_bytes bytes) {
  if (!bytes.data) return bytes;
  uint8_t *made = (uint8_t *)ms_alloc_aligned(bytes.size + 1, 1);
  if (bytes.size) memcpy(made, bytes.data, bytes.size);
  bytes.data = made;
  call->bytes += bytes.size;
  return bytes;
}

/* ---- Stores ---- */

/// The entry of a key, which is made when the call does not have it yet.
static inline ms_held *ms_held_of(ms_call *call, ms_store *store, ms_bytes key) {
  if (!key.data) ms_fail(ms_text("a key of a store is null"));
  size_t low = 0, high = store->len;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = ms_order(store->held[middle]->key, key);
    if (!order) return store->held[middle];
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  if (!store->is_listed) {
    store->is_listed = true;
    store->next = call->stores;
    call->stores = store;
  }
  if (store->len == store->capacity) {
    size_t capacity = store->capacity ? 2 * store->capacity : 16;
    ms_held **held = (ms_held **)ms_alloc(capacity * sizeof *held);
    if (store->len) memcpy(held, store->held, store->len * sizeof *held);
    store->held = held;
    store->capacity = capacity;
  }
  ms_held *made = (ms_held *)ms_alloc(sizeof *made);
  memset(made, 0, sizeof *made);
  made->key = ms_copy(call, key);
  call->bytes += sizeof *made;
  memmove(store->held + low + 1, store->held + low, (store->len - low) * sizeof *store->held);
  store->held[low] = made;
  store->len++;
  return made;
}

/// Hands what was written over, in the order of keys.
static inline void ms_send_writes(ms_store *store) {
  ms_column_out keys, values;
  ms_column_begin(&keys, store->len, 0);
  ms_column_begin(&values, store->len, 0);
  for (size_t i = 0; i < store->len; i++) {
    ms_held *held = store->held[i];
    if (!held->written) continue;
    held->written = false;
    ms_column_push(&keys, held->key);
    ms_column_push(&values, held->value);
  }
  if (!keys.len) return;
  ms_column keys_done = ms_column_done(&keys), values_done = ms_column_done(&values);
  ms_host_put(store, &keys_done, &values_done);
}

/// The value of a key; null when there is none. It stays until the call ends, also when another is put.
static inline ms_bytes ms_get(ms_store *store, ms_bytes key) {
  ms_call *call = ms_calling();
  ms_held *held = ms_held_of(call, store, key);
  if (!held->known) {
    ms_column_out keys;
    ms_column_begin(&keys, 1, held->key.size);
    ms_column_push(&keys, held->key);
    ms_column asked = ms_column_done(&keys), values = ms_host_get(store, &asked);
    held->value = ms_item(&values, 0);
    held->known = true;
    call->bytes += held->value.size;
  }
  return held->value;
}

/// Sets the value of a key; a null value removes the key. Both are copied.
static inline void ms_put(ms_store *store, ms_bytes key, ms_bytes value) {
  ms_call *call = ms_calling();
  ms_undo undo;
  undo.held = ms_held_of(call, store, key);
  undo.before = *undo.held;
  ms_push(&call->undo, &undo, sizeof undo);
  undo.held->value = ms_copy(call, value);
  undo.held->known = undo.held->written = true;
  call->send_writes = ms_send_writes;
}

static inline void ms_remove(ms_store *store, ms_bytes key) {
  ms_bytes none = {NULL, 0};
  ms_put(store, key, none);
}

/// Hands everything over.
static inline void ms_flush(ms_call *call) {
  for (ms_store *store = call->stores; store && call->send_writes; store = store->next) call->send_writes(store);
  if (call->send_changes) call->send_changes();
}

/// Entries with `start` <= key < `end` in key order, at most `limit` of them; an empty `end`, or null, is no bound.
static inline ms_entries ms_range(ms_store *store, ms_bytes start, ms_bytes end, uint32_t limit) {
  ms_call *call = ms_calling();
  // The host puts what this call wrote in its place among the others. Should the record be refused all the same, the host
  // forgets the call and asks again without it.
  ms_flush(call);
  ms_entries found = ms_host_range(store, start, end, limit);
  call->bytes += found.keys.data_len + found.values.data_len;
  return found;
}

/* ---- Timers ---- */

static inline bool ms_alike(const ms_change *left, const ms_change *right) {
  return left->clock == right->clock && left->cancels == right->cancels && ms_equal(left->name, right->name);
}

/// Changes of timers in their order; those that follow each other and are alike go together.
static inline void ms_send_changes(void) {
  ms_call *call = &ms_call_now;
  const ms_change *changes = (const ms_change *)(const void *)call->changes.data;
  size_t len = call->changes.size / sizeof *changes;
  for (size_t from = 0, to = 0; from < len; from = to) {
    ms_column_out keys;
    ms_buffer due = {NULL, 0, 0};
    ms_column_begin(&keys, len - from, 0);
    for (; to < len && ms_alike(&changes[from], &changes[to]); to++) {
      ms_column_push(&keys, changes[to].key);
      ms_push(&due, &changes[to].due, sizeof changes[to].due);
    }
    ms_column all = ms_column_done(&keys);
    ms_times times = {(const int64_t *)(const void *)due.data, to - from};
    if (changes[from].cancels) ms_host_cancel(changes[from].clock, &all, changes[from].name);
    else ms_host_set(changes[from].clock, &all, changes[from].name, times);
  }
  call->changes.size = 0;
}

static inline void ms_change_timer(ms_clock clock, ms_bytes key, ms_bytes name, bool cancels, int64_t due) {
  static const uint8_t nothing[1] = {0};
  ms_call *call = ms_calling();
  if (!name.data) name.data = nothing;
  ms_change change = {clock, cancels, ms_copy(call, key), ms_copy(call, name), due};
  ms_push(&call->changes, &change, sizeof change);
  call->bytes += sizeof change;
  call->send_changes = ms_send_changes;
}

/// Sets a timer. There is one for each clock, key and name: setting it again moves it. A null key: it is the task's. `name` is
/// UTF-8; `due` is in milliseconds since 1970-01-01T00:00:00Z.
static inline void ms_timer_set(ms_clock clock, ms_bytes key, ms_bytes name, int64_t due) {
  ms_change_timer(clock, key, name, false, due);
  if (clock != MS_EVENT_TIME) return;
  if (!ms_call_now.has_earliest || due < ms_call_now.earliest) ms_call_now.earliest = due;
  ms_call_now.has_earliest = true;
}

/// Cancels a timer, where there is one.
static inline void ms_timer_cancel(ms_clock clock, ms_bytes key, ms_bytes name) { ms_change_timer(clock, key, name, true, 0); }

/* ---- The loops ---- */

static inline void ms_call_begin(ms_output *out, const ms_batch *records) {
  memset(&ms_call_now, 0, sizeof ms_call_now);
  ms_call_now.under_way = true;
  memset(out, 0, sizeof *out);
  out->records = records;
}

static inline bool ms_call_is_full(const ms_output *out) {
  return ms_output_bytes(out) + ms_call_now.bytes >= MS_RESULT_BYTES_MAX;
}

/// Where a call was before a record: what it is taken back to when the record is refused.
typedef struct ms_mark {
  size_t results;
  size_t changes_size;
  bool has_earliest;
  int64_t earliest;
} ms_mark;

static inline ms_mark ms_mark_before(ms_output *out, size_t record) {
  ms_mark mark = {out->results, ms_call_now.changes.size, ms_call_now.has_earliest, ms_call_now.earliest};
  out->record = record;
  out->port = 0;
  return mark;
}

static inline void ms_mark_behind(ms_output *out, const ms_mark *mark, ms_buffer *rejected, ms_reason refused) {
  ms_call *call = &ms_call_now;
  const ms_undo *undo = (const ms_undo *)(const void *)call->undo.data;
  if (refused) {
    for (size_t at = call->undo.size / sizeof *undo; at-- > 0;) *undo[at].held = undo[at].before;
    // A range may have sent them.
    if (call->changes.size > mark->changes_size) call->changes.size = mark->changes_size;
    call->has_earliest = mark->has_earliest;
    call->earliest = mark->earliest;
    ms_forget(out, mark->results);
    ms_reject_at(rejected, out->record, refused);
  }
  call->undo.size = 0;
}

static inline ms_output_columns ms_call_end(ms_output *out, size_t taken, const ms_buffer *rejected) {
  ms_call *call = &ms_call_now;
  ms_flush(call);
  for (ms_store *store = call->stores; store; store = store->next) {
    store->held = NULL;
    store->len = store->capacity = 0;
    store->is_listed = false;
  }
  call->under_way = false;
  return ms_output_done(out, taken, rejected);
}

/// Handles records until they are all dealt with, a timer that was set is due before the next one, or the call grows large.
static inline ms_output_columns ms_process(ms_processor processor, const ms_batch *records) {
  ms_output out;
  ms_buffer rejected = {NULL, 0, 0};
  int64_t newest = INT64_MIN;
  size_t taken = 0;
  ms_call_begin(&out, records);
  for (; taken < records->len && !ms_call_is_full(&out); taken++) {
    int64_t next = records->timestamps[taken] > newest ? records->timestamps[taken] : newest;
    // A timer that is due before this record has to fire before it.
    if (ms_call_now.has_earliest && ms_call_now.earliest <= next) break;
    newest = next;
    ms_record record = ms_record_at(records, taken);
    ms_mark mark = ms_mark_before(&out, taken);
    ms_mark_behind(&out, &mark, &rejected, processor(&record, &out));
  }
  return ms_call_end(&out, taken, &rejected);
}

/// Handles timers; `due` has their keys, their names as values, their times.
static inline ms_output_columns ms_fire(ms_on_timer on_timer, ms_clock clock, const ms_batch *due) {
  ms_output out;
  ms_buffer rejected = {NULL, 0, 0};
  size_t taken = 0;
  ms_call_begin(&out, due);
  // Values are given, also where they are the timers' names; headers of records there are none.
  ms_open_column(&out, &out.has_values, &out.values, &due->values);
  ms_facts *facts = ms_facts_now();
  facts->has_headers = true;
  facts->headers.there = 0;
  for (; taken < due->len && !ms_call_is_full(&out); taken++) {
    ms_record record = ms_record_at(due, taken);
    ms_timer timer = {clock, record.key, record.value, record.timestamp};
    ms_mark mark = ms_mark_before(&out, taken);
    ms_mark_behind(&out, &mark, &rejected, on_timer(&timer, &out));
  }
  return ms_call_end(&out, taken, &rejected);
}

#ifdef __cplusplus
}
#endif

#endif
