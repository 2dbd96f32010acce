//! The router on single lines, natively.
#include "route.c"

#include "testing.h"

/// The topic; "own" for the sink's own, or why there is none.
static const char *routed(const char *line) {
  ms_routed answer = ms_direct(by_action, false, batch_of(ms_text(line)));
  ms_bytes topic = ms_item(&answer.topics, 0);
  ms_buffer text = {NULL, 0, 0};
  CHECK(!answer.partitions.there && answer.rejected.len <= 1);
  if (answer.rejected.len) topic = answer.rejected.data[0].reason;
  else if (ms_is_null(topic)) topic = ms_text("own");
  ms_push_bytes(&text, topic);
  return ms_reason_of(&text);
}

int main(void) {
  CHECK(!strcmp(routed("User: Alice, Action: Login"), "action-login"));
  CHECK(!strcmp(routed("User: Alice, Action: Log Out "), "action-log out"));
  CHECK(!strcmp(routed("Action: Login, Action: Logout"), "action-logout"));
  CHECK(!strcmp(routed("no such thing"), "own"));
  CHECK(!strcmp(routed("Action:"), "own"));
  CHECK(!strcmp(routed("User: Alice, Action: "), "the action is empty"));
  CHECK(!strcmp(routed(NULL), "the record has no value"));
  CHECK(!strcmp(routed("\xff"), "the value is not UTF-8"));
  return failures();
}
