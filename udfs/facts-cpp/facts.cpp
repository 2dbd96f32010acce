//! Shows what the host says about each record, as the new value; adds a header; and logs a line for a record whose value
//! begins with `log `. For tests of hosts, not for pipelines.
#include "millstream.hpp"

using millstream::Output, millstream::Record, millstream::Refusal, millstream::Text;

static void push_signed(Text &into, std::int64_t number) {
  if (number < 0) into.push("-");
  into.push_number(number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number));
}

/// `headers a=1 b; stream time 5; window 0..10; input 0`, with what is not there left out.
static Refusal facts(const Record &record, Output out) {
  // The log takes text alone.
  if (record.value_or_empty().starts_with("log ") && !record.not_text().reason) {
    millstream::log(MS_INFO, record.value->substr(4));
  }
  Text line;
  line.push("headers");
  for (auto [name, value] : record.headers()) {
    line.push(" ");
    line.push(name);
    if (value) {
      line.push("=");
      line.push(*value);
    }
  }
  if (auto time = record.stream_time()) {
    line.push("; stream time ");
    push_signed(line, *time);
  }
  if (auto window = record.window()) {
    line.push("; window ");
    push_signed(line, window->start);
    line.push("..");
    push_signed(line, window->end);
  }
  line.push("; input ");
  line.push_number(record.input());
  out.emit_value(line.view());
  out.add_header("seen", "yes");
  return millstream::ok;
}

MILLSTREAM_MAPPER(facts)
