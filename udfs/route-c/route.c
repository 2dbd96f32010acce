//! Sends access-log lines to a topic for each action.
#include "millstream.h"

/// The text in lower case, as far as it is ASCII; no other letter can be in a topic's name.
static void push_lower(ms_buffer *into, ms_bytes text) {
  for (size_t i = 0; i < text.size; i++) {
    uint8_t byte = text.data[i];
    if (byte >= 'A' && byte <= 'Z') byte = (uint8_t)(byte + ('a' - 'A'));
    ms_push(into, &byte, 1);
  }
}

/// `action-login` for a line that ends with `Action: Login`; the sink's own topic for one without an action.
static ms_reason by_action(const ms_record *record, ms_route *route) {
  static const char field[] = "Action: ";
  ms_bytes line = record->value;
  ms_reason wrong = ms_not_text(line);
  if (wrong) return wrong;
  size_t at = ms_find_last(line, field);
  if (at == line.size) return NULL;
  ms_bytes action = ms_trim(ms_slice(line, at + strlen(field), line.size));
  if (!action.size) return "the action is empty";
  ms_buffer topic = {NULL, 0, 0};
  ms_push_text(&topic, "action-");
  push_lower(&topic, action);
  route->topic = ms_bytes_of(&topic);
  return NULL;
}

MS_ROUTER(by_action)
