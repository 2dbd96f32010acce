//! The macros that export what a function has, by the names and the shapes of the canonical ABI. Included by millstream.h.
//! Natively they export nothing.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_EXPORTS_H
#define MILLSTREAM_EXPORTS_H

#ifdef __cplusplus
#define MS_EXTERN_C extern "C"
extern "C" {
#else
#define MS_EXTERN_C extern
#endif

/* ---- Settings ---- */

/// A name and a value of the manifest, in the layout of a tuple of two strings. Nested values are JSON text.
typedef struct ms_setting {
  ms_bytes name;
  ms_bytes value;
} ms_setting;

typedef struct ms_settings {
  const ms_setting *data;
  size_t len;
} ms_settings;

/// The value of a setting; null when it is not given.
static inline ms_bytes ms_setting_of(const ms_settings *settings, const char *name) {
  ms_bytes none = {NULL, 0};
  for (size_t i = 0; i < settings->len; i++) {
    if (ms_equal(settings->data[i].name, ms_text(name))) return settings->data[i].value;
  }
  return none;
}

/// Why the settings are refused when one is not among these names, a slip of the pen; NULL when all are.
static inline ms_reason ms_unknown_setting(const ms_settings *settings, const char *const *names, size_t len) {
  for (size_t i = 0; i < settings->len; i++) {
    bool known = false;
    for (size_t at = 0; at < len; at++) known |= ms_equal(settings->data[i].name, ms_text(names[at]));
    if (known) continue;
    ms_buffer why = {NULL, 0, 0};
    ms_push_text(&why, "there is no setting `");
    ms_push_bytes(&why, settings->data[i].name);
    ms_push_text(&why, "`; there are ");
    for (size_t at = 0; at < len; at++) {
      ms_push_text(&why, at ? ", `" : "`");
      ms_push_text(&why, names[at]);
      ms_push_text(&why, "`");
    }
    return ms_reason_of(&why);
  }
  return NULL;
}

#ifdef __cplusplus
}
#endif

#ifndef __wasm__

#define MS_FILTER(filter)
#define MS_MAPPER(mapper)
#define MS_PROCESSOR(processor)
#define MS_ON_TIMER(on_timer)
#define MS_JOINER(joiner)
#define MS_ROUTER(router)
#define MS_PARTITIONED_ROUTER(router)
#define MS_AGGREGATOR(aggregator)
#define MS_SCANNER(aggregator)
#define MS_RETRACTOR(aggregator)
#define MS_MERGER(aggregator)
#define MS_MIGRATOR(migrator)
#define MS_FUNCTION(name, summary, schema, start, ...)

#else

_Static_assert(sizeof(void *) == 4, "the contract is that of wasm32");

/// Answers: 0 and what is asked for, or 1 and why not. They lie in the memory of the call.
#define MS_ANSWER(type, member)  \
  typedef struct type##_answer { \
    uint8_t failed;              \
    union {                      \
      type member;               \
      ms_bytes reason;           \
    } is;                        \
  } type##_answer;
MS_ANSWER(ms_kept, kept)
MS_ANSWER(ms_output_columns, output)
MS_ANSWER(ms_folded, folded)
MS_ANSWER(ms_scanned, scanned)
MS_ANSWER(ms_joined, joined)
MS_ANSWER(ms_routed, routed)
MS_ANSWER(ms_column, column)
#undef MS_ANSWER

_Static_assert(sizeof(ms_output_columns_answer) == 168, "as the canonical ABI has it");
_Static_assert(sizeof(ms_kept_answer) == 20, "as the canonical ABI has it");
_Static_assert(sizeof(ms_folded_answer) == 36, "as the canonical ABI has it");
_Static_assert(sizeof(ms_scanned_answer) == 60, "as the canonical ABI has it");
_Static_assert(sizeof(ms_joined_answer) == 36, "as the canonical ABI has it");
_Static_assert(sizeof(ms_routed_answer) == 48, "as the canonical ABI has it");

#define MS_NAME(interface, function) "millstream:udf/" interface "@0.1.0#" function
/// An exported function; after it the host has read the answer and calls its post-return, which frees all of the call.
#define MS_EXPORT(interface, function, symbol)                                                        \
  MS_EXTERN_C __attribute__((export_name("cabi_post_" MS_NAME(interface, function)))) void            \
      ms_post_##symbol(void *answer);                                                                 \
  void ms_post_##symbol(void *answer) {                                                               \
    (void)answer;                                                                                     \
    ms_reset();                                                                                       \
  }                                                                                                   \
  MS_EXTERN_C __attribute__((export_name(MS_NAME(interface, function))))

