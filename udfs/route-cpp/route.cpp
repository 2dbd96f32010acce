//! Sends access-log lines to a topic for each action.
#include "millstream.hpp"

using millstream::Record, millstream::Refusal, millstream::Route;

static std::string_view trim(std::string_view text) {
  constexpr std::string_view space = " \t\n\f\r";
  auto first = text.find_first_not_of(space);
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(space) - first + 1);
}

/// A letter in lower case, where it is ASCII; no other can be in a topic's name.
static char lower(char letter) { return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter; }

/// `action-login` for a line that ends with `Action: Login`; the sink's own topic for one without an action.
static Refusal by_action(const Record &record, Route &route) {
  constexpr std::string_view field = "Action: ";
  if (Refusal wrong = record.not_text(); wrong.reason) return wrong;
  auto at = record.value->rfind(field);
  if (at == std::string_view::npos) return millstream::ok;
  std::string_view action = trim(record.value->substr(at + field.size()));
  if (action.empty()) return "the action is empty";
  millstream::Text topic;
  topic.push("action-");
  for (char letter : action) {
    char low = lower(letter);
    topic.push({&low, 1});
  }
  route.topic = topic.view();
  return millstream::ok;
}

MILLSTREAM_ROUTER(by_action)
