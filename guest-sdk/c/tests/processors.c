//! Processors over columns: what records see of those before them, what a refused one leaves, when a call stops, what timers
//! are told. The host is that of millstream-native.h.
#define _POSIX_C_SOURCE 200809L
#include "testing.h"

#include <sys/wait.h>
#include <unistd.h>

static ms_store counts = MS_STORE("counts");
static ms_store letters = MS_STORE("letters");

static ms_bytes text(const char *of) { return ms_text(of); }

static ms_record record_of(const char *key, const char *value, int64_t time) {
  ms_record record = {text(key), text(value), time, 0};
  return record;
}

static ms_output_columns handled(ms_processor processor, const ms_record *records, size_t len) {
  return ms_process(processor, batch_of_records(records, len));
}

#define HANDLED(processor, records) handled((processor), (records), sizeof(records) / sizeof *(records))

/// The values of an output, one behind the other, null as `-`.
static const char *values_of(const ms_output_columns *output) {
  ms_buffer all = {NULL, 0, 0};
  const ms_column *values = &output->values.value;
  for (size_t i = 0; output->values.there && i < ms_len(values); i++) {
    ms_bytes value = ms_item(values, i);
    ms_push_bytes(&all, value.data ? value : text("-"));
  }
  return ms_reason_of(&all);
}

/// Counts by key in a digit, with a timer five later; `no` is refused behind everything else.
static ms_reason count(const ms_record *record, ms_output *out) {
  uint8_t scratch[2] = {record->key.data ? record->key.data[0] : 0, 0};
  ms_bytes key = {record->key.data ? scratch : NULL, record->key.size}, now = {scratch + 1, 1};
  ms_bytes before = ms_get(&counts, key);
  scratch[1] = (uint8_t)(before.data ? before.data[0] + 1 : '1');
  ms_put(&counts, key, now);
  // Both were copied.
  scratch[0] = scratch[1] = 'x';
  now = ms_get(&counts, record->key);
  ms_timer_set(MS_EVENT_TIME, record->key, text("end"), record->timestamp + 5);
  ms_emit_value(out, now);
  return ms_equal(record->value, text("no")) ? "no" : NULL;
}

static void records_see_what_those_before_wrote_and_nothing_of_those_refused(void) {
  static const uint32_t sources[] = {0, 1, 4};
  ms_record records[] = {record_of("a", "x", 1), record_of("b", "x", 2), record_of("a", "no", 3), record_of("c", "no", 3),
                         record_of("a", "x", 3)};
  forget_stores_and_timers();
  ms_output_columns output = HANDLED(count, records);
  CHECK(output.taken == 5 && output.sources.value.len == 3 && !memcmp(output.sources.value.data, sources, sizeof sources));
  CHECK(!strcmp(values_of(&output), "112"));
  CHECK(output.rejected.len == 2 && output.rejected.data[0].index == 2 && output.rejected.data[1].index == 3);
  CHECK(ms_equal(stored("counts", text("a")), text("2")) && ms_equal(stored("counts", text("b")), text("1")));
  CHECK(!stored("counts", text("c")).data);
  CHECK(due_of(MS_EVENT_TIME, text("a"), text("end")).at == 8 && due_of(MS_EVENT_TIME, text("b"), text("end")).at == 7);
  CHECK(!due_of(MS_EVENT_TIME, text("c"), text("end")).there && !due_of(MS_WALL_CLOCK, text("a"), text("end")).there);
  CHECK(ms_native.asked == 3 + 1 + 1 && ms_native.put == 2);
  // The next call knows nothing but what the host says.
  ms_reset();
  output = handled(count, records, 1);
  CHECK(!strcmp(values_of(&output), "3") && ms_native.asked == 5 + 3);
}

static uint32_t stops(const int64_t *times, size_t len) {
  ms_record records[8];
  for (size_t i = 0; i < len; i++) records[i] = record_of("a", "x", times[i]);
  forget_stores_and_timers();
  return handled(count, records, len).taken;
}

static void a_call_stops_before_the_record_at_which_its_timer_is_due(void) {
  static const int64_t later[] = {1, 5, 9}, just[] = {1, 6, 9}, back[] = {1, 3, 5, 2}, passed[] = {9, 1, 2};
  CHECK(stops(later, 3) == 2 && stops(just, 3) == 1 && stops(back, 4) == 4);
  // The second sets one for a time that has passed.
  CHECK(stops(passed, 3) == 2);
}

