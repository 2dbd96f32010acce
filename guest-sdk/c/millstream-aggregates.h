//! The loops of functions over states: aggregates, scans, merges, migrations. Included by millstream.h; states are the
//! host's, who hands them in and takes them back.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_AGGREGATES_H
#define MILLSTREAM_AGGREGATES_H

#ifdef __cplusplus
extern "C" {
#endif

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
