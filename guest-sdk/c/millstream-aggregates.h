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

/// What is to be brought into another layout: a state of an aggregate or a scan, or an entry of a processor's store.
typedef struct ms_stored {
  /// The name of the store, as the manifest has it; no bytes for the state of an aggregate or a scan.
  ms_bytes store;
  /// Of the group, or of the entry. A host has one for all that it stores; null where it was asked without.
  ms_bytes key;
  /// The state, or the entry's value; never null.
  ms_bytes state;
} ms_stored;

/// The layouts of what a function stores, be it an aggregator, a scanner or a processor with all its stores.
typedef struct ms_migrator {
  /// The layout that is written.
  uint32_t current;
  /// Others that `migrate` can turn into that.
  ms_numbers reads;
  /// Older ones that it can turn that back into.
  ms_numbers writes;
  /// Writes `stored->state`, of the layout `old`, in the layout `now`. The key stays as it is. A reason fails the call.
  ms_reason (*migrate)(const ms_stored *stored, uint32_t old, uint32_t now, ms_buffer *into);
} ms_migrator;

static inline ms_group ms_group_at(const ms_groups *groups, size_t index) {
  ms_group group = {ms_item(&groups->keys, index), index < groups->starts.len && index < groups->ends.len, 0, 0};
  if (group.has_window) {
    group.window_start = groups->starts.data[index];
    group.window_end = groups->ends.data[index];
  }
  return group;
}

/// How records come into a state: the aggregator's add or remove.
typedef ms_reason (*ms_take)(void *state, const ms_record *record);

/// A fold that is under way.
typedef struct ms_fold_run {
  const ms_aggregator *aggregator;
  ms_take take;
  const ms_groups *groups;
  const ms_batch *records;
  /// What leaves after each member; NULL: nobody asks.
  ms_column_out *values;
  ms_buffer rejected;
} ms_fold_run;

/// What leaves after a member: nothing, where it was refused.
static inline void ms_leave(ms_fold_run *run, const void *state, const ms_group *group, bool refused) {
  if (!refused && run->aggregator->finish(state, group, &run->values->data)) ms_column_end(run->values, true);
  else ms_column_end_null(run->values);
}

/// Folds the members of a group, and says whether one was not refused.
static inline bool ms_fold_members(ms_fold_run *run, void *state, size_t index, const ms_group *group) {
  const ms_numbers *offsets = &run->groups->offsets, *members = &run->groups->members;
  bool added = false;
  if (index + 1 >= offsets->len) __builtin_trap();
  for (size_t at = offsets->data[index]; at < offsets->data[index + 1]; at++) {
    if (at >= members->len || members->data[at] >= run->records->len) __builtin_trap();
    ms_record record = ms_record_at(run->records, members->data[at]);
    ms_reason refused = run->take(state, &record);
    if (refused) ms_reject_at(&run->rejected, at, refused);
    else added = true;
    if (run->values) ms_leave(run, state, group, refused != NULL);
  }
  return added;
}

static inline ms_reason ms_fold_groups(ms_fold_run *run, ms_column *folded) {
  const ms_aggregator *aggregator = run->aggregator;
  const ms_groups *groups = run->groups;
  size_t len = ms_len(&groups->keys);
  ms_column_out states;
  void *state = ms_alloc(aggregator->state_size);
  ms_column_begin(&states, len, groups->states.data_len + 16 * len);
  for (size_t index = 0; index < len; index++) {
    ms_bytes stored = ms_item(&groups->states, index);
    ms_group group = ms_group_at(groups, index);
    memset(state, 0, aggregator->state_size);
    if (stored.data) {
      ms_reason wrong = aggregator->decode(state, stored);
      if (wrong) return wrong;
    } else if (aggregator->start) {
      aggregator->start(state, &group);
    }
    // A group whose every record was refused is as it was: stored bytes, or nothing.
    if (!ms_fold_members(run, state, index, &group)) {
      ms_column_push(&states, stored);
    } else if (aggregator->is_gone && aggregator->is_gone(state)) {
      ms_column_end(&states, false);
    } else {
      aggregator->encode(state, &states.data);
      ms_column_end(&states, true);
    }
  }
  *folded = ms_column_done(&states);
  return NULL;
}

/// Folds each group's members with `take`, the aggregator's add or remove. A reason fails the call.
static inline ms_reason ms_fold(const ms_aggregator *aggregator, ms_take take, const ms_groups *groups,
                                const ms_batch *records, ms_folded *folded) {
  ms_fold_run run = {aggregator, take, groups, records, NULL, {NULL, 0, 0}};
  ms_reason wrong = ms_fold_groups(&run, &folded->states);
  folded->rejected = ms_rejections_of(&run.rejected);
  return wrong;
}

/// Folds each group's members, and finishes after each of them; a record that is refused leaves nothing. A reason fails the
/// call.
static inline ms_reason ms_scan(const ms_aggregator *aggregator, const ms_groups *groups, const ms_batch *records,
                                ms_scanned *scanned) {
  ms_column_out values;
  ms_column_begin(&values, groups->members.len, 16 * groups->members.len);
  ms_fold_run run = {aggregator, aggregator->add, groups, records, &values, {NULL, 0, 0}};
  ms_reason wrong = ms_fold_groups(&run, &scanned->states);
  scanned->values = ms_column_done(&values);
  scanned->rejected = ms_rejections_of(&run.rejected);
  return wrong;
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

/// Brings each state from the layout `old` to `now`; null stays null. `keys` has one for each of `states`; `store` is empty for
/// an aggregate's. A reason fails the call.
static inline ms_reason ms_migrate(const ms_migrator *migrator, ms_bytes store, uint32_t old, uint32_t now,
                                   const ms_column *keys, const ms_column *states, ms_column *migrated) {
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
    ms_stored stored = {store, ms_item(keys, index), ms_item(states, index)};
    if (stored.state.data) {
      ms_reason wrong = migrator->migrate(&stored, old, now, &made.data);
      if (wrong) return wrong;
    }
    ms_column_end(&made, stored.state.data != NULL);
  }
  *migrated = ms_column_done(&made);
  return NULL;
}

#ifdef __cplusplus
}
#endif

#endif
