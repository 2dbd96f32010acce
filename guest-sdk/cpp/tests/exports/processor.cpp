//! A processor with two stores and their migrator, and nothing else: a function without an aggregator may change its layout.
#include "millstream.hpp"

using namespace millstream;

static Store first{"first"};
static Store last{"last"};

/// Keeps the first value of each key, and the last one.
static Refusal heard(const Record &record, Output) {
  if (!record.key) return "a record without a key belongs to nobody";
  if (!first.get(*record.key)) first.put(*record.key, record.value_or_empty());
  last.put(*record.key, record.value_or_empty());
  return ok;
}

/// Layout 1 has in `first` the key and a colon before the value; `last` is as it was.
struct Values {
  static constexpr std::uint32_t current = 1;
  static constexpr std::uint32_t reads[] = {0};
  static constexpr std::uint32_t writes[] = {0};

  static Refusal migrate(const Stored &stored, std::uint32_t old, std::uint32_t, Buffer into) {
    std::string_view value = stored.state;
    if (stored.store == "first") {
      std::string_view key = stored.key.value_or("");
      if (old == 0) {
        into.push(key);
        into.push(":");
      } else if (value.size() > key.size()) {
        value = value.substr(key.size() + 1);
      }
    } else if (stored.store != "last") {
      return "there are two stores, first and last";
    }
    into.push(value);
    return ok;
  }
};

MILLSTREAM_PROCESSOR(heard)
MILLSTREAM_MIGRATOR(Values)
