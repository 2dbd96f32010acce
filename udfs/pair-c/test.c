//! The joiner on single pairs, natively.
#include "pair.c"

#include "testing.h"

/// What is made of two values, or why nothing; "nothing" where nothing leaves.
static const char *joined(const char *left, const char *right) {
  ms_bytes key = ms_text("k"), sides[] = {ms_text(left), ms_text(right)};
  ms_joined answer = ms_join(pair, column_of(&key, 1), column_of(&sides[0], 1), column_of(&sides[1], 1));
  ms_bytes value = ms_item(&answer.values, 0);
  ms_buffer text = {NULL, 0, 0};
  if (answer.rejected.len) value = answer.rejected.data[0].reason;
  else if (ms_is_null(value)) value = ms_text("nothing");
  ms_push_bytes(&text, value);
  return ms_reason_of(&text);
}

int main(void) {
  CHECK(!strcmp(joined("a", "b"), "a,b"));
  CHECK(!strcmp(joined("a", NULL), "a,-"));
  CHECK(!strcmp(joined(NULL, ""), "-,"));
  CHECK(!strcmp(joined("a", "a"), "nothing"));
  CHECK(!strcmp(joined("a", "b,c"), "a value has a comma"));
  CHECK(!strcmp(joined(",", NULL), "a value has a comma"));
  return failures();
}