#define MS_COLUMN_OF(c) {c##_offsets, c##_offsets_len, c##_data, c##_data_len, c##_validity, c##_validity_len}
#define MS_BATCH_PARAMETERS \
  MS_COLUMN_PARAMETERS(keys), MS_COLUMN_PARAMETERS(values), const int64_t *timestamps, size_t timestamps_len
#define MS_BATCH_OF {MS_COLUMN_OF(keys), MS_COLUMN_OF(values), timestamps, timestamps_len}

static inline ms_kept_answer *ms_kept_answered(ms_kept kept) {
  ms_kept_answer *answer = (ms_kept_answer *)ms_alloc(sizeof *answer);
  answer->failed = 0;
  answer->is.kept = kept;
  return answer;
}

/// Exports an ms_filter: `MS_FILTER(only_ip)`.
#define MS_FILTER(filter)                                                                \
  MS_EXPORT("filter", "keep", keep) ms_kept_answer *ms_export_keep(MS_BATCH_PARAMETERS); \
  ms_kept_answer *ms_export_keep(MS_BATCH_PARAMETERS) {                                  \
    ms_batch ms_given = MS_BATCH_OF;                                                     \
    return ms_kept_answered(ms_keep(filter, &ms_given));                                 \
  }

static inline ms_output_columns_answer *ms_output_answered(ms_output_columns output) {
  ms_output_columns_answer *answer = (ms_output_columns_answer *)ms_alloc(sizeof *answer);
  answer->failed = 0;
  answer->is.output = output;
  return answer;
}

/// Exports an ms_mapper: `MS_MAPPER(extract_ip)`.
#define MS_MAPPER(mapper)                                                                             \
  MS_EXPORT("mapper", "apply", apply) ms_output_columns_answer *ms_export_apply(MS_BATCH_PARAMETERS); \
  ms_output_columns_answer *ms_export_apply(MS_BATCH_PARAMETERS) {                                    \
    ms_batch ms_given = MS_BATCH_OF;                                                                  \
    return ms_output_answered(ms_apply(mapper, &ms_given));                                           \
  }

/// Exports an ms_processor: `MS_PROCESSOR(heard)`.
#define MS_PROCESSOR(processor)                                                                                  \
  MS_EXPORT("processor", "process", process) ms_output_columns_answer *ms_export_process(MS_BATCH_PARAMETERS);   \
  ms_output_columns_answer *ms_export_process(MS_BATCH_PARAMETERS) {                                             \
    ms_batch ms_given = MS_BATCH_OF;                                                                             \
    return ms_output_answered(ms_process(processor, &ms_given));                                                 \
  }

/// Exports an ms_on_timer, beside a processor that sets timers: `MS_ON_TIMER(silent)`.
#define MS_ON_TIMER(on_timer)                                                                                         \
  MS_EXPORT("on-timer", "fire", fire) ms_output_columns_answer *ms_export_fire(int32_t clock, MS_BATCH_PARAMETERS);   \
  ms_output_columns_answer *ms_export_fire(int32_t clock, MS_BATCH_PARAMETERS) {                                      \
    ms_batch ms_given = MS_BATCH_OF;                                                                                  \
    return ms_output_answered(ms_fire(on_timer, (ms_clock)clock, &ms_given));                                         \
  }

/// Three columns with one item for each key: what merges and joins are asked about.
typedef struct ms_pair_arguments {
  ms_column keys;
  ms_column left;
  ms_column right;
} ms_pair_arguments;

static inline ms_joined_answer *ms_joined_answered(ms_joined joined) {
  ms_joined_answer *answer = (ms_joined_answer *)ms_alloc(sizeof *answer);
  answer->failed = 0;
  answer->is.joined = joined;
  return answer;
}

/// Exports an ms_joiner: `MS_JOINER(pair)`.
#define MS_JOINER(joiner)                                                                                        \
  MS_EXPORT("joiner", "join", join) ms_joined_answer *ms_export_join(const ms_pair_arguments *ms_given);         \
  ms_joined_answer *ms_export_join(const ms_pair_arguments *ms_given) {                                          \
    return ms_joined_answered(ms_join(joiner, &ms_given->keys, &ms_given->left, &ms_given->right));              \
  }

static inline ms_routed_answer *ms_routed_answered(ms_routed routed) {
  ms_routed_answer *answer = (ms_routed_answer *)ms_alloc(sizeof *answer);
  answer->failed = 0;
  answer->is.routed = routed;
  return answer;
}

#define MS_ROUTER_OF(router, partitioned)                                                     \
  MS_EXPORT("router", "route", route) ms_routed_answer *ms_export_route(MS_BATCH_PARAMETERS); \
  ms_routed_answer *ms_export_route(MS_BATCH_PARAMETERS) {                                    \
    ms_batch ms_given = MS_BATCH_OF;                                                          \
    return ms_routed_answered(ms_direct(router, partitioned, &ms_given));                     \
  }
