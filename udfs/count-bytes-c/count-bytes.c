//! Counts records and the bytes of their values: the successor of count, whose states it reads and writes back. For
//! records that count counted, their bytes are not known and count as 0.
#include "millstream.h"

/// Layout 0: the u64 of count, the low byte first. Layout 1: that, and a u64 of bytes behind it.
#define COUNT 0

typedef struct counts {
  uint64_t records;
  uint64_t bytes;
} counts;

static ms_reason decode(void *state, ms_bytes stored) {
  counts *both = (counts *)state;
  if (stored.size != 16) return "a state has two counts of 8 bytes";
  both->records = ms_u64(stored);
  both->bytes = ms_u64(ms_slice(stored, 8, 16));
  return NULL;
}

static void encode(const void *state, ms_buffer *into) {
  const counts *both = (const counts *)state;
  ms_push_u64(into, both->records);
  ms_push_u64(into, both->bytes);
}

static ms_reason add(void *state, const ms_record *record) {
  counts *both = (counts *)state;
  both->records++;
  both->bytes += record->value.size;
  return NULL;
}

static bool finish(const void *state, const ms_group *group, ms_buffer *into) {
  const counts *both = (const counts *)state;
  (void)group;
  ms_push_number(into, both->records);
  ms_push_text(into, " records, ");
  ms_push_number(into, both->bytes);
  ms_push_text(into, " bytes");
  return true;
}

static ms_reason merge(void *left, const void *right) {
  counts *both = (counts *)left;
  both->records += ((const counts *)right)->records;
  both->bytes += ((const counts *)right)->bytes;
  return NULL;
}

static ms_reason migrate(const ms_stored *stored, uint32_t old, uint32_t now, ms_buffer *into) {
  (void)now;
  if (stored->state.size != (old == COUNT ? 8 : 16)) return "a count has 8 bytes, and a state of layout 1 has two";
  ms_push_u64(into, ms_u64(stored->state));
  if (old == COUNT) ms_push_u64(into, 0);
  return NULL;
}

static const ms_aggregator count_bytes = {
    .state_size = sizeof(counts), .decode = decode, .encode = encode, .add = add, .finish = finish, .merge = merge};

static const uint32_t old_layouts[] = {COUNT};
static const ms_migrator layouts = {
    .current = 1, .reads = {old_layouts, 1}, .writes = {old_layouts, 1}, .migrate = migrate};

MS_AGGREGATOR(count_bytes)
MS_MERGER(count_bytes)
MS_MIGRATOR(layouts)