/// Sets a timer for much later; `no` sets one that is due, and is refused.
static ms_reason much_later(const ms_record *record, ms_output *out) {
  (void)out;
  bool refused = ms_equal(record->value, text("no"));
  ms_timer_set(MS_EVENT_TIME, record->key, text("end"), refused ? 0 : 100);
  return refused ? "no" : NULL;
}

static void a_timer_of_a_refused_record_ends_no_call(void) {
  ms_record records[] = {record_of("a", "x", 1), record_of("a", "no", 2), record_of("a", "x", 50)};
  forget_stores_and_timers();
  CHECK(HANDLED(much_later, records).taken == 3 && due_of(MS_EVENT_TIME, text("a"), text("end")).at == 100);
}

/// Changes of every kind, one behind the other.
static ms_reason mixed(const ms_record *record, ms_output *out) {
  (void)out;
  ms_timer_set(MS_EVENT_TIME, record->key, text("a"), 100);
  ms_timer_set(MS_EVENT_TIME, text("other"), text("a"), 150);
  ms_timer_set(MS_EVENT_TIME, record->key, text("b"), 200);
  ms_timer_cancel(MS_EVENT_TIME, record->key, text("b"));
  ms_timer_cancel(MS_EVENT_TIME, record->key, text("a"));
  ms_timer_cancel(MS_WALL_CLOCK, record->key, text("a"));
  ms_timer_set(MS_WALL_CLOCK, record->key, text("a"), 300);
  ms_timer_set(MS_EVENT_TIME, record->key, text("a"), 400);
  return NULL;
}

static void changes_of_timers_go_in_their_order(void) {
  ms_record records[] = {record_of("k", "x", 1)};
  forget_stores_and_timers();
  HANDLED(mixed, records);
  CHECK(ms_native.asked == 7 && ms_native.len == 3 && due_of(MS_EVENT_TIME, text("k"), text("a")).at == 400);
  CHECK(due_of(MS_WALL_CLOCK, text("k"), text("a")).at == 300 && due_of(MS_EVENT_TIME, text("other"), text("a")).at == 150);
}

/// Sets timers by the wall clock, and cancels one of event time: none of them ends a call. `no` would, and is refused.
static ms_reason wall(const ms_record *record, ms_output *out) {
  (void)out;
  ms_timer_set(MS_WALL_CLOCK, record->key, text("wall"), 0);
  ms_timer_cancel(MS_EVENT_TIME, text(NULL), text("task"));
  if (!ms_equal(record->value, text("no"))) return NULL;
  ms_timer_set(MS_EVENT_TIME, record->key, text("refused"), 0);
  return "no";
}

static void what_is_no_timer_of_event_time_ends_no_call(void) {
  ms_record records[] = {record_of("a", "x", 1), record_of("b", "no", 2), record_of("c", "x", 3)};
  ms_bytes key = text("other");
  ms_column *keys = column_of(&key, 1);
  ms_times due = {(const int64_t[]){7}, 1};
  forget_stores_and_timers();
  ms_host_set(MS_EVENT_TIME, keys, text("task"), due);
  key = text(NULL);
  ms_host_set(MS_EVENT_TIME, column_of(&key, 1), text("task"), due);
  ms_output_columns output = HANDLED(wall, records);
  CHECK(output.taken == 3 && output.rejected.len == 1 && ms_native.len == 3);
  CHECK(due_of(MS_EVENT_TIME, text("other"), text("task")).there && !due_of(MS_EVENT_TIME, key, text("task")).there);
  CHECK(due_of(MS_WALL_CLOCK, text("a"), text("wall")).there && due_of(MS_WALL_CLOCK, text("c"), text("wall")).there);
}

