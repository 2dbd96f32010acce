//! All that a function can export and import, in one module: what `componentize` makes a component of is right by the names and
//! types of the contract. It does nothing that anybody would want.
#include "millstream.h"

static bool keep(const ms_record *record, ms_reason *refused) {
  *refused = ms_input(record) ? "another input" : NULL;
  return ms_window_of(record).there;
}

static ms_reason map(const ms_record *record, ms_output *out) {
  ms_log(MS_DEBUG, record->key);
  ms_emit(out, record->key, ms_header_value(record, "a"), ms_stream_time(record).at);
  ms_clear_headers(out);
  ms_add_header(out, ms_text("a"), record->key);
  return NULL;
}

static bool join(const ms_pair *pair, ms_buffer *into, ms_reason *refused) {
  *refused = NULL;
  ms_push_bytes(into, pair->left);
  return true;
}

static ms_reason route(const ms_record *record, ms_route *to) {
  to->topic = record->key;
  return NULL;
}

static ms_reason decode(void *state, ms_bytes stored) {
  *(uint64_t *)state = stored.size;
  return NULL;
}
static void encode(const void *state, ms_buffer *into) { ms_push_u64(into, *(const uint64_t *)state); }
static ms_reason add(void *state, const ms_record *record) {
  *(uint64_t *)state += record->value.size;
  return NULL;
}
static bool finish(const void *state, const ms_group *group, ms_buffer *into) {
  ms_push_number(into, *(const uint64_t *)state);
  return group->has_window;
}
static ms_reason merge(void *left, const void *right) {
  *(uint64_t *)left += *(const uint64_t *)right;
  return NULL;
}
static const ms_aggregator sizes = {
    .state_size = 8, .decode = decode, .encode = encode, .add = add, .remove = add, .finish = finish, .merge = merge};

static ms_reason migrate(const ms_stored *stored, uint32_t old, uint32_t now, ms_buffer *into) {
  ms_push_bytes(into, ms_is_null(stored->key) ? stored->store : stored->state);
  return old == now ? "the same" : NULL;
}
static const ms_migrator layouts = {.migrate = migrate};

static ms_store store = MS_STORE("store");

static ms_reason process(const ms_record *record, ms_output *out) {
  ms_entries found = ms_range(&store, record->key, record->value, 10);
  ms_put(&store, record->key, ms_get(&store, record->value));
  ms_remove(&store, record->value);
  ms_timer_set(MS_WALL_CLOCK, record->key, ms_text("wall"), record->timestamp);
  ms_timer_cancel(MS_EVENT_TIME, record->key, ms_text("event"));
  ms_emit_value(out, ms_len(&found.keys) ? ms_item(&found.values, 0) : record->key);
  return NULL;
}

static ms_reason fire(const ms_timer *timer, ms_output *out) {
  ms_emit_same(out);
  return timer->clock == MS_WALL_CLOCK ? NULL : "by the other clock";
}

static ms_reason begin(const ms_settings *settings) { return settings->len ? "it takes none" : NULL; }

MS_FILTER(keep)
MS_MAPPER(map)
MS_JOINER(join)
MS_PARTITIONED_ROUTER(route)
MS_AGGREGATOR(sizes)
MS_RETRACTOR(sizes)
MS_SCANNER(sizes)
MS_MERGER(sizes)
MS_MIGRATOR(layouts)
MS_PROCESSOR(process)
MS_ON_TIMER(fire)
MS_FUNCTION("all", "Does nothing that anybody would want.", "", begin, "filter", "mapper", "joiner", "router", "aggregator", "retractor",
            "scanner", "merger", "migrator", "processor", "on-timer")
