//! {{name}}: the key becomes the first word of the value.
#include "millstream.hpp"

/// Refuses a record whose value has no word.
static millstream::Refusal first_word(const millstream::Record &record, millstream::Output out) {
  std::string_view line = record.value_or_empty();
  auto start = line.find_first_not_of(' ');
  if (start == std::string_view::npos) return "the value has no word";
  line = line.substr(start);
  out.emit_key(line.substr(0, line.find(' ')));
  return millstream::ok;
}

MILLSTREAM_MAPPER(first_word)