/// Lists a store, and writes before and after; `no` is refused behind it.
static ms_reason list(const ms_record *record, ms_output *out) {
  ms_put(&letters, record->value, text("1"));
  ms_entries found = ms_range(&letters, text("b"), text(NULL), 2);
  ms_remove(&letters, text("b"));
  ms_buffer keys = {NULL, 0, 0};
  for (size_t i = 0; i < ms_len(&found.keys); i++) {
    ms_push_bytes(&keys, ms_item(&found.keys, i));
    ms_push_bytes(&keys, ms_item(&found.values, i));
  }
  ms_push_text(&keys, " ");
  ms_emit_value(out, ms_bytes_of(&keys));
  return ms_equal(record->key, text("no")) ? "no" : NULL;
}

static void a_range_has_what_was_written_so_far(void) {
  ms_record records[] = {record_of("", "c", 1), record_of("", "a", 1), record_of("", "b", 1), record_of("", "d", 1)};
  forget_stores_and_timers();
  ms_output_columns output = HANDLED(list, records);
  CHECK(!strcmp(values_of(&output), "c1 c1 b1c1 c1d1 "));
  CHECK(ms_native.len == 3 && stored("letters", text("a")).data && !stored("letters", text("b")).data);
  ms_entries found = ms_host_range(&letters, text("a"), text("d"), 9);
  CHECK(ms_len(&found.keys) == 2 && ms_equal(ms_item(&found.keys, 1), text("c")));
}

static void a_refused_record_leaves_a_store_as_it_was_before_all_its_writes(void) {
  ms_record records[] = {record_of("", "c", 1), record_of("no", "b", 2), record_of("no", "c", 2), record_of("", "d", 3)};
  forget_stores_and_timers();
  ms_output_columns output = HANDLED(list, records);
  CHECK(output.rejected.len == 2 && !strcmp(values_of(&output), "c1 c1d1 "));
  CHECK(ms_native.len == 2 && ms_equal(stored("letters", text("c")), text("1")) && !stored("letters", text("b")).data);
}

/// Sets a timer; `no` looks through a store, and is refused.
static ms_reason look(const ms_record *record, ms_output *out) {
  (void)out;
  ms_timer_set(MS_WALL_CLOCK, record->key, record->value, 1);
  if (!ms_equal(record->value, text("no"))) return NULL;
  ms_range(&letters, text(""), text(NULL), 1);
  return "no";
}

static void what_a_range_has_sent_is_not_sent_again(void) {
  ms_record records[] = {record_of("a", "x", 1), record_of("b", "no", 2), record_of("c", "y", 3)};
  forget_stores_and_timers();
  HANDLED(look, records);
  CHECK(ms_native.asked == 3 + 1 && due_of(MS_WALL_CLOCK, text("c"), text("y")).there);
  // Nor are writes, and what was only read is not written.
  ms_record further[] = {record_of("", "c", 1), record_of("", "d", 1)};
  forget_stores_and_timers();
  HANDLED(list, further);
  CHECK(ms_native.put == 1 + 2 + 1);
}

/// Puts the value under the key, and says what was there; `no` behind it: the record is refused.
static ms_reason swap(const ms_record *record, ms_output *out) {
  ms_bytes before = ms_get(&letters, record->key);
  ms_put(&letters, record->key, record->value);
  ms_put(&letters, text("last"), record->key);
  ms_emit_value(out, before);
  return ms_equal(record->value, text("no")) ? "no" : NULL;
}

static void a_null_removes_and_an_empty_value_does_not(void) {
  ms_record records[] = {record_of("k", "", 1), record_of("k", NULL, 1), record_of("k", "no", 1), record_of("k", "v", 1),
                         record_of("", "e", 1), record_of("k", NULL, 1)};
  forget_stores_and_timers();
  ms_output_columns output = HANDLED(swap, records);
  CHECK(output.rejected.len == 1 && ms_len(&output.values.value) == 5);
  CHECK(!ms_item(&output.values.value, 0).data && ms_equal(ms_item(&output.values.value, 1), text("")));
  CHECK(!strcmp(values_of(&output), "---v"));
  CHECK(!stored("letters", text("k")).data && ms_equal(stored("letters", text("")), text("e")));
  CHECK(ms_equal(stored("letters", text("last")), text("k")) && ms_native.len == 2);
  ms_record empty[] = {record_of("k", "", 1)};
  HANDLED(swap, empty);
  CHECK(stored("letters", text("k")).data && !stored("letters", text("k")).size);
}

