//! A processor with two stores and their migrator, and nothing else: a function without an aggregator may change its layout.
#include "millstream.h"

static ms_store first = MS_STORE("first");
static ms_store last = MS_STORE("last");

/// Keeps the first value of each key, and the last one.
static ms_reason heard(const ms_record *record, ms_output *out) {
  (void)out;
  if (ms_is_null(record->key)) return "a record without a key belongs to nobody";
  if (ms_is_null(ms_get(&first, record->key))) ms_put(&first, record->key, record->value);
  ms_put(&last, record->key, record->value);
  return NULL;
}

/// Layout 1 has in `first` the key and a colon before the value; `last` is as it was.
static ms_reason migrate(const ms_stored *stored, uint32_t old, uint32_t now, ms_buffer *into) {
  (void)old, (void)now;
  if (ms_equal(stored->store, ms_text("first"))) {
    ms_push_bytes(into, stored->key);
    ms_push_text(into, ":");
  } else if (!ms_equal(stored->store, ms_text("last"))) {
    return "there are two stores, first and last";
  }
  ms_push_bytes(into, stored->state);
  return NULL;
}

static const uint32_t before[] = {0};
static const ms_migrator layouts = {.current = 1, .reads = {before, 1}, .migrate = migrate};

MS_PROCESSOR(heard)
MS_MIGRATOR(layouts)
