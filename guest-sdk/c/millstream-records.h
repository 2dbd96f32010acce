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

#ifdef __cplusplus
}
#endif

#endif
