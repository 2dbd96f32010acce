//! The scan over groups, and its numbers and fields, natively.
#include "running-total.c"

#include "testing.h"

/// Begins with this field, or without one.
static ms_reason begun(const char *path) {
  ms_setting setting = {ms_text("field"), ms_text(path)};
  ms_settings settings = {&setting, path ? 1 : 0};
  return begin(&settings);
}

/// The number in a value at the path, in decimal, or why there is none.
static const char *read_at(const char *path, const char *value) {
  ms_record record = {.value = ms_text(value)};
  number found;
  ms_buffer text = {NULL, 0, 0};
  ms_reason wrong = begun(path);
  if (!wrong) wrong = field_number(&summed, &record, &found);
  if (wrong) return wrong;
  push_decimal(&text, found);
  return ms_reason_of(&text);
}

#define READS(path, value, expected) CHECK(!strcmp(read_at((path), (value)), (expected)))

static void numbers_are_read_and_written_without_rounding(void) {
  static const char *const same[] = {"0", "12", "-12.5", "-0.25", "9999999999999999999", "-12345678901234567890.5",
                                     "170141183460469231731687303715", "1000000000000000000", "1000000000000000000.000000001"};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) READS(NULL, same[i], same[i]);
  READS(NULL, "-0.0", "0");
  READS(NULL, "0e999999999", "0");
  READS(NULL, "1.5e3", "1500");
  READS(NULL, "15E-1", "1.5");
  READS(NULL, "1000e-9", "0.000001");
  READS(NULL, "0.1234567890", "0.123456789");
  READS(NULL, "-170141183460469231731687303715884105727e-9", "-170141183460469231731687303715.884105727");
}

static void what_is_no_number_or_does_not_fit_is_refused(void) {
  READS(NULL, "0.0000000001", "the value has more than 9 decimals");
  READS(NULL, "1e-99999", "the value has more than 9 decimals");
  READS(NULL, "1e30", "the value is too large");
  READS(NULL, "1e2147483647", "the value is too large");
  READS(NULL, "1e2147483648", "the value is not a number");
  READS(NULL, "-1701411834604692317316873037159", "the value is too large");
  READS(NULL, "9999999999999999999999999999999999999999", "the value has too many digits");
  READS(NULL, "170141183460469231731687303715884105727", "the value is too large");
  READS(NULL, "170141183460469231731687303715884105728", "the value has too many digits");
  READS(NULL, "\"1\"", "the value is not a number");
  READS(NULL, "true", "the value is not a number");
  READS(NULL, NULL, "the record has no value");
}

static void a_field_is_found_at_its_path(void) {
  static const char value[] = " {\"a\": {\"n\": 1.50, \"m\": [2, {}]}, \"n\": \"x\", \"\\u006e\": 7, \"o\": {\"n\": 3}, "
                              "\"\\ud83d\\ude00\": 4, \"t\": true, \"z\": null, \"e\": {}} ";
  READS("a.n", value, "1.5");
  READS("n", value, "7");
  READS("\xf0\x9f\x98\x80", value, "4");
  READS(NULL, " 12 ", "12");
  READS("b", value, "the value has no field `b`");
  READS("e.n", value, "the value has no field `e.n`");
  READS("a.m.x", value, "the value has no field `a.m.x`: what would hold it is no object");
  READS("t.m", value, "the value has no field `t.m`: what would hold it is no object");
  READS("a.m", value, "the field `a.m` is not a number");
  READS("z", value, "the field `z` is not a number");
  READS("n", "{\"n\":{\"x\":1},\"n\":2}", "2");
  READS("n.x", "{\"n\":{\"x\":1},\"n\":{}}", "the value has no field `n.x`");
}

