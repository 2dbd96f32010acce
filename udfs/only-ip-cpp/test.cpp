//! The filter on single records, natively.
#include "only-ip.cpp"

#include "testing.h"

int main() {
  auto keeps = [](millstream::Bytes value) { return only_ip({std::nullopt, value, 0}); };
  CHECK(keeps("[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice"));
  CHECK(keeps("IP:"));
  CHECK(!keeps("IP 192.168.1.1"));
  CHECK(!keeps("IP"));
  CHECK(!keeps(""));
  CHECK(!keeps(std::nullopt));
  return failures();
}
