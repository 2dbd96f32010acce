//! The scan over groups, natively. Its numbers and fields are tested with the sample in C.
#include "running-total.cpp"

#include "testing.h"

static bool begun(const char *path) {
  ms_setting setting = {ms_text("field"), ms_text(path)};
  ms_settings settings = {&setting, 1};
  return !begin(&settings);
}

static void each_record_has_the_sum_so_far_and_refused_ones_have_none() {
  static const std::uint32_t offsets[] = {0, 3, 4}, members[] = {0, 1, 3, 2};
  ms_bytes values[] = {ms_text("{\"n\": 0.1}"), ms_text("{\"other\": 1}"), ms_text("{\"n\": 5}"), ms_text("{\"n\": 0.2}")};
  ms_bytes keys[] = {ms_text("a"), ms_text("b")}, none[] = {{nullptr, 0}, {nullptr, 0}};
  ms_groups groups{};
  ms_scanned scanned, further;
  groups.keys = *column_of(keys, 2);
  groups.states = *column_of(none, 2);
  groups.offsets = {offsets, 3};
  groups.members = {members, 4};
  const ms_aggregator &total = millstream::aggregator_of<RunningTotal>;
  ms_batch *records = batch_of_values(values, 4);
  CHECK(begun("n") && !ms_scan(&total, &groups, records, &scanned));
  CHECK(ms_equal(ms_item(&scanned.values, 0), ms_text("0.1")) && !ms_item(&scanned.values, 1).data);
  CHECK(ms_equal(ms_item(&scanned.values, 2), ms_text("0.3")) && ms_equal(ms_item(&scanned.values, 3), ms_text("5")));
  CHECK(scanned.rejected.len == 1 && scanned.rejected.data[0].index == 1);
  groups.states = scanned.states;
  CHECK(!ms_scan(&total, &groups, records, &further) && ms_equal(ms_item(&further.values, 3), ms_text("10")));
}

static void what_does_not_fit_is_refused() {
  RunningTotal total;
  CHECK(total.decode("12").reason && !begun("a."));
  total.sum = static_cast<number>(MAGNITUDE_MAX);
  CHECK(begun("n") && total.add({std::nullopt, "{\"n\":1}"}).reason && total.sum == static_cast<number>(MAGNITUDE_MAX));
}

int main() {
  each_record_has_the_sum_so_far_and_refused_ones_have_none();
  what_does_not_fit_is_refused();
  return failures();
}
