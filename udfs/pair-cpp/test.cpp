//! The joiner on single pairs, natively.
#include "pair.cpp"

#include "testing.h"

/// What is made of two values, or why nothing; "nothing" where nothing leaves.
static std::string_view joined(Bytes left, Bytes right) {
  ms_bytes key = ms_text("k"), sides[] = {millstream::bytes_of(left), millstream::bytes_of(right)};
  ms_joined answer = ms_join(millstream::join<pair>, column_of(&key, 1), column_of(&sides[0], 1), column_of(&sides[1], 1));
  if (answer.rejected.len) return *millstream::bytes_of(answer.rejected.data[0].reason);
  return millstream::bytes_of(ms_item(&answer.values, 0)).value_or("nothing");
}

int main() {
  CHECK(joined("a", "b") == "a,b");
  CHECK(joined("a", std::nullopt) == "a,-");
  CHECK(joined(std::nullopt, "") == "-,");
  CHECK(joined("a", "a") == "nothing");
  CHECK(joined("a", "b,c") == "a value has a comma");
  CHECK(joined(",", std::nullopt) == "a value has a comma");
  return failures();
}
