//! Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record after
//! one gives how long the silence was. A record without a key is refused.
#include "millstream.hpp"

using millstream::Clock, millstream::Output, millstream::Record, millstream::Refusal, millstream::Text, millstream::Timer;

/// How long a key may be silent, milliseconds.
static constexpr std::int64_t silence_ms = 30'000;

/// The outputs: of alarms, and of keys that are heard of again.
static constexpr std::uint32_t to_alarm = 0, to_again = 1;

/// What each key said last.
static millstream::Store last{"last"};

/// As it is stored: eight bytes of time, the low one first; 1 when there was an alarm about it, else 0; the value.
struct Last {
  std::int64_t time;
  bool alarmed;
  std::string_view value;

  static std::optional<Last> of(std::string_view key) {
    auto held = last.get(key);
    if (!held || held->size() < 9) return std::nullopt;
    return Last{static_cast<std::int64_t>(millstream::u64(*held)), (*held)[8] == 1, held->substr(9)};
  }

  void put(std::string_view key) const {
    Text held;
    held.push_u64(static_cast<std::uint64_t>(time));
    held.push(std::string_view(alarmed ? "\1" : "\0", 1));
    held.push(value);
    last.put(key, held.view());
  }
};

/// Notes what a key says and starts its thirty seconds anew.
static Refusal heard(const Record &record, Output out) {
  if (!record.key) return "a record without a key belongs to nobody";
  auto before = Last::of(*record.key);
  if (before && before->alarmed && record.timestamp > before->time) {
    Text silence;
    silence.push_number(static_cast<std::uint64_t>(record.timestamp - before->time));
    out.to(to_again);
    out.emit_value(silence.view());
  }
  // One that comes out of order is older than what is known.
  if (!before || record.timestamp >= before->time) {
    Last{record.timestamp, false, record.value_or_empty()}.put(*record.key);
    millstream::set_timer(Clock::event_time, record.key, "silent", record.timestamp + silence_ms);
  }
  return millstream::ok;
}

/// A key was silent for thirty seconds.
static Refusal silent(const Timer &timer, Output out) {
  auto held = timer.key ? Last::of(*timer.key) : std::nullopt;
  if (!held) return millstream::ok;
  held->alarmed = true;
  held->put(*timer.key);
  out.to(to_alarm);
  out.emit_value(held->value);
  return millstream::ok;
}

MILLSTREAM_PROCESSOR(heard)
MILLSTREAM_ON_TIMER(silent)
