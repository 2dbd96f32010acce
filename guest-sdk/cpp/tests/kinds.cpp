//! What the classes make of C's functions, where no sample shows it: stores and their ranges, timers, headers that are cleared,
//! partitions, joiners that refuse nothing, scans with windows, migrators beside processors.
#include "millstream.hpp"

#include "testing.h"

using namespace millstream;

static Store letters{"letters"};

/// `list`: the entries from b on; `get`, `remove`: of the key; else the value is put. The result is what was there.
static Refusal keep_letter(const Record &record, Output out) {
  if (!record.key) return "no key";
  Text said;
  if (record.value == "list") {
    for (auto [key, value] : letters.range("b", "", 2)) {
      said.push(key);
      said.push("=");
      said.push(value);
      said.push(" ");
    }
    out.emit_value(said.view());
    return ok;
  }
  out.emit_value(letters.get(*record.key));
  if (record.value == "remove") letters.remove(*record.key);
  else if (record.value != "get") letters.put(*record.key, record.value_or_empty());
  set_timer(Clock::event_time, record.key, "later", record.timestamp + 100);
  set_timer(Clock::wall_clock, record.key, "soon", 9);
  set_timer(Clock::wall_clock, std::nullopt, "task", 7);
  if (record.value == "get") cancel_timer(Clock::wall_clock, std::nullopt, "task");
  return ok;
}

static Record letter(Bytes key, Bytes value) { return {key, value, 5}; }

template <std::size_t len>
static ms_batch *batch(const Record (&records)[len]) {
  ms_record made[len];
  for (std::size_t i = 0; i < len; i++) made[i] = records[i].here();
  return batch_of_records(made, len);
}

static Bytes value_of(const ms_output_columns &output, std::size_t index) { return bytes_of(ms_item(&output.values.value, index)); }

static void stores_and_timers_are_those_of_c() {
  forget_stores_and_timers();
  const Record records[] = {letter("a", "1"), letter("c", ""),       letter("b", "2"), letter("d", "3"),
                            letter("", "x"),  letter(std::nullopt, ""), letter("a", "4"), letter("a", "remove"),
                            letter("e", "list"), letter("c", "get")};
  ms_output_columns output = ms_process(apply<keep_letter>, batch(records));
  CHECK(output.taken == 10 && output.rejected.len == 1 && ms_len(&output.values.value) == 9);
  CHECK(!value_of(output, 0) && value_of(output, 5) == "1" && value_of(output, 6) == "4");
  CHECK(value_of(output, 7) == "b=2 c= " && value_of(output, 8) == "");
  CHECK(!bytes_of(stored("letters", ms_text("a"))) && bytes_of(stored("letters", ms_text(""))) == "x");
  CHECK(due_of(MS_EVENT_TIME, ms_text("c"), ms_text("later")).at == 105);
  CHECK(due_of(MS_WALL_CLOCK, ms_text("c"), ms_text("soon")).at == 9 && !due_of(MS_EVENT_TIME, ms_text("c"), ms_text("soon")).there);
  CHECK(!due_of(MS_WALL_CLOCK, ms_text(nullptr), ms_text("task")).there);
}

static Refusal ring(const Timer &timer, Output out) {
  if (timer.name == "bad") return "bad";
  out.to(timer.clock == Clock::wall_clock ? 1 : 0);
  out.emit(timer.key ? timer.key : Bytes("task"), timer.name, timer.due + 1);
  return ok;
}

static void timers_are_told() {
  const Record due[] = {letter("k", "one"), letter(std::nullopt, "two"), letter("k", "bad")};
  ms_output_columns output = ms_fire(fire<ring>, MS_WALL_CLOCK, batch(due));
  CHECK(output.taken == 3 && output.rejected.len == 1 && ms_len(&output.values.value) == 2);
  CHECK(value_of(output, 0) == "one" && value_of(output, 1) == "two" && output.ports.value.data[0] == 1);
  CHECK(bytes_of(ms_item(&output.keys.value, 1)) == "task" && output.timestamps.value.data[0] == 6);
  CHECK(!ms_fire(fire<ring>, MS_EVENT_TIME, batch(due)).ports.there);
}

static Refusal without_headers(const Record &, Output out) {
  out.emit_same();
  out.clear_headers();
  return ok;
}

static void headers_are_cleared() {
  static const std::uint32_t one[] = {1};
  ms_header header = {ms_text("a"), ms_text("1")};
  give_headers(&header, one, 1);
  ms_output_columns output = ms_apply(apply<without_headers>, batch_of(ms_text("x")));
  CHECK(output.headers.there && ms_len(&output.headers.value.names) == 0);
  ms_reset();
}

static Refusal by_size(const Record &record, Route &to) {
  if (!record.value) return "no value";
  to = {record.value, static_cast<std::uint32_t>(record.value->size())};
  return ok;
}

