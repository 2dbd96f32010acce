//! A running total: after each record the sum of a number in a JSON field so far. The state is the exact sum, results are decimal
//! text; a record without such a number is refused.
#include "millstream.h"

#include "json-number.h"

/// Where the number is, by the setting.
static field summed;

static ms_reason begin(const ms_settings *settings) { return field_of(settings, &summed); }

static ms_reason decode(void *state, ms_bytes stored) { return state_of(stored, (number *)state); }

static void encode(const void *state, ms_buffer *into) { push_state(into, *(const number *)state); }

static ms_reason add(void *state, const ms_record *record) {
  number more, sum;
  ms_reason wrong = field_number(&summed, record, &more);
  if (wrong) return wrong;
  if (__builtin_add_overflow(*(number *)state, more, &sum)) return "the sum would be too large";
  *(number *)state = sum;
  return NULL;
}

static bool finish(const void *state, const ms_group *group, ms_buffer *into) {
  (void)group;
  push_decimal(into, *(const number *)state);
  return true;
}

static const ms_aggregator running_total = {
    .state_size = sizeof(number), .decode = decode, .encode = encode, .add = add, .finish = finish};

MS_SCANNER(running_total)
MS_FUNCTION("running-total", "After each record the sum of the number in a JSON field so far.", FIELD_SETTINGS, begin, "scanner")