static void many_keys_are_found_again_in_order(void) {
  ms_record records[600];
  char keys[300][4];
  forget_stores_and_timers();
  ms_reset();
  for (int i = 0; i < 600; i++) {
    // In no order, and each twice.
    int number = i * 7 % 300;
    snprintf(keys[number], sizeof keys[number], "%d", number);
    records[i] = record_of(keys[number], "x", 1);
    records[i].timestamp = 1;
  }
  ms_output_columns output = HANDLED(swap, records);
  CHECK(output.taken == 600 && ms_native.asked == 300 + 1 && ms_native.len == 301);
  for (size_t i = 0; i < 600; i++) CHECK(!ms_item(&output.values.value, i).data == (i < 300));
  for (size_t i = 1; i < ms_native.len; i++) CHECK(ms_order(ms_native.items[i - 1].key, ms_native.items[i].key) < 0);
}

/// A megabyte for each record, always under the same key.
static ms_reason store_much(const ms_record *record, ms_output *out) {
  uint8_t *much = (uint8_t *)ms_alloc(1 << 20);
  (void)out;
  memset(much, 'x', 1 << 20);
  ms_put(&letters, record->key, (ms_bytes){much, 1 << 20});
  return NULL;
}

static void a_call_that_stores_much_is_cut(void) {
  ms_record records[32];
  for (size_t i = 0; i < 32; i++) records[i] = record_of("k", "x", 1);
  forget_stores_and_timers();
  CHECK(HANDLED(store_much, records).taken == MS_RESULT_BYTES_MAX >> 20 && stored("letters", text("k")).size == 1 << 20);
}

/// Reads what was stored, one entry after the other; `range` reads it at once.
static ms_reason read_much(const ms_record *record, ms_output *out) {
  (void)out;
  if (ms_equal(record->value, text("range"))) ms_range(&letters, text(""), text(""), 1);
  else ms_get(&letters, record->key);
  return NULL;
}

static void a_call_that_reads_much_is_cut(void) {
  ms_record records[32];
  char keys[32][4];
  uint8_t *much = (uint8_t *)ms_alloc(1 << 20);
  ms_bytes value = {much, 1 << 20};
  memset(much, 'x', 1 << 20);
  forget_stores_and_timers();
  for (int i = 0; i < 32; i++) {
    snprintf(keys[i], sizeof keys[i], "%d", i);
    records[i] = record_of(keys[i], "x", 1);
    ms_host_put(&letters, column_of(&records[i].key, 1), column_of(&value, 1));
  }
  CHECK(HANDLED(read_much, records).taken == MS_RESULT_BYTES_MAX >> 20);
  for (size_t i = 0; i < 32; i++) records[i].value = text("range");
  CHECK(HANDLED(read_much, records).taken == MS_RESULT_BYTES_MAX >> 20);
}

/// Tells what it is told, and starts over; `bad` is refused. Of `port` the result has a header and goes to the second output.
static ms_reason ring(const ms_timer *timer, ms_output *out) {
  ms_timer_cancel(timer->clock, text(NULL), text("other"));
  ms_timer_set(timer->clock, timer->key, timer->name, timer->due + 1);
  ms_put(&letters, text("rung"), timer->name);
  if (ms_equal(timer->name, text("bad"))) return "bad";
  if (ms_equal(timer->name, text("port"))) ms_port(out, 1);
  ms_emit_same(out);
  if (ms_equal(timer->name, text("port"))) ms_add_header(out, text("rang"), text("yes"));
  return NULL;
}