/// Exports an ms_router; partitions are those of the keys: `MS_ROUTER(by_action)`.
#define MS_ROUTER(router) MS_ROUTER_OF(router, false)
/// Exports an ms_router that says the partition of every result.
#define MS_PARTITIONED_ROUTER(router) MS_ROUTER_OF(router, true)

static inline ms_column_answer *ms_column_answered(ms_reason wrong, const ms_column *column) {
  ms_column_answer *answer = (ms_column_answer *)ms_alloc(sizeof *answer);
  answer->failed = wrong != NULL;
  if (wrong) answer->is.reason = ms_text(wrong);
  else answer->is.column = *column;
  return answer;
}

typedef struct ms_fold_arguments {
  ms_groups groups;
  ms_batch records;
} ms_fold_arguments;

static inline ms_folded_answer *ms_fold_answered(const ms_aggregator *aggregator, ms_take take,
                                                 const ms_fold_arguments *given) {
  ms_folded_answer *answer = (ms_folded_answer *)ms_alloc(sizeof *answer);
  ms_folded folded;
  ms_reason wrong = ms_fold(aggregator, take, &given->groups, &given->records, &folded);
  answer->failed = wrong != NULL;
  if (wrong) answer->is.reason = ms_text(wrong);
  else answer->is.folded = folded;
  return answer;
}

/// Exports an ms_aggregator: `MS_AGGREGATOR(count_bytes)`.
#define MS_AGGREGATOR(aggregator)                                                                          \
  MS_EXPORT("aggregator", "add", add) ms_folded_answer *ms_export_add(const ms_fold_arguments *ms_given);  \
  ms_folded_answer *ms_export_add(const ms_fold_arguments *ms_given) {                                     \
    return ms_fold_answered(&(aggregator), (aggregator).add, ms_given);                                    \
  }                                                                                                        \
  MS_EXPORT("aggregator", "finish", finish) ms_column_answer *ms_export_finish(const ms_groups *ms_given); \
  ms_column_answer *ms_export_finish(const ms_groups *ms_given) {                                          \
    ms_column ms_made;                                                                                     \
    return ms_column_answered(ms_finish(&(aggregator), ms_given, &ms_made), &ms_made);                     \
  }

/// Exports an ms_aggregator that takes records out again, beside itself.
#define MS_RETRACTOR(aggregator)                                                                                \
  MS_EXPORT("retractor", "remove", remove) ms_folded_answer *ms_export_remove(const ms_fold_arguments *ms_given); \
  ms_folded_answer *ms_export_remove(const ms_fold_arguments *ms_given) {                                       \
    return ms_fold_answered(&(aggregator), (aggregator).remove, ms_given);                                      \
  }

static inline ms_scanned_answer *ms_scan_answered(const ms_aggregator *aggregator, const ms_fold_arguments *given) {
  ms_scanned_answer *answer = (ms_scanned_answer *)ms_alloc(sizeof *answer);
  ms_scanned scanned;
  ms_reason wrong = ms_scan(aggregator, &given->groups, &given->records, &scanned);
  answer->failed = wrong != NULL;
  if (wrong) answer->is.reason = ms_text(wrong);
  else answer->is.scanned = scanned;
  return answer;
}

/// Exports an ms_aggregator whose every result leaves: `MS_SCANNER(running_total)`.
#define MS_SCANNER(aggregator)                                                                               \
  MS_EXPORT("scanner", "scan", scan) ms_scanned_answer *ms_export_scan(const ms_fold_arguments *ms_given);   \
  ms_scanned_answer *ms_export_scan(const ms_fold_arguments *ms_given) {                                     \
    return ms_scan_answered(&(aggregator), ms_given);                                                        \
  }

/// Exports an ms_aggregator that merges, beside itself.
#define MS_MERGER(aggregator)                                                                                  \
  MS_EXPORT("merger", "merge", merge) ms_column_answer *ms_export_merge(const ms_pair_arguments *ms_given);   \
  ms_column_answer *ms_export_merge(const ms_pair_arguments *ms_given) {                                      \
    ms_column ms_made;                                                                                         \
    return ms_column_answered(ms_merge(&(aggregator), &ms_given->left, &ms_given->right, &ms_made), &ms_made); \
  }

static inline ms_layouts *ms_described(const ms_migrator *migrator) {
  ms_layouts *layouts = (ms_layouts *)ms_alloc(sizeof *layouts);
  layouts->current = migrator->current;
  layouts->reads = migrator->reads;
  layouts->writes = migrator->writes;
  return layouts;
}

