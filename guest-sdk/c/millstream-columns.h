//! The contract's records of columns, and how a column is read and written. Included by millstream.h; not the loops over
//! them. On wasm32 the structs here lie in memory as the canonical ABI has the records of the same names.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_COLUMNS_H
#define MILLSTREAM_COLUMNS_H

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The contract's types ---- */

typedef struct ms_column {
  const uint32_t *offsets;
  size_t offsets_len;
  const uint8_t *data;
  size_t data_len;
  /// Bit i: item i is there. Of length 0: all are.
  const uint8_t *validity;
  size_t validity_len;
} ms_column;

/// A column as parameters of a function, and a column as arguments for them.
#define MS_COLUMN_PARAMETERS(c)                                                                             \
  const uint32_t *c##_offsets, size_t c##_offsets_len, const uint8_t *c##_data, size_t c##_data_len,        \
      const uint8_t *c##_validity, size_t c##_validity_len
#define MS_COLUMN_ARGUMENTS(c) \
  (c)->offsets, (c)->offsets_len, (c)->data, (c)->data_len, (c)->validity, (c)->validity_len

typedef struct ms_batch {
  ms_column keys;
  ms_column values;
  const int64_t *timestamps;
  size_t len;
} ms_batch;

typedef struct ms_numbers {
  const uint32_t *data;
  size_t len;
} ms_numbers;

typedef struct ms_times {
  const int64_t *data;
  size_t len;
} ms_times;

typedef struct ms_groups {
  ms_column keys;
  ms_times starts;
  ms_times ends;
  ms_column states;
  ms_numbers offsets;
  ms_numbers members;
} ms_groups;

typedef struct ms_rejection {
  uint32_t index;
  ms_bytes reason;
} ms_rejection;

typedef struct ms_rejections {
  ms_rejection *data;
  size_t len;
} ms_rejections;

typedef struct ms_kept {
  const uint8_t *bits;
  size_t bits_len;
  ms_rejections rejected;
} ms_kept;

/// `there` 0: none.
typedef struct ms_option_numbers {
  uint8_t there;
  ms_numbers value;
} ms_option_numbers;

typedef struct ms_option_times {
  uint8_t there;
  ms_times value;
} ms_option_times;

typedef struct ms_option_column {
  uint8_t there;
  ms_column value;
} ms_option_column;

/// Record i owns entries `offsets[i]` to before `offsets[i + 1]` of names and values.
typedef struct ms_header_columns {
  ms_numbers offsets;
  ms_column names;
  ms_column values;
} ms_header_columns;

typedef struct ms_option_headers {
  uint8_t there;
  ms_header_columns value;
} ms_option_headers;

typedef struct ms_windows {
  ms_times starts;
  ms_times ends;
} ms_windows;

typedef struct ms_option_windows {
  uint8_t there;
  ms_windows value;
} ms_option_windows;

typedef struct ms_output_columns {
  uint32_t taken;
  ms_option_numbers sources;
  ms_option_numbers ports;
  ms_option_column keys;
  ms_option_column values;
  ms_option_times timestamps;
  ms_option_headers headers;
  ms_rejections rejected;
} ms_output_columns;

typedef struct ms_folded {
  ms_column states;
  ms_rejections rejected;
} ms_folded;

typedef struct ms_scanned {
  ms_column states;
  ms_column values;
  ms_rejections rejected;
} ms_scanned;

typedef struct ms_joined {
  ms_column values;
  ms_rejections rejected;
} ms_joined;

typedef struct ms_routed {
  ms_column topics;
  ms_option_numbers partitions;
  ms_rejections rejected;
} ms_routed;

typedef struct ms_layouts {
  uint32_t current;
  ms_numbers reads;
  ms_numbers writes;
} ms_layouts;

/* ---- Columns, read and written ---- */

static inline size_t ms_len(const ms_column *column) { return column->offsets_len ? column->offsets_len - 1 : 0; }