static void timers_are_told_and_their_results_have_values(void) {
  static const uint32_t sources[] = {0, 2}, ports[] = {0, 1, 0}, headers[] = {1, 1, 1};
  ms_record due[] = {record_of("a", "one", 7), record_of("b", "bad", 7), record_of("b", "two", 7)};
  ms_bytes none = {NULL, 0};
  ms_times one = {(const int64_t[]){1}, 1};
  forget_stores_and_timers();
  ms_host_set(MS_WALL_CLOCK, column_of(&none, 1), text("other"), one);
  ms_output_columns output = ms_fire(ring, MS_WALL_CLOCK, batch_of_records(due, 3));
  CHECK(output.taken == 3 && output.sources.value.len == 2 && !memcmp(output.sources.value.data, sources, sizeof sources));
  CHECK(!output.keys.there && !output.timestamps.there && !output.headers.there && !strcmp(values_of(&output), "onetwo"));
  CHECK(ms_equal(stored("letters", text("rung")), text("two")) && ms_native.len == 3);
  CHECK(due_of(MS_WALL_CLOCK, text("a"), text("one")).at == 8 && due_of(MS_WALL_CLOCK, text("b"), text("two")).at == 8);
  due[1].value = text("port");
  due[2].value = text("six");
  // Of the record that moved time; a timer has none.
  ms_header header = {text("its"), text("own")}, all[] = {header, header, header};
  give_headers(all, headers, 3);
  output = ms_fire(ring, MS_EVENT_TIME, batch_of_records(due, 3));
  CHECK(output.ports.there && !memcmp(output.ports.value.data, ports, sizeof ports) && output.headers.there);
  CHECK(ms_len(&output.headers.value.names) == 1 && output.headers.value.offsets.data[1] == 0);
  CHECK(ms_fire(ring, MS_EVENT_TIME, batch_of_records(due, 0)).values.there);
}

static void a_test_takes_the_timer_that_is_due_first(void) {
  static const int64_t due[] = {9, 5, 7, 5};
  ms_bytes keys[] = {text("a"), text("c"), text(NULL), text("b")};
  const char *const order[] = {"b", "c", NULL, "a"};
  ms_times times = {due, 4};
  ms_timer timer;
  forget_stores_and_timers();
  ms_host_set(MS_EVENT_TIME, column_of(keys, 4), text("t"), times);
  CHECK(!take_timer(MS_WALL_CLOCK, &timer));
  for (size_t i = 0; i < 4; i++) CHECK(take_timer(MS_EVENT_TIME, &timer) && ms_equal(timer.key, text(order[i])));
  CHECK(timer.due == 9 && ms_equal(timer.name, text("t")) && !take_timer(MS_EVENT_TIME, &timer));
}

/// Whether it traps, in a process of its own; what it says of it is not shown.
static bool traps(void (*attempt)(void)) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    freopen("/dev/null", "w", stderr);
    attempt();
    _exit(0);
  }
  return waitpid(child, &status, 0) == child && WIFSIGNALED(status);
}

static void stores_outside_of_a_call(void) { ms_get(&letters, text("a")); }
static void timers_behind_a_call(void) {
  ms_record records[] = {record_of("a", "x", 1)};
  HANDLED(count, records);
  ms_timer_set(MS_EVENT_TIME, text("a"), text("t"), 1);
}
static void a_null_key(void) {
  ms_record records[] = {record_of(NULL, "x", 1)};
  HANDLED(count, records);
}
static void a_key(void) {
  ms_record records[] = {record_of("a", "x", 1)};
  HANDLED(count, records);
}
static ms_reason header_first(const ms_record *record, ms_output *out) {
  (void)record;
  ms_add_header(out, text("early"), text("x"));
  return NULL;
}
static void a_header_before_its_result(void) { ms_apply(header_first, batch_of(text("x"))); }

static void what_a_function_must_not_do_fails_the_call(void) {
  CHECK(traps(stores_outside_of_a_call) && traps(timers_behind_a_call) && traps(a_null_key) && !traps(a_key));
  CHECK(traps(a_header_before_its_result));
}

int main(void) {
  records_see_what_those_before_wrote_and_nothing_of_those_refused();
  a_call_stops_before_the_record_at_which_its_timer_is_due();
  a_timer_of_a_refused_record_ends_no_call();
  changes_of_timers_go_in_their_order();
  what_is_no_timer_of_event_time_ends_no_call();
  a_refused_record_leaves_a_store_as_it_was_before_all_its_writes();
  what_a_range_has_sent_is_not_sent_again();
  a_range_has_what_was_written_so_far();
  a_null_removes_and_an_empty_value_does_not();
  many_keys_are_found_again_in_order();
  a_call_that_stores_much_is_cut();
  a_call_that_reads_much_is_cut();
  timers_are_told_and_their_results_have_values();
  a_test_takes_the_timer_that_is_due_first();
  what_a_function_must_not_do_fails_the_call();
  return failures();
}
