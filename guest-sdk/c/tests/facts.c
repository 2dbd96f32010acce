//! What the host says about records, and headers that a mapper writes. What the host itself says is given here by the test.
#include "testing.h"

static ms_bytes text(const char *of) { return ms_text(of); }

static ms_header header(const char *name, const char *value) {
  ms_header made = {text(name), text(value)};
  return made;
}

/// Three records: with two headers, with none, with three of one name.
static void give_some_headers(void) {
  static const uint32_t counts[] = {2, 0, 3};
  ms_header headers[] = {header("a", "1"), header("b", NULL), header("c", "x"), header("c", ""), header("c", "y")};
  ms_reset();
  give_headers(headers, counts, 3);
}

static ms_batch *three(const char *first, const char *second, const char *third) {
  ms_bytes values[] = {text(first), text(second), text(third)};
  return batch_of_values(values, 3);
}

static void facts_belong_to_their_records(void) {
  static const int64_t times[] = {5, 15}, starts[] = {0, 10}, ends[] = {10, 20};
  static const uint32_t inputs[] = {1, 0};
  ms_bytes values[] = {text("x"), text("y")};
  ms_reset();
  ms_batch *records = batch_of_values(values, 2);
  give_stream_times(times, 2);
  give_windows(starts, ends, 2);
  give_inputs(inputs, 2);
  for (size_t i = 0; i < 2; i++) {
    ms_record record = ms_record_at(records, i);
    CHECK(record.index == i && ms_stream_time(&record).there && ms_stream_time(&record).at == times[i]);
    CHECK(ms_window_of(&record).there && ms_window_of(&record).start == starts[i] && ms_window_of(&record).end == ends[i]);
    CHECK(ms_input(&record) == inputs[i] && ms_headers(&record) == 0);
  }
}

static void without_facts_there_are_none_and_a_call_forgets_them(void) {
  ms_record record = {.value = text("x")};
  facts_belong_to_their_records();
  give_some_headers();
  CHECK(ms_headers(&record) == 2 && !ms_stream_time(&record).there && !ms_window_of(&record).there);
  ms_reset();
  CHECK(ms_headers(&record) == 0 && !ms_header_value(&record, "a").data && ms_input(&record) == 0);
}

static void headers_are_found_by_place_and_by_name(void) {
  give_some_headers();
  ms_batch *records = three("x", "y", "z");
  ms_record first = ms_record_at(records, 0), second = ms_record_at(records, 1), third = ms_record_at(records, 2);
  CHECK(ms_headers(&first) == 2 && ms_headers(&second) == 0 && ms_headers(&third) == 3);
  CHECK(ms_equal(ms_header_at(&first, 1).name, text("b")) && !ms_header_at(&first, 1).value.data);
  CHECK(ms_equal(ms_header_at(&third, 0).value, text("x")) && ms_equal(ms_header_at(&third, 1).value, text("")));
  CHECK(ms_equal(ms_header_value(&third, "c"), text("y")) && ms_equal(ms_header_value(&first, "a"), text("1")));
  CHECK(!ms_header_value(&first, "c").data && !ms_header_value(&first, "b").data && !ms_header_value(&second, "a").data);
}

/// `same`: as it is; `add`: with a header more; `clear`: without any; `twice`: as it is, and cleared with one; else refused,
/// behind a result with a header.
static ms_reason with_headers(const ms_record *record, ms_output *out) {
  if (ms_equal(record->value, text("drop"))) return NULL;
  ms_emit_same(out);
  if (ms_equal(record->value, text("same"))) return NULL;
  if (ms_equal(record->value, text("clear"))) {
    ms_clear_headers(out);
    return NULL;
  }
  if (ms_equal(record->value, text("twice"))) {
    ms_emit_same(out);
    ms_add_header(out, text("gone"), text("x"));
    ms_clear_headers(out);
    ms_add_header(out, text("only"), text(NULL));
    return NULL;
  }
  ms_add_header(out, text("new"), text("n"));
  return ms_equal(record->value, text("add")) ? NULL : "no";
}

/// The headers of a result as `name=value` with blanks between; a null value is `-`.
static const char *shown(const ms_output_columns *output, size_t result) {
  const ms_header_columns *headers = &output->headers.value;
  ms_buffer line = {NULL, 0, 0};
  for (size_t at = headers->offsets.data[result]; at < headers->offsets.data[result + 1]; at++) {
    if (line.size) ms_push_text(&line, " ");
    ms_push_bytes(&line, ms_item(&headers->names, at));
    ms_bytes value = ms_item(&headers->values, at);
    ms_push_text(&line, "=");
    if (value.data) ms_push_bytes(&line, value);
    else ms_push_text(&line, "-");
  }
  return ms_reason_of(&line);
}

