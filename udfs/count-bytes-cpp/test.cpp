//! The aggregate over groups, natively.
#include "count-bytes.cpp"

#include "testing.h"

static void folds() {
  static const std::uint32_t offsets[] = {0, 3}, members[] = {0, 1, 2};
  ms_bytes values[] = {ms_text("ab"), ms_text(nullptr), ms_text("cde")};
  ms_bytes nothing = {nullptr, 0};
  ms_groups groups{};
  ms_folded folded;
  groups.keys = *column_of(values, 1);
  groups.states = *column_of(&nothing, 1);
  groups.offsets = {offsets, 2};
  groups.members = {members, 3};
  const ms_aggregator &counts = millstream::aggregator_of<Counts>;
  CHECK(!ms_fold(&counts, counts.add, &groups, batch_of_values(values, 3), &folded) && !folded.rejected.len);
  ms_column merged, results;
  CHECK(!ms_merge(&counts, &folded.states, &folded.states, &merged));
  groups.states = merged;
  CHECK(!ms_finish(&counts, &groups, &results));
  CHECK(ms_equal(ms_item(&results, 0), ms_text("6 records, 10 bytes")));
}

static void migrates() {
  const ms_migrator &layouts = ms_migrator_of_Counts;
  ms_bytes old[] = {{reinterpret_cast<const std::uint8_t *>("\3\0\0\0\0\0\0"), 8}, {nullptr, 0}};
  ms_bytes names[] = {ms_text("k"), ms_text("l")}, none = ms_text(""), wrong[] = {ms_text("1234567")};
  ms_column made, back;
  ms_column *keys = column_of(names, 2), *states = column_of(old, 2);
  CHECK(!ms_migrate(&layouts, none, count, 1, keys, states, &made));
  CHECK(ms_item(&made, 0).size == 16 && !ms_item(&made, 1).data);
  CHECK(!ms_migrate(&layouts, none, 1, count, keys, &made, &back));
  CHECK(ms_equal(ms_item(&back, 0), old[0]) && !ms_item(&back, 1).data);
  CHECK(ms_migrate(&layouts, none, 2, 1, keys, states, &made));
  CHECK(ms_migrate(&layouts, none, count, 1, keys, column_of(wrong, 1), &made));
  CHECK(Counts().decode("1234567").reason);
}

int main() {
  folds();
  migrates();
  return failures();
}
