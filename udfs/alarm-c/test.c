//! The processor with the host for tests, natively.
#include "alarm.c"

#include "testing.h"

typedef struct said {
  const char *value;
  int64_t time;
} said;

static ms_output_columns say(const said *items, size_t len) {
  ms_record records[4];
  for (size_t i = 0; i < len; i++) records[i] = (ms_record){ms_text("k"), ms_text(items[i].value), items[i].time, 0};
  return ms_process(heard, batch_of_records(records, len));
}

static ms_output_columns fire(int64_t due) {
  ms_timer timer;
  CHECK(take_timer(MS_EVENT_TIME, &timer) && timer.due == due && ms_equal(timer.name, ms_text("silent")));
  return ms_fire(silent, timer.clock, batch_of_timer(&timer));
}

/// Whether there is one result, this one, at this output.
static bool is(const ms_output_columns *output, const char *value, uint32_t port) {
  const ms_column *values = &output->values.value;
  uint32_t went = output->ports.there ? output->ports.value.data[0] : 0;
  return output->values.there && ms_len(values) == 1 && ms_equal(ms_item(values, 0), ms_text(value)) && went == port;
}

static void silence_gives_an_alarm_and_its_end_is_told(void) {
  static const said first[] = {{"a", 1000}, {"b", 5000}, {"older", 2000}}, then[] = {{"c", 45000}, {"d", 46000}};
  ms_output_columns none = say(first, 3);
  CHECK(none.taken == 3 && none.sources.there && !none.sources.value.len);
  ms_output_columns alarm = fire(35000);
  CHECK(is(&alarm, "b", ALARM) && !alarm.keys.there);
  ms_output_columns again = say(then, 2);
  CHECK(is(&again, "40000", AGAIN));
  CHECK(due_of(MS_EVENT_TIME, ms_text("k"), ms_text("silent")).at == 76000);
  ms_output_columns second = fire(76000);
  CHECK(is(&second, "d", ALARM));
}

static void a_record_without_a_key_is_refused(void) {
  ms_output_columns output = ms_process(heard, batch_of(ms_text("x")));
  CHECK(output.rejected.len == 1);
}

static void a_timer_of_nobody_gives_nothing(void) {
  ms_timer timer = {MS_EVENT_TIME, ms_text("unheard"), ms_text("silent"), 5};
  ms_output_columns output = ms_fire(silent, timer.clock, batch_of_timer(&timer));
  CHECK(output.taken == 1 && output.sources.there && !output.sources.value.len);
  timer.key = ms_text(NULL);
  output = ms_fire(silent, timer.clock, batch_of_timer(&timer));
  CHECK(output.taken == 1 && !output.sources.value.len);
}

int main(void) {
  silence_gives_an_alarm_and_its_end_is_told();
  a_record_without_a_key_is_refused();
  a_timer_of_nobody_gives_nothing();
  return failures();
}
