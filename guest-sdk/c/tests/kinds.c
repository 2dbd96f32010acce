//! Joiners, routers, scans and migrators over columns: nulls, refusals, empty batches.
#include "testing.h"

static ms_bytes text(const char *of) { return ms_text(of); }

/// Both values; nothing where the right one is missing, refused where the left one is.
static bool both(const ms_pair *pair, ms_buffer *into, ms_reason *refused) {
  ms_push_text(into, "[");
  if (ms_is_null(pair->left)) *refused = ms_is_null(pair->key) ? "nothing on the left, and no key" : "nothing on the left";
  ms_push_bytes(into, pair->left);
  ms_push_bytes(into, pair->right);
  return !ms_is_null(pair->right);
}

static void each_pair_has_a_value_none_or_a_reason(void) {
  ms_bytes keys[] = {text("a"), text("b"), text(NULL), text("d")};
  ms_bytes left[] = {text("1"), text("2"), text(NULL), text("")};
  ms_bytes right[] = {text("x"), text(NULL), text("y"), text("")};
  ms_joined joined = ms_join(both, column_of(keys, 4), column_of(left, 4), column_of(right, 4));
  CHECK(ms_len(&joined.values) == 4 && joined.values.data_len == strlen("[1x["));
  CHECK(ms_equal(ms_item(&joined.values, 0), text("[1x")) && ms_equal(ms_item(&joined.values, 3), text("[")));
  CHECK(!ms_item(&joined.values, 1).data && !ms_item(&joined.values, 2).data);
  CHECK(joined.rejected.len == 1 && joined.rejected.data[0].index == 2);
  CHECK(ms_equal(joined.rejected.data[0].reason, text("nothing on the left, and no key")));
  joined = ms_join(both, column_of(keys, 0), column_of(left, 0), column_of(right, 0));
  CHECK(ms_len(&joined.values) == 0 && !joined.rejected.len);
}

/// `own` goes to the sink's own topic; empty values are refused; partitions are lengths.
static ms_reason by_length(const ms_record *record, ms_route *route) {
  route->topic = record->value;
  route->partition = (uint32_t)record->value.size;
  if (ms_equal(record->value, text("own"))) route->topic = text(NULL);
  return record->value.size ? NULL : "an empty line";
}

static void each_result_has_a_topic_the_sinks_own_or_a_reason(void) {
  ms_bytes values[] = {text("error"), text("own"), text(""), text("warn")};
  ms_routed routed = ms_direct(by_length, false, batch_of_values(values, 4));
  CHECK(ms_len(&routed.topics) == 4 && !routed.partitions.there);
  CHECK(ms_equal(ms_item(&routed.topics, 0), text("error")) && ms_equal(ms_item(&routed.topics, 3), text("warn")));
  CHECK(!ms_item(&routed.topics, 1).data && !ms_item(&routed.topics, 2).data);
  CHECK(routed.rejected.len == 1 && routed.rejected.data[0].index == 2);
}

static void who_says_partitions_says_them_of_all(void) {
  static const uint32_t expected[] = {5, 3, 0, 4};
  ms_bytes values[] = {text("error"), text("own"), text(""), text("warn")};
  ms_routed routed = ms_direct(by_length, true, batch_of_values(values, 4));
  CHECK(routed.partitions.there && routed.partitions.value.len == 4);
  CHECK(!memcmp(routed.partitions.value.data, expected, sizeof expected));
  routed = ms_direct(by_length, true, batch_of_values(values, 0));
  CHECK(routed.partitions.there && !routed.partitions.value.len && ms_len(&routed.topics) == 0);
}

/// Adds lengths up, in a byte; null is refused, and behind an even sum nothing leaves. At 9 it is gone.
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

static bool is_gone(const void *state) { return *(const uint8_t *)state == 9; }

static bool finish(const void *state, const ms_group *group, ms_buffer *into) {
  ms_push_bytes(into, group->key);
  ms_push_number(into, *(const uint8_t *)state);
  return *(const uint8_t *)state % 2;
}

static const ms_aggregator lengths = {
    .state_size = 1, .decode = decode, .encode = encode, .add = add, .is_gone = is_gone, .finish = finish};

