//! All that a function can export and import, in one module: what `componentize` makes a component of is right by the names and
//! types of the contract. It does nothing that anybody would want.
#include "millstream.hpp"

using namespace millstream;

static bool keep_it(const Record &record, Refusal &refused) {
  refused = record.input() ? "another input" : nullptr;
  return record.window().has_value();
}

static Refusal map(const Record &record, Output out) {
  log(MS_DEBUG, record.value_or_empty());
  out.emit(record.key, record.header("a"), record.stream_time().value_or(0));
  out.clear_headers();
  for (auto [name, value] : record.headers()) out.add_header(name, value);
  return ok;
}

static bool join_them(const Pair &pair, Buffer into) {
  into.push(pair.left.value_or(""));
  return true;
}

static Refusal route_it(const Record &record, Route &to) {
  to = {record.key, 3};
  return ok;
}

struct Sizes {
  std::uint64_t sum = 0;
  static constexpr std::uint32_t current = 1;
  static constexpr std::uint32_t reads[] = {0};
  static constexpr std::uint32_t writes[] = {0};
  Refusal decode(std::string_view stored) {
    sum = stored.size();
    return ok;
  }
  void encode(Buffer into) const { into.push_u64(sum); }
  Refusal add(const Record &record) {
    sum += record.value_or_empty().size();
    return ok;
  }
  Refusal remove(const Record &record) { return add(record); }
  bool finish(const Group &group, Buffer into) const {
    into.push_number(sum);
    return group.window.has_value();
  }
  Refusal merge(const Sizes &right) {
    sum += right.sum;
    return ok;
  }
  static Refusal migrate(const Stored &stored, std::uint32_t, std::uint32_t, Buffer into) {
    into.push(stored.key ? stored.state : stored.store);
    return ok;
  }
};

static Store store{"store"};

static Refusal process(const Record &record, Output out) {
  std::string_view key = record.key.value_or(""), value = record.value_or_empty();
  for (auto [other, held] : store.range(key, value, 10)) store.put(other, held);
  if (auto held = store.get(key)) store.put(value, *held);
  store.remove(key);
  set_timer(Clock::wall_clock, record.key, "wall", record.timestamp);
  cancel_timer(Clock::event_time, record.key, "event");
  out.emit_same();
  return ok;
}

static Refusal fire_it(const Timer &timer, Output out) {
  out.emit_value(timer.name);
  return timer.clock == Clock::wall_clock ? ok : Refusal("by the other clock");
}

static ms_reason begin(const ms_settings *settings) { return settings->len ? "it takes none" : nullptr; }

MILLSTREAM_FILTER(keep_it)
MILLSTREAM_MAPPER(map)
MILLSTREAM_JOINER(join_them)
MILLSTREAM_PARTITIONED_ROUTER(route_it)
MILLSTREAM_AGGREGATOR(Sizes)
MILLSTREAM_RETRACTOR(Sizes)
MILLSTREAM_SCANNER(Sizes)
MILLSTREAM_MERGER(Sizes)
MILLSTREAM_MIGRATOR(Sizes)
MILLSTREAM_PROCESSOR(process)
MILLSTREAM_ON_TIMER(fire_it)
MS_FUNCTION("all", "Does nothing that anybody would want.", "", begin, "filter", "mapper", "joiner", "router", "aggregator", "retractor",
            "scanner", "merger", "migrator", "processor", "on-timer")