#define SHOWS(output, result, expected) CHECK(!strcmp(shown(&(output), (result)), (expected)))

static void results_have_their_records_headers_and_those_that_are_added(void) {
  give_some_headers();
  ms_output_columns output = ms_apply(with_headers, three("same", "same", "same"));
  CHECK(!output.headers.there);
  output = ms_apply(with_headers, three("same", "add", "clear"));
  CHECK(output.headers.there && output.headers.value.offsets.len == 4 && !output.sources.there);
  SHOWS(output, 0, "a=1 b=-");
  SHOWS(output, 1, "new=n");
  SHOWS(output, 2, "");
  output = ms_apply(with_headers, three("drop", "add", "twice"));
  CHECK(output.headers.value.offsets.len == 4 && ms_len(&output.headers.value.names) == 5);
  SHOWS(output, 0, "new=n");
  SHOWS(output, 1, "c=x c= c=y");
  SHOWS(output, 2, "only=-");
}

static void a_refused_record_leaves_no_header(void) {
  give_some_headers();
  ms_output_columns output = ms_apply(with_headers, three("add", "refused", "same"));
  CHECK(output.rejected.len == 1 && output.headers.value.offsets.len == 3 && ms_len(&output.headers.value.names) == 6);
  SHOWS(output, 0, "a=1 b=- new=n");
  SHOWS(output, 1, "c=x c= c=y");
}

static void without_headers_of_records_there_are_those_that_are_added(void) {
  ms_reset();
  ms_output_columns output = ms_apply(with_headers, three("same", "add", "twice"));
  CHECK(output.headers.value.offsets.len == 5);
  SHOWS(output, 0, "");
  SHOWS(output, 1, "new=n");
  SHOWS(output, 3, "only=-");
}

/// A megabyte in a header for each record.
static ms_reason amplify(const ms_record *record, ms_output *out) {
  (void)record;
  uint8_t *much = (uint8_t *)ms_alloc(1 << 20);
  memset(much, 'x', 1 << 20);
  ms_emit_same(out);
  ms_add_header(out, text("much"), (ms_bytes){much, 1 << 20});
  return NULL;
}

static void large_headers_end_a_call(void) {
  ms_bytes items[32];
  ms_reset();
  for (size_t i = 0; i < 32; i++) items[i] = text("x");
  ms_output_columns output = ms_apply(amplify, batch_of_values(items, 32));
  CHECK(output.taken == MS_RESULT_BYTES_MAX >> 20 && ms_len(&output.headers.value.names) == output.taken);
}

static void text_is_told_from_other_bytes(void) {
  static const char *const texts[] = {"", "a", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xef\xbf\xbf",
                                      "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "a\xc3\xa4z"};
  static const char *const others[] = {"\x80", "\xc1\xbf", "\xc2", "\xc2(", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xef\xbf",
                                       "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf0\x90\x80", "a\xff"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) CHECK(ms_is_utf8(text(texts[i])));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) CHECK(!ms_is_utf8(text(others[i])));
  CHECK(!ms_is_utf8(ms_slice(text("\xc3\xa4"), 0, 1)) && !ms_is_utf8(ms_slice(text("\xf0\x90\x80\x80"), 0, 3)));
  CHECK(!ms_not_text(text("a")) && !strcmp(ms_not_text(text(NULL)), "the record has no value"));
  CHECK(!strcmp(ms_not_text(text("\xff")), "the value is not UTF-8"));
  CHECK(ms_find_last(text("aIPIP:IP"), "IP") == 6 && ms_find_last(text("abc"), "a") == 0);
  CHECK(ms_find_last(text("abc"), "x") == 3 && ms_find_last(text(NULL), "x") == 0 && ms_find_last(text("a"), "ab") == 1);
}

int main(void) {
  facts_belong_to_their_records();
  without_facts_there_are_none_and_a_call_forgets_them();
  headers_are_found_by_place_and_by_name();
  results_have_their_records_headers_and_those_that_are_added();
  a_refused_record_leaves_no_header();
  without_headers_of_records_there_are_those_that_are_added();
  large_headers_end_a_call();
  text_is_told_from_other_bytes();
  return failures();
}