static void partitions_are_said() {
  const Record records[] = {letter("a", "xyz"), letter("a", std::nullopt)};
  ms_routed routed = ms_direct(route<by_size>, true, batch(records));
  CHECK(routed.partitions.there && routed.partitions.value.data[0] == 3 && routed.partitions.value.data[1] == 0);
  CHECK(bytes_of(ms_item(&routed.topics, 0)) == "xyz" && routed.rejected.len == 1);
}

static bool left_alone(const Pair &pair, Buffer into) {
  if (!pair.left || pair.right) return false;
  into.push(*pair.key);
  into.push(*pair.left);
  return true;
}

static void a_joiner_may_refuse_nothing() {
  ms_bytes keys[] = {ms_text("k"), ms_text("k")}, left[] = {ms_text("l"), ms_text("l")}, right[] = {{nullptr, 0}, ms_text("r")};
  ms_joined joined = ms_join(join<left_alone>, column_of(keys, 2), column_of(left, 2), column_of(right, 2));
  CHECK(bytes_of(ms_item(&joined.values, 0)) == "kl" && !bytes_of(ms_item(&joined.values, 1)) && !joined.rejected.len);
}

/// Counts in a byte; what leaves is the window and the count.
struct Windowed {
  std::uint8_t count = 0;
  Refusal decode(std::string_view stored) {
    count = static_cast<std::uint8_t>(stored[0]);
    return ok;
  }
  void encode(Buffer into) const { into.push({reinterpret_cast<const char *>(&count), 1}); }
  Refusal add(const Record &) {
    count++;
    return ok;
  }
  bool finish(const Group &group, Buffer into) const {
    if (!group.window) return false;
    into.push_number(static_cast<std::uint64_t>(group.window->start));
    into.push("..");
    into.push_number(static_cast<std::uint64_t>(group.window->end));
    into.push("=");
    into.push_number(count);
    return true;
  }
};

static void a_scan_sees_windows() {
  static const std::uint32_t offsets[] = {0, 2}, members[] = {0, 1};
  static const std::int64_t starts[] = {10}, ends[] = {20};
  const Record records[] = {letter("a", "x"), letter("a", "y")};
  ms_bytes key = ms_text("a"), none = {nullptr, 0};
  ms_groups groups{*column_of(&key, 1), {starts, 1}, {ends, 1}, *column_of(&none, 1), {offsets, 2}, {members, 2}};
  ms_scanned scanned;
  CHECK(!ms_scan(&aggregator_of<Windowed>, &groups, batch(records), &scanned));
  CHECK(bytes_of(ms_item(&scanned.values, 0)) == "10..20=1" && bytes_of(ms_item(&scanned.values, 1)) == "10..20=2");
  CHECK(bytes_of(ms_item(&scanned.states, 0)) == "\2");
}

/// Of layout 1 are: in the store `names` the key before what was there, of all else the length of the store's name.
struct Longer {
  static constexpr std::uint32_t current = 1;
  static constexpr std::uint32_t reads[] = {0};
  static constexpr std::uint32_t writes[] = {2};
  static Refusal migrate(const Stored &stored, std::uint32_t old, std::uint32_t now, Buffer into) {
    if (stored.state == "bad") return "it is bad";
    if (stored.store == "names") into.push(stored.key.value_or("nobody"));
    else into.push_number(stored.store.size());
    into.push(stored.state);
    return old == 0 && now == 1 ? ok : Refusal("another way");
  }
};

/// It is no state of an aggregate.
MILLSTREAM_PROCESSOR(keep_letter)
MILLSTREAM_MIGRATOR(Longer)

static void a_migrator_is_told_store_key_and_state() {
  const ms_migrator &longer = ms_migrator_of_Longer;
  ms_bytes names[] = {ms_text("a"), ms_text("gone"), ms_text(""), ms_text(nullptr)};
  ms_bytes states[] = {ms_text("x"), ms_text(nullptr), ms_text("y"), ms_text("")}, bad[] = {ms_text("bad")};
  ms_column *keys = column_of(names, 4), *old = column_of(states, 4), made;
  auto at = [&made](std::size_t index) { return bytes_of(ms_item(&made, index)); };
  CHECK(!ms_migrate(&longer, ms_text("names"), 0, 1, keys, old, &made) && ms_len(&made) == 4);
  CHECK(at(0) == "ax" && !at(1) && at(2) == "y" && at(3) == "nobody");
  CHECK(!ms_migrate(&longer, ms_text("last"), 0, 1, keys, old, &made) && at(0) == "4x" && at(2) == "4y");
  CHECK(!ms_migrate(&longer, ms_text(""), 0, 1, keys, old, &made) && at(0) == "0x");
  CHECK(std::string_view(ms_migrate(&longer, ms_text(""), 0, 1, keys, column_of(bad, 1), &made)) == "it is bad");
  CHECK(std::string_view(ms_migrate(&longer, ms_text(""), 1, 2, keys, old, &made)) == "another way");
}

int main() {
  stores_and_timers_are_those_of_c();
  timers_are_told();
  headers_are_cleared();
  partitions_are_said();
  a_joiner_may_refuse_nothing();
  a_scan_sees_windows();
  a_migrator_is_told_store_key_and_state();
  return failures();
}
