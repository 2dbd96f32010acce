//! Tells of keys that have fallen silent: no record of a key for thirty seconds of event time gives an alarm, and the first record after
//! one gives how long the silence was. A record without a key is refused.
#include "millstream.h"

/// How long a key may be silent, milliseconds.
#define SILENCE_MS 30000

/// The outputs: of alarms, and of keys that are heard of again.
enum { ALARM, AGAIN };

/// What each key said last: eight bytes of time, the low one first; 1 when there was an alarm about it, else 0; the value.
static ms_store last = MS_STORE("last");
enum { TIME_SIZE = 8, HEAD_SIZE = 9 };

static void put_last(ms_bytes key, int64_t time, uint8_t alarmed, ms_bytes value) {
  ms_buffer held = {NULL, 0, 0};
  ms_push_u64(&held, (uint64_t)time);
  ms_push(&held, &alarmed, 1);
  ms_push_bytes(&held, value);
  ms_put(&last, key, ms_bytes_of(&held));
}

static int64_t time_of(ms_bytes held) { return (int64_t)ms_u64(held); }

/// Notes what a key says and starts its thirty seconds anew.
static ms_reason heard(const ms_record *record, ms_output *out) {
  if (ms_is_null(record->key)) return "a record without a key belongs to nobody";
  ms_bytes before = ms_get(&last, record->key);
  if (before.size >= HEAD_SIZE && before.data[TIME_SIZE] == 1 && record->timestamp > time_of(before)) {
    ms_buffer silence = {NULL, 0, 0};
    ms_push_number(&silence, (uint64_t)(record->timestamp - time_of(before)));
    ms_port(out, AGAIN);
    ms_emit_value(out, ms_bytes_of(&silence));
  }
  // One that comes out of order is older than what is known.
  if (before.size < HEAD_SIZE || record->timestamp >= time_of(before)) {
    put_last(record->key, record->timestamp, 0, record->value);
    ms_timer_set(MS_EVENT_TIME, record->key, ms_text("silent"), record->timestamp + SILENCE_MS);
  }
  return NULL;
}

/// A key was silent for thirty seconds.
static ms_reason silent(const ms_timer *timer, ms_output *out) {
  if (ms_is_null(timer->key)) return NULL;
  ms_bytes held = ms_get(&last, timer->key);
  if (held.size < HEAD_SIZE) return NULL;
  ms_bytes value = ms_slice(held, HEAD_SIZE, held.size);
  put_last(timer->key, time_of(held), 1, value);
  ms_port(out, ALARM);
  ms_emit_value(out, value);
  return NULL;
}

MS_PROCESSOR(heard)
MS_ON_TIMER(silent)
