//! The map with facts that the test gives, natively.
#include "facts.cpp"

#include "testing.h"

static ms_output_columns shown() { return ms_apply(millstream::apply<facts>, batch_of(ms_text("log hello"))); }

static bool shows(const char *expected) {
  ms_output_columns output = shown();
  return ms_equal(ms_item(&output.values.value, 0), ms_text(expected));
}

int main() {
  static const std::uint32_t two[] = {2}, inputs[] = {1};
  static const std::int64_t times[] = {5}, starts[] = {-10}, ends[] = {10};
  ms_header headers[] = {{ms_text("a"), ms_text("1")}, {ms_text("b"), {nullptr, 0}}};
  CHECK(shows("headers; input 0"));
  give_headers(headers, two, 1);
  give_stream_times(times, 1);
  give_windows(starts, ends, 1);
  give_inputs(inputs, 1);
  CHECK(shows("headers a=1 b; stream time 5; window -10..10; input 1"));
  Record record{std::nullopt, std::nullopt};
  CHECK(record.headers().size() == 2 && record.header("a") == "1" && !record.header("b") && !record.header("c"));
  CHECK(record.headers()[1].name == "b" && !record.headers()[1].value);
  ms_output_columns output = shown();
  const ms_header_columns &written = output.headers.value;
  CHECK(output.headers.there && ms_len(&written.names) == 3);
  CHECK(ms_equal(ms_item(&written.names, 2), ms_text("seen")) && ms_equal(ms_item(&written.values, 2), ms_text("yes")));
  return failures();
}