static void what_is_no_json_is_refused(void) {
  static const char *const wrong[] = {
      "", " ", "x", "{", "{}x", "{\"n\":1", "{\"n\":1,}", "{\"n\":1 \"m\":2}", "{\"n\" 1}", "{n:1}", "{\"m\":[1,],\"n\":1}",
      "{\"m\":[1 2],\"n\":1}", "{\"m\":[}],\"n\":1}", "{\"m\":{\"x\":1,},\"n\":1}", "{\"m\":tru,\"n\":1}", "{\"m\":01,\"n\":1}",
      "{\"m\":1.,\"n\":1}", "{\"m\":-,\"n\":1}", "{\"m\":1e,\"n\":1}", "{\"m\":\"\\x\",\"n\":1}", "{\"m\":\"\\u12g4\",\"n\":1}",
      "{\"m\":\"\n\",\"n\":1}", "{\"\\ud83d\":1,\"n\":1}", "{\"\\udc00\":1,\"n\":1}", "{\"\\ud83d\\u0041\":1,\"n\":1}", "{\"\xff\":1,\"n\":1}", "{\"n\":\"\xff\"}",
      "{\"m\":\"", "{\"m\":\"\\", "{\"m\":\"\\u1", "{\"m\":[[[[", "{\"m\":{\"x\""};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (strncmp(read_at("n", wrong[i]), "the value is not JSON", 21)) {
      fprintf(stderr, "taken for JSON: %s\n", wrong[i]);
      CHECK(false);
    }
  }
  // Halves of pairs in a string that nobody reads are its own matter; and so is how deep a value goes.
  READS("n", "{\"m\":\"\\udc00\",\"n\":1}", "1");
  ms_buffer deep = {NULL, 0, 0};
  ms_push_text(&deep, "{\"m\":");
  for (int i = 0; i < 100000; i++) ms_push_text(&deep, "[");
  for (int i = 0; i < 100000; i++) ms_push_text(&deep, "]");
  ms_push_text(&deep, ",\"n\":1}");
  READS("n", ms_reason_of(&deep), "1");
}

static void a_path_with_an_empty_name_and_other_settings_are_refused(void) {
  CHECK(!strcmp(begun("a."), "the setting `field` is `a.`: between dots there are names, as in `user.age`"));
  CHECK(begun("") && begun(".a") && begun("a..b") && !begun("a.b") && !begun(NULL));
  ms_setting other = {ms_text("feild"), ms_text("n")};
  ms_settings settings = {&other, 1};
  CHECK(!strcmp(begin(&settings), "there is no setting `feild`; there are `field`"));
}

static void each_record_has_the_sum_so_far_and_refused_ones_have_none(void) {
  static const uint32_t offsets[] = {0, 3, 4}, members[] = {0, 1, 3, 2};
  ms_bytes values[] = {ms_text("{\"n\": 0.1}"), ms_text("{\"other\": 1}"), ms_text("{\"n\": 5}"), ms_text("{\"n\": 0.2}")};
  ms_bytes keys[] = {ms_text("a"), ms_text("b")}, none[] = {{NULL, 0}, {NULL, 0}};
  ms_groups groups;
  ms_scanned scanned, further;
  CHECK(!begun("n"));
  memset(&groups, 0, sizeof groups);
  groups.keys = *column_of(keys, 2);
  groups.states = *column_of(none, 2);
  groups.offsets = (ms_numbers){offsets, 3};
  groups.members = (ms_numbers){members, 4};
  ms_batch *records = batch_of_values(values, 4);
  CHECK(!ms_scan(&running_total, &groups, records, &scanned));
  CHECK(ms_equal(ms_item(&scanned.values, 0), ms_text("0.1")) && !ms_item(&scanned.values, 1).data);
  CHECK(ms_equal(ms_item(&scanned.values, 2), ms_text("0.3")) && ms_equal(ms_item(&scanned.values, 3), ms_text("5")));
  CHECK(scanned.rejected.len == 1 && scanned.rejected.data[0].index == 1);
  groups.states = scanned.states;
  CHECK(!ms_scan(&running_total, &groups, records, &further) && ms_equal(ms_item(&further.values, 3), ms_text("10")));
  number sum;
  CHECK(!strcmp(state_of(ms_text("12"), &sum), "a number has 16 bytes, this state has 2"));
}

static void a_sum_that_is_too_large_is_refused(void) {
  number sum = (number)MAGNITUDE_MAX;
  ms_record one = {.value = ms_text("1")};
  CHECK(!begun(NULL) && !strcmp(add(&sum, &one), "the sum would be too large") && sum == (number)MAGNITUDE_MAX);
  ms_buffer low = {NULL, 0, 0};
  push_state(&low, -1);
  CHECK(low.size == 16 && low.data[0] == 0xff && low.data[15] == 0xff && !state_of(ms_bytes_of(&low), &sum) && sum == -1);
}

int main(void) {
  numbers_are_read_and_written_without_rounding();
  what_is_no_number_or_does_not_fit_is_refused();
  a_field_is_found_at_its_path();
  what_is_no_json_is_refused();
  a_path_with_an_empty_name_and_other_settings_are_refused();
  each_record_has_the_sum_so_far_and_refused_ones_have_none();
  a_sum_that_is_too_large_is_refused();
  return failures();
}
