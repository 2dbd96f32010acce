//! Counts records and the bytes of their values: the successor of count, whose states it reads and writes back. For
//! records that count counted, their bytes are not known and count as 0.
#include "millstream.hpp"

using millstream::Buffer, millstream::Group, millstream::Record, millstream::Refusal, millstream::Stored;

/// Layout 0: the u64 of count, the low byte first. Layout 1: that, and a u64 of bytes behind it.
static constexpr std::uint32_t count = 0;

struct Counts {
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;

  static constexpr std::uint32_t current = 1;
  static constexpr std::uint32_t reads[] = {count};
  static constexpr std::uint32_t writes[] = {count};

  Refusal decode(std::string_view stored) {
    if (stored.size() != 16) return "a state has two counts of 8 bytes";
    records = millstream::u64(stored);
    bytes = millstream::u64(stored.substr(8));
    return millstream::ok;
  }

  void encode(Buffer into) const {
    into.push_u64(records);
    into.push_u64(bytes);
  }

  Refusal add(const Record &record) {
    records++;
    bytes += record.value_or_empty().size();
    return millstream::ok;
  }

  bool finish(const Group &, Buffer into) const {
    into.push_number(records);
    into.push(" records, ");
    into.push_number(bytes);
    into.push(" bytes");
    return true;
  }

  Refusal merge(const Counts &right) {
    records += right.records;
    bytes += right.bytes;
    return millstream::ok;
  }

  static Refusal migrate(const Stored &stored, std::uint32_t old, std::uint32_t, Buffer into) {
    if (stored.state.size() != (old == count ? 8 : 16)) return "a count has 8 bytes, and a state of layout 1 has two";
    into.push_u64(millstream::u64(stored.state));
    if (old == count) into.push_u64(0);
    return millstream::ok;
  }
};

MILLSTREAM_AGGREGATOR(Counts)
MILLSTREAM_MERGER(Counts)
MILLSTREAM_MIGRATOR(Counts)