static void each_member_of_a_scan_has_what_leaves_after_it(void) {
  static const uint32_t offsets[] = {0, 3, 5, 6}, members[] = {0, 1, 2, 2, 0, 1};
  ms_bytes values[] = {text("a"), text(NULL), text("bb")}, keys[] = {text("x"), text("y"), text("z")};
  ms_bytes stored[] = {text(NULL), text("\6"), text("\1")};
  ms_groups groups;
  ms_scanned scanned;
  memset(&groups, 0, sizeof groups);
  groups.keys = *column_of(keys, 3);
  groups.states = *column_of(stored, 3);
  groups.offsets = (ms_numbers){offsets, 4};
  groups.members = (ms_numbers){members, 6};
  CHECK(!ms_scan(&lengths, &groups, batch_of_values(values, 3), &scanned));
  ms_column *left = &scanned.values;
  CHECK(ms_len(left) == 6 && left->data_len == strlen("x1x3y9"));
  CHECK(ms_equal(ms_item(left, 0), text("x1")) && !ms_item(left, 1).data && ms_equal(ms_item(left, 2), text("x3")));
  CHECK(!ms_item(left, 3).data && ms_equal(ms_item(left, 4), text("y9")) && !ms_item(left, 5).data);
  CHECK(scanned.rejected.len == 2 && scanned.rejected.data[0].index == 1 && scanned.rejected.data[1].index == 5);
  // The second has reached 9 and is removed; of the third every record was refused, so that it is as it was.
  CHECK(ms_equal(ms_item(&scanned.states, 0), text("\3")) && !ms_item(&scanned.states, 1).data);
  CHECK(ms_equal(ms_item(&scanned.states, 2), stored[2]));
  stored[0] = text("");
  groups.states = *column_of(stored, 3);
  CHECK(!strcmp(ms_scan(&lengths, &groups, batch_of_values(values, 3), &scanned), "an empty state"));
}

/// Of layout 1 are: in the store `names` the key before what was there, of all else the length of the store's name.
static ms_reason lengthen(const ms_stored *stored, uint32_t old, uint32_t now, ms_buffer *into) {
  if (ms_equal(stored->state, text("bad"))) return "it is bad";
  if (!ms_equal(stored->store, text("names"))) ms_push_number(into, stored->store.size);
  else ms_push_bytes(into, ms_is_null(stored->key) ? text("nobody") : stored->key);
  ms_push_bytes(into, stored->state);
  return old == 0 && now == 1 ? NULL : "another way";
}

static void a_migrator_is_told_store_key_and_state(void) {
  static const uint32_t before[] = {0};
  static const ms_migrator longer = {.current = 1, .reads = {before, 1}, .migrate = lengthen};
  ms_bytes names[] = {text("a"), text("gone"), text(""), text(NULL)};
  ms_bytes states[] = {text("x"), text(NULL), text("y"), text("")}, bad[] = {text("bad")};
  ms_column *keys = column_of(names, 4), *old = column_of(states, 4), made;
  CHECK(!ms_migrate(&longer, text("names"), 0, 1, keys, old, &made) && ms_len(&made) == 4 && !ms_item(&made, 1).data);
  CHECK(ms_equal(ms_item(&made, 0), text("ax")) && ms_equal(ms_item(&made, 2), text("y")));
  CHECK(ms_equal(ms_item(&made, 3), text("nobody")));
  CHECK(!ms_migrate(&longer, text("last"), 0, 1, keys, old, &made) && ms_equal(ms_item(&made, 0), text("4x")));
  CHECK(!ms_migrate(&longer, text(""), 0, 1, keys, old, &made) && ms_equal(ms_item(&made, 2), text("0y")));
  CHECK(!strcmp(ms_migrate(&longer, text("last"), 0, 1, keys, column_of(bad, 1), &made), "it is bad"));
  CHECK(!strcmp(ms_migrate(&longer, text("last"), 1, 0, keys, old, &made), "no way from layout 1 to 0"));
}

int main(void) {
  each_pair_has_a_value_none_or_a_reason();
  each_result_has_a_topic_the_sinks_own_or_a_reason();
  who_says_partitions_says_them_of_all();
  each_member_of_a_scan_has_what_leaves_after_it();
  a_migrator_is_told_store_key_and_state();
  return failures();
}
