//! The left and the right value with a comma between; `-` stands for the side that is missing. A value with a comma is refused,
//! as nobody could tell the sides apart; two values that are the same leave nothing.
#include "millstream.hpp"

using millstream::Bytes, millstream::Buffer, millstream::Pair, millstream::Refusal;

static bool has_comma(Bytes value) { return value && value->find(',') != std::string_view::npos; }

/// Both sides of a pair.
static bool pair(const Pair &of, Buffer into, Refusal &refused) {
  if (has_comma(of.left) || has_comma(of.right)) {
    refused = "a value has a comma";
    return false;
  }
  if (of.left == of.right) return false;
  into.push(of.left.value_or("-"));
  into.push(",");
  into.push(of.right.value_or("-"));
  return true;
}

MILLSTREAM_JOINER(pair)
