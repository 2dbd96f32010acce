//! The router on single lines, natively.
#include "route.cpp"

#include "testing.h"

/// The topic; "own" for the sink's own, or why there is none.
static std::string_view routed(millstream::Bytes line) {
  ms_routed answer = ms_direct(millstream::route<by_action>, false, batch_of(millstream::bytes_of(line)));
  CHECK(!answer.partitions.there && answer.rejected.len <= 1);
  if (answer.rejected.len) return *millstream::bytes_of(answer.rejected.data[0].reason);
  return millstream::bytes_of(ms_item(&answer.topics, 0)).value_or("own");
}

int main() {
  CHECK(routed("User: Alice, Action: Login") == "action-login");
  CHECK(routed("User: Alice, Action: Log Out ") == "action-log out");
  CHECK(routed("Action: Login, Action: Logout") == "action-logout");
  CHECK(routed("no such thing") == "own");
  CHECK(routed("Action:") == "own");
  CHECK(routed("User: Alice, Action: ") == "the action is empty");
  CHECK(routed(std::nullopt) == "the record has no value");
  CHECK(routed("\xff") == "the value is not UTF-8");
  return failures();
}
