//! The filter on single records, natively.
#include "only-ip.c"

#include "testing.h"

static bool keeps(ms_bytes value) {
  ms_record record = {.value = value};
  ms_reason refused = NULL;
  return only_ip(&record, &refused);
}

int main(void) {
  CHECK(keeps(ms_text("[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice")));
  CHECK(keeps(ms_text("IP:")));
  CHECK(!keeps(ms_text("IP 192.168.1.1")));
  CHECK(!keeps(ms_text("IP")));
  CHECK(!keeps(ms_text("")));
  CHECK(!keeps(ms_text(NULL)));
  return failures();
}
