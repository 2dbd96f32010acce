//! Keeps lines that carry an address. Whether the address is one is not its matter.
#include "millstream.hpp"

/// Whether the value contains `IP:`.
static bool only_ip(const millstream::Record &record) {
  return record.value_or_empty().find("IP:") != std::string_view::npos;
}

MILLSTREAM_FILTER(only_ip)