#define MS_MIGRATE_PARAMETERS                                                                     \
  const uint8_t *store, size_t store_len, uint32_t old, uint32_t now, MS_COLUMN_PARAMETERS(keys), \
      MS_COLUMN_PARAMETERS(states)

/// Exports an ms_migrator beside its aggregator, scanner or processor.
#define MS_MIGRATOR(migrator)                                                                          \
  MS_EXPORT("migrator", "describe", describe) ms_layouts *ms_export_describe(void);                    \
  ms_layouts *ms_export_describe(void) { return ms_described(&(migrator)); }                           \
  MS_EXPORT("migrator", "migrate", migrate) ms_column_answer *ms_export_migrate(MS_MIGRATE_PARAMETERS); \
  ms_column_answer *ms_export_migrate(MS_MIGRATE_PARAMETERS) {                                         \
    ms_bytes ms_of = {store, store_len};                                                               \
    ms_column ms_keys = MS_COLUMN_OF(keys), ms_given = MS_COLUMN_OF(states), ms_made;                  \
    return ms_column_answered(                                                                         \
        ms_migrate(&(migrator), ms_of, old, now, &ms_keys, &ms_given, &ms_made), &ms_made);            \
  }

typedef struct ms_list {
  const void *data;
  size_t len;
} ms_list;

typedef struct ms_function {
  ms_bytes name;
  ms_list interfaces;
  ms_list details;
} ms_function;

typedef struct ms_started {
  uint8_t failed;
  ms_bytes reason;
} ms_started;

static inline ms_list *ms_functions(const char *name, const char *summary, const char *schema,
                                    const char *const *interfaces, size_t interfaces_len) {
  ms_list *list = (ms_list *)ms_alloc(sizeof *list);
  ms_function *function = (ms_function *)ms_alloc(sizeof *function);
  ms_bytes *names = (ms_bytes *)ms_alloc(interfaces_len * sizeof *names);
  ms_setting *details = (ms_setting *)ms_alloc(2 * sizeof *details);
  for (size_t i = 0; i < interfaces_len; i++) names[i] = ms_text(interfaces[i]);
  details[0].name = ms_text("summary");
  details[0].value = ms_text(summary);
  details[1].name = ms_text("settings-schema");
  details[1].value = ms_text(schema);
  function->name = ms_text(name);
  function->interfaces.data = names;
  function->interfaces.len = interfaces_len;
  function->details.data = details;
  function->details.len = schema[0] ? 2 : 1;
  list->data = function;
  list->len = 1;
  return list;
}

static inline ms_started *ms_start(bool known, ms_reason (*start)(const ms_settings *), const ms_settings *settings) {
  ms_started *started = (ms_started *)ms_alloc(sizeof *started);
  ms_reason wrong = known ? start(settings) : "there is no such function";
  ms_floor = ms_now;
  started->failed = wrong != NULL;
  if (wrong) started->reason = ms_text(wrong);
  return started;
}

/// Exports `lifecycle`: this file's one function has a name, takes settings and learns them before the first record.
/// `begin` is a `ms_reason (*)(const ms_settings *)`; what the settings point to, and all that it takes from ms_alloc,
/// stays for ever. `schema`: the JSON Schema of the settings, or "". The rest: the interfaces that are exported.
#define MS_FUNCTION(name, summary, schema, begin, ...)                                                        \
  MS_EXPORT("lifecycle", "functions", functions) ms_list *ms_export_functions(void);                          \
  ms_list *ms_export_functions(void) {                                                                        \
    static const char *const ms_names[] = {__VA_ARGS__};                                                      \
    return ms_functions(name, summary, schema, ms_names, sizeof ms_names / sizeof ms_names[0]);               \
  }                                                                                                           \
  MS_EXPORT("lifecycle", "start", started)                                                                    \
  ms_started *ms_export_started(const uint8_t *which, size_t which_len, const ms_setting *given, size_t len); \
  ms_started *ms_export_started(const uint8_t *which, size_t which_len, const ms_setting *given, size_t len) { \
    ms_settings ms_given = {given, len};                                                                      \
    ms_bytes ms_asked = {which, which_len};                                                                   \
    return ms_start(ms_equal(ms_asked, ms_text(name)), begin, &ms_given);                                     \
  }

/// How the host puts arguments into this memory: from the memory of the call.
MS_EXTERN_C __attribute__((weak, export_name("cabi_realloc"))) void *ms_realloc(void *old, size_t old_size, size_t align,
                                                                               size_t size);
void *ms_realloc(void *old, size_t old_size, size_t align, size_t size) {
  if (!size) return (void *)align;
  void *made = ms_alloc_aligned(size, align);
  if (old_size) memcpy(made, old, old_size < size ? old_size : size);
  return made;
}

#endif

#endif
