//! {{name}} on single records, natively.
#include "function.c"

#include "testing.h"

int main(void) {
  ms_output_columns output = ms_apply(first_word, batch_of(ms_text("GET /index.html")));
  CHECK(output.taken == 1 && output.keys.there && !output.values.there);
  CHECK(ms_equal(ms_item(&output.keys.value, 0), ms_text("GET")));
  output = ms_apply(first_word, batch_of(ms_text(" ")));
  CHECK(output.rejected.len == 1 && ms_equal(output.rejected.data[0].reason, ms_text("the value has no word")));
  return failures();
}
