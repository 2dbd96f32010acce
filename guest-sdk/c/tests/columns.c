//! The columns that functions are run on: nulls, empty batches, refused records, many results, memory.
#include "testing.h"

static ms_bytes text(const char *of) { return ms_text(of); }

/// Values that say what the mapper does with them.
static ms_reason by_value(const ms_record *record, ms_output *out) {
  if (ms_equal(record->value, text("drop"))) return NULL;
  if (ms_equal(record->value, text("same"))) {
    ms_emit_same(out);
    return NULL;
  }
  if (ms_equal(record->value, text("twice"))) {
    ms_emit_value(out, text("one"));
    ms_emit_value(out, (ms_bytes){NULL, 0});
    return NULL;
  }
  if (ms_equal(record->value, text("port"))) {
    ms_port(out, 2);
    ms_emit(out, text("key"), record->value, 99);
    return NULL;
  }
  ms_emit_key(out, text("lost"));
  return "no";
}

static ms_output_columns apply(const char *const *values, size_t len) {
  ms_bytes items[32];
  for (size_t i = 0; i < len; i++) items[i] = text(values[i]);
  return ms_apply(by_value, batch_of_values(items, len));
}

static bool numbers(ms_numbers numbers, const uint32_t *expected, size_t len) {
  return numbers.len == len && (!len || !memcmp(numbers.data, expected, len * sizeof *expected));
}

static void every_place_of_a_null_is_read_back(void) {
  for (size_t len = 0; len <= 17; len++) {
    for (size_t null = 0; null <= len; null++) {
      ms_bytes items[17];
      for (size_t i = 0; i < len; i++) items[i] = i == null ? (ms_bytes){NULL, 0} : text(i % 3 ? "item" : "");
      ms_column *column = column_of(items, len);
      CHECK(ms_len(column) == len && column->validity_len == (null < len ? (len + 7) / 8 : 0));
      for (size_t i = 0; i < len; i++) CHECK(ms_equal(ms_item(column, i), items[i]));
      if (null < len && len % 8) CHECK(column->validity[len / 8] >> (len % 8) == 0);
    }
  }
}

static void an_empty_batch_has_an_empty_answer(void) {
  ms_output_columns output = apply(NULL, 0);
  CHECK(!output.taken && !output.sources.there && !output.keys.there && !output.values.there);
}

static void a_column_is_made_when_a_result_differs(void) {
  static const char *const same[] = {"same", "same"};
  ms_output_columns output = apply(same, 2);
  CHECK(output.taken == 2 && !output.sources.there && !output.keys.there && !output.values.there);
  CHECK(!output.timestamps.there && !output.ports.there);
  static const char *const values[] = {"same", "drop", "twice", "port", "same"};
  static const uint32_t sources[] = {0, 2, 2, 3, 4}, ports[] = {0, 0, 0, 2, 0};
  output = apply(values, 5);
  CHECK(output.taken == 5 && numbers(output.sources.value, sources, 5) && numbers(output.ports.value, ports, 5));
  ms_column *made = &output.values.value;
  CHECK(ms_len(made) == 5 && ms_equal(ms_item(made, 0), text("same")) && ms_equal(ms_item(made, 1), text("one")));
  CHECK(!ms_item(made, 2).data && ms_equal(ms_item(made, 3), text("port")) && ms_equal(ms_item(made, 4), text("same")));
  made = &output.keys.value;
  CHECK(!ms_item(made, 2).data && ms_equal(ms_item(made, 3), text("key")) && !ms_item(made, 4).data);
  const int64_t *times = output.timestamps.value.data;
  CHECK(times[0] == 0 && times[1] == 2 && times[2] == 2 && times[3] == 99 && times[4] == 4);
}

static void dropped_at_the_end_and_late_ports(void) {
  static const char *const dropped[] = {"same", "drop"};
  static const uint32_t first[] = {0};
  ms_output_columns output = apply(dropped, 2);
  CHECK(output.taken == 2 && output.sources.there && numbers(output.sources.value, first, 1));
  // Memory that was used before is not zero.
  ms_reset();
  memset(ms_alloc(1 << 16), 0xff, 1 << 16);
  ms_reset();
  static const char *const ported[] = {"same", "same", "port"};
  static const uint32_t ports[] = {0, 0, 2};
  CHECK(numbers(apply(ported, 3).ports.value, ports, 3));
}

