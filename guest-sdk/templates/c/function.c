//! {{name}}: the key becomes the first word of the value.
#include "millstream.h"

/// Refuses a record whose value has no word.
static ms_reason first_word(const ms_record *record, ms_output *out) {
  ms_bytes line = ms_trim(record->value);
  ms_bytes word = ms_slice(line, 0, ms_find(line, " "));
  if (!word.size) return "the value has no word";
  ms_emit_key(out, word);
  return NULL;
}

MS_MAPPER(first_word)
