//! A running total: after each record the sum of a number in a JSON field so far. The state is the exact sum, results are decimal
//! text; a record without such a number is refused.
#include "millstream.hpp"

#include "../running-total-c/json-number.h"

using millstream::Buffer, millstream::Group, millstream::Record, millstream::Refusal;

/// Where the number is, by the setting.
static field summed;

static ms_reason begin(const ms_settings *settings) { return field_of(settings, &summed); }

struct RunningTotal {
  number sum = 0;

  Refusal decode(std::string_view stored) { return state_of(millstream::bytes_of(millstream::Bytes(stored)), &sum); }
  void encode(Buffer into) const { push_state(into.c(), sum); }

  Refusal add(const Record &record) {
    ms_record at = record.here();
    number more, both;
    if (ms_reason wrong = field_number(&summed, &at, &more)) return wrong;
    if (__builtin_add_overflow(sum, more, &both)) return "the sum would be too large";
    sum = both;
    return millstream::ok;
  }

  bool finish(const Group &, Buffer into) const {
    push_decimal(into.c(), sum);
    return true;
  }
};

MILLSTREAM_SCANNER(RunningTotal)
MS_FUNCTION("running-total", "After each record the sum of the number in a JSON field so far.", FIELD_SETTINGS, begin, "scanner")
