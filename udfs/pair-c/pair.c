//! The left and the right value with a comma between; `-` stands for the side that is missing. A value with a comma is refused,
//! as nobody could tell the sides apart; two values that are the same leave nothing.
#include "millstream.h"

static bool has_comma(ms_bytes value) { return ms_find(value, ",") < value.size; }

static void push_side(ms_buffer *into, ms_bytes value) { ms_push_bytes(into, ms_is_null(value) ? ms_text("-") : value); }

/// Both sides of a pair.
static bool pair(const ms_pair *of, ms_buffer *into, ms_reason *refused) {
  if (has_comma(of->left) || has_comma(of->right)) {
    *refused = "a value has a comma";
    return false;
  }
  if (ms_equal(of->left, of->right)) return false;
  push_side(into, of->left);
  ms_push_text(into, ",");
  push_side(into, of->right);
  return true;
}

MS_JOINER(pair)
