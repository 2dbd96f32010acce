//! Millstream functions in C++20, over the C header of the same name: bytes are std::string_view, refusals are values, an
//! aggregate is a class. Needs no exceptions and no run-time type information.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_HPP
#define MILLSTREAM_HPP

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millstream.h"

#if defined(__wasm__) && defined(_LIBCPP_VERSION)
/// Where the library would throw (`substr` behind the end), it calls this; its own prints by WASI, which no host grants. The
/// log gets the library's words, and the function traps.
_LIBCPP_BEGIN_NAMESPACE_STD
[[noreturn]] __attribute__((weak)) void __libcpp_verbose_abort(const char *format, ...) noexcept(noexcept(__libcpp_verbose_abort(""))) {
  ms_log(MS_ERROR, ms_text(format));
  __builtin_trap();
}
_LIBCPP_END_NAMESPACE_STD
#endif

namespace millstream {

/// Why something is refused, for people; a text that stays until the call ends. `ok` where all is well.
struct Refusal {
  ms_reason reason = nullptr;
  constexpr Refusal() = default;
  constexpr Refusal(ms_reason reason) : reason(reason) {}
};
inline constexpr Refusal ok{};

/// Bytes, or none where they are null.
using Bytes = std::optional<std::string_view>;

inline Bytes bytes_of(ms_bytes bytes) {
  if (ms_is_null(bytes)) return std::nullopt;
  return std::string_view(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

inline ms_bytes bytes_of(Bytes bytes) {
  static const std::uint8_t nothing[1] = {0};
  if (!bytes) return {nullptr, 0};
  return {bytes->empty() ? nothing : reinterpret_cast<const std::uint8_t *>(bytes->data()), bytes->size()};
}

/// A window: `start` is in it, `end` no longer. Milliseconds since 1970-01-01T00:00:00Z.
struct Window {
  std::int64_t start;
  std::int64_t end;
};

/// A header of a record; its name is UTF-8.
struct Header {
  std::string_view name;
  Bytes value;
};

/// A record's headers in their order, for a loop: `for (auto [name, value] : record.headers())`.
class Headers {
 public:
  struct Iterator {
    const Headers *of;
    std::size_t at;
    Header operator*() const { return (*of)[at]; }
    Iterator &operator++() { return ++at, *this; }
    bool operator!=(const Iterator &other) const { return at != other.at; }
  };

  explicit Headers(ms_record record) : record(record), count(ms_headers(&record)) {}
  std::size_t size() const { return count; }
  /// Traps when there is no such header.
  Header operator[](std::size_t index) const {
    ms_header header = ms_header_at(&record, index);
    return {bytes_of(header.name).value_or(std::string_view()), bytes_of(header.value)};
  }
  Iterator begin() const { return {this, 0}; }
  Iterator end() const { return {this, count}; }

 private:
  ms_record record;
  std::size_t count;
};

/// A record, borrowed from the columns of its batch. What the host knows about it beside its key, value and time is fetched
/// when it is first asked for; natively a test gives it (testing.h).
struct Record {
  Bytes key;
  Bytes value;
  /// Event time, milliseconds since 1970-01-01T00:00:00Z.
  std::int64_t timestamp = 0;
  /// Its place in the call.
  std::size_t index = 0;

  /// The value, or no bytes where there is none.
  std::string_view value_or_empty() const { return value.value_or(std::string_view()); }
  /// Why the value is no text; `ok` when it is.
  Refusal not_text() const { return ms_not_text(bytes_of(value)); }

  Headers headers() const { return Headers(here()); }
  /// The value of the last header of this name; none when there is no such header, or its value is null.
  Bytes header(const char *name) const {
    ms_record at = here();
    return bytes_of(ms_header_value(&at, name));
  }
  /// The window of the key; none where keys have no window.
  std::optional<Window> window() const {
    ms_record at = here();
    ms_window window = ms_window_of(&at);
    return window.there ? std::optional(Window{window.start, window.end}) : std::nullopt;
  }
  /// The step's stream time once the record is in, milliseconds; none where nobody knows it (tests).
  std::optional<std::int64_t> stream_time() const {
    ms_record at = here();
    ms_time time = ms_stream_time(&at);
    return time.there ? std::optional(time.at) : std::nullopt;
  }
  /// Which of the step's inputs, in the manifest's order, it came from; 0 where there is only one.
  std::uint32_t input() const {
    ms_record at = here();
    return ms_input(&at);
  }

  static Record of(const ms_record *record) {
    return {bytes_of(record->key), bytes_of(record->value), record->timestamp, record->index};
  }

  /// The record as C has it.
  ms_record here() const { return {bytes_of(key), bytes_of(value), timestamp, index}; }
};

/// A group of an aggregate.
struct Group {
  std::string_view key;
  /// None without a window.
  std::optional<Window> window;

  static Group of(const ms_group *group) {
    Group made{bytes_of(group->key).value_or(std::string_view()), std::nullopt};
    if (group->has_window) made.window = Window{group->window_start, group->window_end};
    return made;
  }
};

/// Bytes that grow, in the memory of the call.
class Buffer {
 public:
  explicit Buffer(ms_buffer *into) : into(into) {}
  void push(std::string_view bytes) { ms_push(into, bytes.data(), bytes.size()); }
  /// In decimal.
  void push_number(std::uint64_t number) { ms_push_number(into, number); }
  /// Eight bytes, the low one first.
  void push_u64(std::uint64_t number) { ms_push_u64(into, number); }
  /// As C's functions take it.
  ms_buffer *c() const { return into; }

 private:
  ms_buffer *into;
};

/// Bytes of one's own that grow: what was pushed stays in the memory of the call when this is gone.
class Text : public Buffer {
 public:
  Text() : Buffer(&held) {}
  Text(const Text &) = delete;
  Text &operator=(const Text &) = delete;
  std::string_view view() const { return {reinterpret_cast<const char *>(held.data), held.size}; }

 private:
  ms_buffer held{};
};

/// The first eight bytes as a number, the low one first; fewer trap.
inline std::uint64_t u64(std::string_view bytes) { return ms_u64(bytes_of(Bytes(bytes))); }

/// Where a mapper's results go. A part that is the record's own costs nothing while its column is unchanged.
class Output {
 public:
  explicit Output(ms_output *out) : out(out) {}
  void emit(Bytes key, Bytes value, std::int64_t timestamp) { ms_emit(out, bytes_of(key), own(value), timestamp); }
  void emit_same() { ms_emit_same(out); }
  void emit_value(Bytes value) { ms_emit_value(out, bytes_of(value)); }
  void emit_key(Bytes key) { ms_emit_key(out, bytes_of(key)); }
  /// Sends this record's results from here on to another of the step's outputs, by its place in the list.
  void to(std::uint32_t port) { ms_port(out, port); }
  /// Adds a header to the result emitted last, behind those it has from its record. The name is UTF-8. Before this record has
  /// a result the call fails.
  void add_header(std::string_view name, Bytes value) { ms_add_header(out, bytes_of(Bytes(name)), bytes_of(value)); }
  /// Takes all headers from the result emitted last. Before this record has a result the call fails.
  void clear_headers() { ms_clear_headers(out); }

 private:
  /// Empty bytes lose their place on the way through std::string_view's users; the record's own are taken for its own.
  ms_bytes own(Bytes value) {
    ms_bytes given = ms_item(&out->records->values, out->record);
    return value && given.data && !value->size() && !given.size ? given : bytes_of(value);
  }
  ms_output *out;
};

inline void log(ms_level level, std::string_view line) { ms_log(level, bytes_of(Bytes(line))); }

/// A C filter of `bool (const Record &)`, or of `bool (const Record &, Refusal &)`.
template <auto function>
bool keep(const ms_record *record, ms_reason *refused) {
  if constexpr (std::is_invocable_v<decltype(function), const Record &, Refusal &>) {
    Refusal refusal;
    bool kept = function(Record::of(record), refusal);
    *refused = refusal.reason;
    return kept;
  } else {
    return function(Record::of(record));
  }
}

/// A C mapper, or a C processor, of `Refusal (const Record &, Output)`.
template <auto function>
ms_reason apply(const ms_record *record, ms_output *out) {
  return Refusal(function(Record::of(record), Output(out))).reason;
}

/// What has met; not both sides are missing.
struct Pair {
  /// None: a stream's record without a key, which a left join joins with nothing.
  Bytes key;
  Bytes left;
  Bytes right;
};

/// A C joiner of `bool (const Pair &, Buffer, Refusal &)`, which says whether there is a value, or of the same without a
/// Refusal.
template <auto function>
bool join(const ms_pair *pair, ms_buffer *into, ms_reason *refused) {
  Pair met{bytes_of(pair->key), bytes_of(pair->left), bytes_of(pair->right)};
  if constexpr (std::is_invocable_v<decltype(function), const Pair &, Buffer, Refusal &>) {
    Refusal refusal;
    bool there = function(met, Buffer(into), refusal);
    *refused = refusal.reason;
    return there;
  } else {
    return function(met, Buffer(into));
  }
}

/// Where a result goes; at first to the sink's own topic.
struct Route {
  /// From the sink's list or pattern; none: the sink's own. Its bytes stay until the call ends, as those of a record or a Text.
  Bytes topic;
  /// For MILLSTREAM_PARTITIONED_ROUTER only; else it is that of the key.
  std::uint32_t partition = 0;
};

/// A C router of `Refusal (const Record &, Route &)`.
template <auto function>
ms_reason route(const ms_record *record, ms_route *into) {
  Route found;
  Refusal refusal = function(Record::of(record), found);
  *into = {bytes_of(found.topic), found.partition};
  return refusal.reason;
}

/// The C functions over a class that is the state of a group. It can be made of nothing and be copied as bytes, and has
/// `Refusal decode(std::string_view)`, `void encode(Buffer) const`, `Refusal add(const Record &)` and
/// `bool finish(const Group &, Buffer) const`, which says whether anything leaves; and where it wants them
/// `void start(const Group &)`, `bool is_gone() const`, `Refusal merge(const State &)`, `Refusal remove(const Record &)`.
template <class State>
struct Aggregator {
  static_assert(std::is_trivially_copyable_v<State> && std::is_trivially_destructible_v<State>,
                "a state is bytes: what it points to is in the memory of the call");

  static constexpr ms_aggregator functions() {
    ms_aggregator made{};
    made.state_size = sizeof(State);
    made.start = [](void *state, const ms_group *group) {
      new (state) State();
      if constexpr (requires(State it) { it.start(Group{}); }) static_cast<State *>(state)->start(Group::of(group));
      (void)group;
    };
    made.decode = [](void *state, ms_bytes stored) { return (new (state) State())->decode(*bytes_of(stored)).reason; };
    made.encode = [](const void *state, ms_buffer *into) { static_cast<const State *>(state)->encode(Buffer(into)); };
    made.add = [](void *state, const ms_record *record) { return static_cast<State *>(state)->add(Record::of(record)).reason; };
    made.finish = [](const void *state, const ms_group *group, ms_buffer *into) {
      return static_cast<const State *>(state)->finish(Group::of(group), Buffer(into));
    };
    if constexpr (requires(State it, const Record &record) { it.remove(record); }) {
      made.remove = [](void *state, const ms_record *record) { return static_cast<State *>(state)->remove(Record::of(record)).reason; };
    }
    if constexpr (requires(const State it) { it.is_gone(); }) {
      made.is_gone = [](const void *state) { return static_cast<const State *>(state)->is_gone(); };
    }
    if constexpr (requires(State it) { it.merge(it); }) {
      made.merge = [](void *left, const void *right) { return static_cast<State *>(left)->merge(*static_cast<const State *>(right)).reason; };
    }
    return made;
  }
};

template <class State>
inline constexpr ms_aggregator aggregator_of = Aggregator<State>::functions();

/// What is to be brought into another layout: a state of an aggregate or a scan, or an entry of a processor's store.
struct Stored {
  /// The name of the store, as the manifest has it; empty for the state of an aggregate or a scan.
  std::string_view store;
  /// Of the group, or of the entry. A host has one for all that it stores; none where it was asked without.
  Bytes key;
  /// The state, or the entry's value.
  std::string_view state;

  static Stored of(const ms_stored *stored) {
    return {bytes_of(stored->store).value_or(std::string_view()), bytes_of(stored->key), *bytes_of(stored->state)};
  }
};

/// The C functions over the layouts of a class, be it the state of an aggregate or one that has nothing else, beside a
/// processor: `static constexpr std::uint32_t current`, arrays `reads` and `writes`, and
/// `static Refusal migrate(const Stored &, std::uint32_t old, std::uint32_t now, Buffer into)`, which writes the state anew.
template <class Layouts>
ms_migrator migrator() {
  return {Layouts::current,
          {Layouts::reads, sizeof Layouts::reads / sizeof Layouts::reads[0]},
          {Layouts::writes, sizeof Layouts::writes / sizeof Layouts::writes[0]},
          [](const ms_stored *stored, std::uint32_t old, std::uint32_t now, ms_buffer *into) {
            return Layouts::migrate(Stored::of(stored), old, now, Buffer(into)).reason;
          }};
}

}  // namespace millstream

#include "millstream-processors.hpp"

/// What MS_FILTER and its kin take, made of the functions above: `MILLSTREAM_FILTER(only_ip)`.
#define MILLSTREAM_FILTER(function) MS_FILTER(millstream::keep<function>)
#define MILLSTREAM_MAPPER(function) MS_MAPPER(millstream::apply<function>)
/// A function as a mapper's, with stores and timers.
#define MILLSTREAM_PROCESSOR(function) MS_PROCESSOR(millstream::apply<function>)
/// Beside a processor that sets timers.
#define MILLSTREAM_ON_TIMER(function) MS_ON_TIMER(millstream::fire<function>)
#define MILLSTREAM_JOINER(function) MS_JOINER(millstream::join<function>)
#define MILLSTREAM_ROUTER(function) MS_ROUTER(millstream::route<function>)
/// A router that says the partition of every result.
#define MILLSTREAM_PARTITIONED_ROUTER(function) MS_PARTITIONED_ROUTER(millstream::route<function>)
/// The class: `MILLSTREAM_AGGREGATOR(Counts)`.
#define MILLSTREAM_AGGREGATOR(State) MS_AGGREGATOR(millstream::aggregator_of<State>)
#define MILLSTREAM_SCANNER(State) MS_SCANNER(millstream::aggregator_of<State>)
#define MILLSTREAM_MERGER(State) MS_MERGER(millstream::aggregator_of<State>)
#define MILLSTREAM_RETRACTOR(State) MS_RETRACTOR(millstream::aggregator_of<State>)
/// Beside an aggregator, a scanner or a processor.
#define MILLSTREAM_MIGRATOR(Layouts)                                                   \
  static const ms_migrator ms_migrator_of_##Layouts = millstream::migrator<Layouts>(); \
  MS_MIGRATOR(ms_migrator_of_##Layouts)

#endif
