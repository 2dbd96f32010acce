//! The loops of functions that answer each record, or each pair, by itself: filters, joiners, routers. Included by
//! millstream.h; not mappers, which have an output.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_RECORDS_H
#define MILLSTREAM_RECORDS_H

#ifdef __cplusplus
extern "C" {
#endif

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

/* ---- Joiners ---- */

/// What has met; not both sides are missing.
typedef struct ms_pair {
  /// Null: a stream's record without a key, which a left join joins with nothing.
  ms_bytes key;
  ms_bytes left;
  ms_bytes right;
} ms_pair;

/// Pushes the value to `into`, and says whether there is one; false: null, and of two tables the row is gone. `*refused`,
/// which is NULL at first, set to a reason: the pair is refused.
typedef bool (*ms_joiner)(const ms_pair *pair, ms_buffer *into, ms_reason *refused);

static inline ms_joined ms_join(ms_joiner joiner, const ms_column *keys, const ms_column *left, const ms_column *right) {
  size_t len = ms_len(keys);
  ms_column_out values;
  ms_buffer rejected = {NULL, 0, 0};
  ms_column_begin(&values, len, left->data_len + right->data_len);
  for (size_t index = 0; index < len; index++) {
    ms_pair pair = {ms_item(keys, index), ms_item(left, index), ms_item(right, index)};
    ms_reason refused = NULL;
    bool there = joiner(&pair, &values.data, &refused);
    if (refused) ms_reject_at(&rejected, index, refused);
    if (there && !refused) ms_column_end(&values, true);
    else ms_column_end_null(&values);
  }
  ms_joined joined = {ms_column_done(&values), ms_rejections_of(&rejected)};
  return joined;
}

/* ---- Routers ---- */

/// Where a result goes; at first to the sink's own topic.
typedef struct ms_route {
  /// From the sink's list or pattern; null: the sink's own.
  ms_bytes topic;
  /// For MS_PARTITIONED_ROUTER only; else it is that of the key.
  uint32_t partition;
} ms_route;

/// Says where a result goes; a reason refuses it. A window is not in the record's key, but in ms_window_of.
typedef ms_reason (*ms_router)(const ms_record *record, ms_route *route);

/// `partitioned`: the router says the partition of every result.
static inline ms_routed ms_direct(ms_router router, bool partitioned, const ms_batch *records) {
  ms_column_out topics;
  ms_buffer rejected = {NULL, 0, 0}, partitions = {NULL, 0, 0};
  ms_column_begin(&topics, records->len, 0);
  if (partitioned) ms_reserve(&partitions, records->len * sizeof(uint32_t));
  for (size_t index = 0; index < records->len; index++) {
    ms_record record = ms_record_at(records, index);
    ms_route route = {{NULL, 0}, 0};
    ms_reason refused = router(&record, &route);
    // Of a result that is refused nothing counts, but there is an item for it.
    if (refused) {
      ms_reject_at(&rejected, index, refused);
      memset(&route, 0, sizeof route);
    }
    ms_column_push(&topics, route.topic);
    if (partitioned) ms_push(&partitions, &route.partition, sizeof route.partition);
  }
  ms_routed routed;
  memset(&routed, 0, sizeof routed);
  routed.topics = ms_column_done(&topics);
  routed.partitions.there = partitioned;
  routed.partitions.value.data = (const uint32_t *)(const void *)partitions.data;
  routed.partitions.value.len = partitioned ? records->len : 0;
  routed.rejected = ms_rejections_of(&rejected);
  return routed;
}

#ifdef __cplusplus
}
#endif

#endif
