//! The processor with the host for tests, natively.
#include "alarm.cpp"

#include "testing.h"

#include <initializer_list>

struct Said {
  const char *value;
  std::int64_t time;
};

static ms_output_columns say(std::initializer_list<Said> items) {
  ms_record records[4];
  std::size_t len = 0;
  for (const Said &item : items) records[len++] = {ms_text("k"), ms_text(item.value), item.time, 0};
  return ms_process(millstream::apply<heard>, batch_of_records(records, len));
}

static ms_output_columns fire(const ms_timer &timer) {
  return ms_fire(millstream::fire<silent>, timer.clock, batch_of_timer(&timer));
}

static ms_output_columns fire_at(std::int64_t due) {
  ms_timer timer;
  CHECK(take_timer(MS_EVENT_TIME, &timer) && timer.due == due && ms_equal(timer.name, ms_text("silent")));
  return fire(timer);
}

/// Whether there is one result, this one, at this output.
static bool is(const ms_output_columns &output, const char *value, std::uint32_t port) {
  const ms_column &values = output.values.value;
  std::uint32_t went = output.ports.there ? output.ports.value.data[0] : 0;
  return output.values.there && ms_len(&values) == 1 && ms_equal(ms_item(&values, 0), ms_text(value)) && went == port;
}

static void silence_gives_an_alarm_and_its_end_is_told() {
  ms_output_columns none = say({{"a", 1000}, {"b", 5000}, {"older", 2000}});
  CHECK(none.taken == 3 && none.sources.there && !none.sources.value.len);
  ms_output_columns alarm = fire_at(35000);
  CHECK(is(alarm, "b", to_alarm) && !alarm.keys.there);
  CHECK(is(say({{"c", 45000}, {"d", 46000}}), "40000", to_again));
  CHECK(due_of(MS_EVENT_TIME, ms_text("k"), ms_text("silent")).at == 76000);
  CHECK(is(fire_at(76000), "d", to_alarm));
}

static void a_record_without_a_key_is_refused() {
  CHECK(ms_process(millstream::apply<heard>, batch_of(ms_text("x"))).rejected.len == 1);
}

static void a_timer_of_nobody_gives_nothing() {
  for (const char *key : {"unheard", static_cast<const char *>(nullptr)}) {
    ms_output_columns output = fire({MS_EVENT_TIME, ms_text(key), ms_text("silent"), 5});
    CHECK(output.taken == 1 && output.sources.there && !output.sources.value.len);
  }
}

int main() {
  silence_gives_an_alarm_and_its_end_is_told();
  a_record_without_a_key_is_refused();
  a_timer_of_nobody_gives_nothing();
  return failures();
}