/// Item `index`; traps when there is none. Null's `data` is NULL, that of empty bytes is not.
static inline ms_bytes ms_item(const ms_column *column, size_t index) {
  static const uint8_t nothing[1] = {0};
  ms_bytes item = {NULL, 0};
  if (index + 1 >= column->offsets_len) __builtin_trap();
  if (column->validity_len && !(column->validity[index / 8] >> (index % 8) & 1)) return item;
  uint32_t start = column->offsets[index], end = column->offsets[index + 1];
  if (start > end || end > column->data_len) __builtin_trap();
  item.data = start == end ? nothing : column->data + start;
  item.size = end - start;
  return item;
}

static inline ms_record ms_record_at(const ms_batch *records, size_t index) {
  ms_record record = {ms_item(&records->keys, index), ms_item(&records->values, index), records->timestamps[index], index};
  return record;
}

/// A column that is written: its bytes are in `data`, and item i ends at `ends[i]`.
typedef struct ms_column_out {
  ms_buffer data;
  ms_buffer offsets;
  /// Empty until the first null.
  ms_buffer validity;
  size_t len;
} ms_column_out;

static inline void ms_column_begin(ms_column_out *column, size_t items, size_t bytes) {
  memset(column, 0, sizeof *column);
  ms_reserve(&column->offsets, (items + 1) * sizeof(uint32_t));
  ms_reserve(&column->data, bytes);
  uint32_t zero = 0;
  ms_push(&column->offsets, &zero, sizeof zero);
}

/// Ends the item whose bytes were pushed to `data`.
static inline void ms_column_end(ms_column_out *column, bool there) {
  size_t index = column->len++;
  uint32_t end = (uint32_t)column->data.size;
  ms_push(&column->offsets, &end, sizeof end);
  if (!there && !column->validity.size) {
    // The first null: all before are there.
    size_t bytes = index / 8 + 1;
    ms_reserve(&column->validity, bytes);
    memset(column->validity.data, 0xff, bytes);
    column->validity.size = bytes;
  }
  if (!column->validity.size) return;
  if (index / 8 >= column->validity.size) ms_push(&column->validity, "\xff", 1);
  uint8_t bit = (uint8_t)(1u << (index % 8)), *byte = column->validity.data + index / 8;
  *byte = there ? (uint8_t)(*byte | bit) : (uint8_t)(*byte & ~bit);
}

/// Forgets what was pushed to `data` since the last item, and ends one that is null.
static inline void ms_column_end_null(ms_column_out *column) {
  column->data.size = ((const uint32_t *)(const void *)column->offsets.data)[column->len];
  ms_column_end(column, false);
}

static inline void ms_column_push(ms_column_out *column, ms_bytes item) {
  if (item.data) ms_push(&column->data, item.data, item.size);
  ms_column_end(column, item.data != NULL);
}

/// Forgets the items from `len` on.
static inline void ms_column_cut(ms_column_out *column, size_t len) {
  if (len >= column->len) return;
  column->len = len;
  column->offsets.size = (len + 1) * sizeof(uint32_t);
  column->data.size = ((const uint32_t *)(const void *)column->offsets.data)[len];
  if (column->validity.size > (len + 7) / 8) column->validity.size = (len + 7) / 8;
}

static inline ms_column ms_column_done(ms_column_out *column) {
  if (column->validity.size && column->len % 8) {
    column->validity.data[column->len / 8] &= (uint8_t)((1u << (column->len % 8)) - 1);
  }
  ms_column done = {(const uint32_t *)column->offsets.data, column->len + 1, column->data.data, column->data.size,
                    column->validity.data, column->validity.size};
  return done;
}

static inline void ms_reject_at(ms_buffer *rejected, size_t index, ms_reason reason) {
  ms_rejection rejection = {(uint32_t)index, ms_text(reason)};
  ms_push(rejected, &rejection, sizeof rejection);
}

static inline ms_rejections ms_rejections_of(const ms_buffer *rejected) {
  ms_rejections rejections = {(ms_rejection *)(void *)rejected->data, rejected->size / sizeof(ms_rejection)};
  return rejections;
}

#ifdef __cplusplus
}
#endif

#endif
