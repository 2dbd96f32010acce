//! Keeps lines that carry an address. Whether the address is one is not its matter.
#include "millstream.h"

/// Whether the value contains `IP:`.
static bool only_ip(const ms_record *record, ms_reason *refused) {
  (void)refused;
  return ms_find(record->value, "IP:") < record->value.size;
}

MS_FILTER(only_ip)
