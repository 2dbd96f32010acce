//! {{name}} on single records, natively.
#include "function.cpp"

#include "testing.h"

static ms_output_columns mapped(const char *value) {
  return ms_apply(millstream::apply<first_word>, batch_of(ms_text(value)));
}

int main() {
  ms_output_columns output = mapped("GET /index.html");
  CHECK(output.taken == 1 && output.keys.there && !output.values.there);
  CHECK(ms_equal(ms_item(&output.keys.value, 0), ms_text("GET")));
  output = mapped(" ");
  CHECK(output.rejected.len == 1 && ms_equal(output.rejected.data[0].reason, ms_text("the value has no word")));
  return failures();
}
