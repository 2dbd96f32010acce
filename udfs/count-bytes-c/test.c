//! The aggregate over groups, natively.
#include "count-bytes.c"

#include "testing.h"

/// The states of one column, joined with themselves and finished.
static ms_bytes doubled(const ms_column *states) {
  ms_column merged, results;
  ms_groups groups;
  CHECK(!ms_merge(&count_bytes, states, states, &merged));
  memset(&groups, 0, sizeof groups);
  groups.keys = groups.states = merged;
  CHECK(!ms_finish(&count_bytes, &groups, &results));
  return ms_item(&results, 0);
}

static void folds(void) {
  static const uint32_t offsets[] = {0, 3}, members[] = {0, 1, 2};
  ms_bytes values[] = {ms_text("ab"), ms_text(NULL), ms_text("cde")};
  ms_batch *records = batch_of_values(values, 3);
  ms_groups groups;
  ms_folded folded;
  memset(&groups, 0, sizeof groups);
  groups.keys = *column_of(values, 1);
  ms_bytes nothing = {NULL, 0};
  groups.states = *column_of(&nothing, 1);
  groups.offsets = (ms_numbers){offsets, 2};
  groups.members = (ms_numbers){members, 3};
  CHECK(!ms_fold(&count_bytes, add, &groups, records, &folded) && !folded.rejected.len);
  CHECK(ms_equal(doubled(&folded.states), ms_text("6 records, 10 bytes")));
}

static void migrates(void) {
  ms_bytes names[] = {ms_text("k"), ms_text("l")}, none = ms_text("");
  ms_bytes old[] = {{(const uint8_t *)"\3\0\0\0\0\0\0", 8}, {NULL, 0}};
  ms_column made, back;
  ms_column *keys = column_of(names, 2), *states = column_of(old, 2);
  CHECK(!ms_migrate(&layouts, none, COUNT, 1, keys, states, &made));
  CHECK(ms_item(&made, 0).size == 16 && !ms_item(&made, 1).data);
  CHECK(!ms_migrate(&layouts, none, 1, COUNT, keys, &made, &back));
  CHECK(ms_equal(ms_item(&back, 0), old[0]) && !ms_item(&back, 1).data);
  CHECK(ms_migrate(&layouts, none, 2, 1, keys, states, &made));
  CHECK(!strcmp(ms_migrate(&layouts, none, 2, 1, keys, states, &made), "no way from layout 2 to 1"));
  ms_bytes wrong[] = {ms_text("1234567")};
  CHECK(ms_migrate(&layouts, none, COUNT, 1, keys, column_of(wrong, 1), &made));
  counts state;
  CHECK(decode(&state, wrong[0]));
}

int main(void) {
  folds();
  migrates();
  return failures();
}