static void a_refused_record_leaves_nothing(void) {
  static const char *const values[] = {"twice", "bad", "same", "bad"};
  static const uint32_t sources[] = {0, 0, 2};
  ms_output_columns output = apply(values, 4);
  CHECK(output.taken == 4 && numbers(output.sources.value, sources, 3));
  CHECK(output.rejected.len == 2 && output.rejected.data[0].index == 1 && output.rejected.data[1].index == 3);
  CHECK(ms_equal(output.rejected.data[1].reason, text("no")));
  CHECK(ms_len(&output.keys.value) == 3 && output.keys.value.data_len == 0 && ms_len(&output.values.value) == 3);
}

/// A megabyte for each record.
static ms_reason amplify(const ms_record *record, ms_output *out) {
  (void)record;
  ms_buffer much = {0};
  ms_reserve(&much, 1 << 20);
  memset(much.data, 'x', 1 << 20);
  much.size = 1 << 20;
  ms_emit_value(out, ms_bytes_of(&much));
  return NULL;
}

static void a_large_result_is_cut(void) {
  ms_bytes items[32];
  for (size_t i = 0; i < 32; i++) items[i] = text("x");
  ms_output_columns output = ms_apply(amplify, batch_of_values(items, 32));
  CHECK(output.taken == MS_RESULT_BYTES_MAX >> 20 && !output.sources.there);
}

static bool odd(const ms_record *record, ms_reason *refused) {
  if (record->timestamp == 7) *refused = "seven";
  return record->timestamp % 2;
}

static void kept_records_have_their_bit(void) {
  ms_bytes items[11];
  for (size_t i = 0; i < 11; i++) items[i] = text("x");
  ms_kept kept = ms_keep(odd, batch_of_values(items, 11));
  CHECK(kept.bits_len == 2 && kept.bits[0] == 0x2a && kept.bits[1] == 0x02);
  CHECK(kept.rejected.len == 1 && kept.rejected.data[0].index == 7);
  CHECK(ms_keep(odd, batch_of_values(NULL, 0)).bits_len == 0);
}

static void memory_is_used_again(void) {
  ms_reset();
  uint8_t *first = (uint8_t *)ms_alloc(100000);
  ms_alloc(10);
  ms_reset();
  CHECK((uint8_t *)ms_alloc(100000) == first);
  ms_buffer grows = {0};
  for (int i = 0; i < 100000; i++) ms_push_number(&grows, 7);
  CHECK(grows.size == 100000 && grows.data[99999] == '7');
  // With something behind it, it moves; what it holds stays.
  uint8_t *behind = (uint8_t *)ms_alloc(1);
  *behind = 42;
  ms_push_text(&grows, "end");
  while (grows.size < 200000) ms_push_number(&grows, 7);
  CHECK(*behind == 42);
  grows.size = 100003;
  CHECK(grows.size == 100003 && grows.data[0] == '7' && !memcmp(grows.data + 100000, "end", 3));
  ms_reset();
}

static void bytes_are_searched(void) {
  CHECK(ms_find(text("aIPIP:"), "IP:") == 3 && ms_find(text("IP"), "IP:") == 2 && ms_find(text(NULL), "x") == 0);
  CHECK(ms_find(text("abc"), "c") == 2 && ms_find(text(""), "") == 0);
  CHECK(ms_equal(ms_trim(text(" \ta b\n")), text("a b")) && ms_trim(text("  ")).size == 0);
  CHECK(ms_equal(ms_slice(text("abcd"), 1, 9), text("bcd")) && ms_slice(text("ab"), 5, 1).size == 0);
  CHECK(!ms_equal(text(""), text(NULL)) && ms_starts_with(text("ab"), "a") && !ms_starts_with(text("a"), "ab"));
  ms_buffer number = {0};
  ms_push_number(&number, UINT64_MAX);
  ms_push_number(&number, 0);
  CHECK(ms_equal(ms_bytes_of(&number), text("184467440737095516150")));
}

