//! Stores and timers of processors in C++, over those in C. Included by millstream.hpp; not their loops, which are C's.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_PROCESSORS_HPP
#define MILLSTREAM_PROCESSORS_HPP

namespace millstream {

/// What time a timer goes by: the step's stream time, or the host's wall clock.
enum class Clock { event_time = MS_EVENT_TIME, wall_clock = MS_WALL_CLOCK };

/// A timer that is due. It is gone unless it is set again.
struct Timer {
  Clock clock;
  /// None: it is the task's.
  Bytes key;
  std::string_view name;
  /// The time for which it was set, milliseconds since 1970-01-01T00:00:00Z.
  std::int64_t due;

  static Timer of(const ms_timer *timer) {
    return {static_cast<Clock>(timer->clock), bytes_of(timer->key), bytes_of(timer->name).value_or(std::string_view()), timer->due};
  }
};

/// Entries of a store in the order of keys, for a loop: `for (auto [key, value] : last.range("a", "b", 10))`.
class Entries {
 public:
  using Entry = std::pair<std::string_view, std::string_view>;
  struct Iterator {
    const Entries *of;
    std::size_t at;
    Entry operator*() const { return (*of)[at]; }
    Iterator &operator++() { return ++at, *this; }
    bool operator!=(const Iterator &other) const { return at != other.at; }
  };

  explicit Entries(ms_entries found) : found(found) {}
  std::size_t size() const { return ms_len(&found.keys); }
  /// Traps when there is no such entry.
  Entry operator[](std::size_t index) const {
    return {bytes_of(ms_item(&found.keys, index)).value_or(std::string_view()),
            bytes_of(ms_item(&found.values, index)).value_or(std::string_view())};
  }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, size()}; }

 private:
  ms_entries found;
};

/// A store of the step, by the name that the manifest gives it: `static millstream::Store last{"last"};`. For processors, while
/// they handle a record or a timer; in other functions a call of it fails.
class Store {
 public:
  constexpr explicit Store(const char *name) : store MS_STORE(name) {}
  Store(const Store &) = delete;
  Store &operator=(const Store &) = delete;

  /// The value of a key; it stays until the call ends, also when another is put.
  Bytes get(std::string_view key) { return bytes_of(ms_get(&store, bytes_of(Bytes(key)))); }
  /// Sets the value of a key. Both are copied.
  void put(std::string_view key, std::string_view value) { ms_put(&store, bytes_of(Bytes(key)), bytes_of(Bytes(value))); }
  void remove(std::string_view key) { ms_remove(&store, bytes_of(Bytes(key))); }
  /// Entries with `start` <= key < `end`, at most `limit` of them; an empty `end` is no bound.
  Entries range(std::string_view start, std::string_view end, std::uint32_t limit) {
    return Entries(ms_range(&store, bytes_of(Bytes(start)), bytes_of(Bytes(end)), limit));
  }

 private:
  ms_store store;
};

/// Sets a timer. There is one for each clock, key and name: setting it again moves it. Without a key it is the task's. The name
/// is UTF-8; `due` is in milliseconds since 1970-01-01T00:00:00Z.
inline void set_timer(Clock clock, Bytes key, std::string_view name, std::int64_t due) {
  ms_timer_set(static_cast<ms_clock>(clock), bytes_of(key), bytes_of(Bytes(name)), due);
}

/// Cancels a timer, where there is one.
inline void cancel_timer(Clock clock, Bytes key, std::string_view name) {
  ms_timer_cancel(static_cast<ms_clock>(clock), bytes_of(key), bytes_of(Bytes(name)));
}

/// A C processor's timers of `Refusal (const Timer &, Output)`.
template <auto function>
ms_reason fire(const ms_timer *timer, ms_output *out) {
  return Refusal(function(Timer::of(timer), Output(out))).reason;
}

}  // namespace millstream

#endif