/// Adds the lengths of values; the state is one byte. At 100 it is gone; 0 leaves nothing.
static ms_reason decode(void *state, ms_bytes stored) {
  *(uint8_t *)state = stored.size ? stored.data[0] : 0;
  return stored.size ? NULL : "an empty state";
}

static void encode(const void *state, ms_buffer *into) { ms_push(into, state, 1); }

static ms_reason add(void *state, const ms_record *record) {
  if (ms_is_null(record->value)) return "no value";
  *(uint8_t *)state = (uint8_t)(*(uint8_t *)state + record->value.size);
  return NULL;
}

static bool is_gone(const void *state) { return *(const uint8_t *)state == 100; }

static bool finish(const void *state, const ms_group *group, ms_buffer *into) {
  ms_push_number(into, (uint64_t)group->window_start);
  ms_push_text(into, ":");
  ms_push_number(into, *(const uint8_t *)state);
  return *(const uint8_t *)state > 0;
}

static ms_reason merge(void *left, const void *right) {
  *(uint8_t *)left = (uint8_t)(*(uint8_t *)left + *(const uint8_t *)right);
  return NULL;
}

static const ms_aggregator lengths = {
    .state_size = 1, .decode = decode, .encode = encode, .add = add, .is_gone = is_gone, .finish = finish, .merge = merge};

static void each_group_takes_its_own_members_in(void) {
  static const uint32_t offsets[] = {0, 2, 4, 5, 6}, members[] = {0, 2, 1, 2, 1, 0};
  static const int64_t starts[] = {0, 10, 20, 30}, ends[] = {10, 20, 30, 40};
  ms_bytes values[] = {text("a"), text(NULL), text("bbb")}, keys[] = {text("x"), text("y"), text("z"), text("gone")};
  ms_bytes stored[] = {text(NULL), text("\n"), text(NULL), text("c")};
  ms_groups groups = {*column_of(keys, 4), {starts, 4}, {ends, 4}, *column_of(stored, 4), {offsets, 5}, {members, 6}};
  ms_folded folded;
  CHECK(!ms_fold(&lengths, add, &groups, batch_of_values(values, 3), &folded));
  CHECK(ms_equal(ms_item(&folded.states, 0), text("\4")) && ms_equal(ms_item(&folded.states, 1), text("\r")));
  // The only record of the third was refused; the fourth has reached 100.
  CHECK(!ms_item(&folded.states, 2).data && !ms_item(&folded.states, 3).data);
  CHECK(folded.rejected.len == 2 && folded.rejected.data[0].index == 2 && folded.rejected.data[1].index == 4);
  ms_bytes states[] = {text("\4"), {(const uint8_t *)"\0", 1}, text(NULL), text("\5")};
  ms_column results, merged;
  groups.states = *column_of(states, 4);
  CHECK(!ms_finish(&lengths, &groups, &results) && results.data_len == strlen("0:430:5"));
  CHECK(ms_equal(ms_item(&results, 0), text("0:4")) && !ms_item(&results, 1).data && !ms_item(&results, 2).data);
  ms_bytes left[] = {text("\1"), text(NULL), text("\2"), text(NULL)};
  ms_bytes right[] = {text(NULL), text("\3"), text("\4"), text(NULL)};
  CHECK(!ms_merge(&lengths, column_of(left, 4), column_of(right, 4), &merged) && !ms_item(&merged, 3).data);
  CHECK(ms_equal(ms_item(&merged, 0), left[0]) && ms_equal(ms_item(&merged, 1), right[1]));
  CHECK(ms_equal(ms_item(&merged, 2), text("\6")));
  stored[1] = text("");
  groups.states = *column_of(stored, 4);
  CHECK(!strcmp(ms_fold(&lengths, add, &groups, batch_of_values(values, 3), &folded), "an empty state"));
}

int main(void) {
  dropped_at_the_end_and_late_ports();
  each_group_takes_its_own_members_in();
  every_place_of_a_null_is_read_back();
  an_empty_batch_has_an_empty_answer();
  a_column_is_made_when_a_result_differs();
  a_refused_record_leaves_nothing();
  a_large_result_is_cut();
  kept_records_have_their_bit();
  memory_is_used_again();
  bytes_are_searched();
  return failures();
}
