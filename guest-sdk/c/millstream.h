//! Millstream functions in C and C++: written on single records, run on columns underneath. For version 0.1.0 of the
//! contract.
//!
//! This file, with those that it includes, is everything. For WebAssembly a macro such as MS_FILTER exports a function;
//! natively it exports nothing, so that a test program can include a function's source and call it. Without: threads.
//!
//! Memory: what ms_alloc and the buffers give lives until the host's call ends, and is never freed by hand. When there is
//! no more, the function traps, and the host counts it as out of memory. malloc may be used beside it.
//!
//! SPDX-License-Identifier: Apache-2.0
#ifndef MILLSTREAM_H
#define MILLSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifndef __wasm__
#include <stdio.h>
#include <stdlib.h>
#endif

#define MILLSTREAM_SDK_VERSION "0.1.0"

/// Result bytes of one call after which a mapper stops early; the host asks again with the rest of the records.
#define MS_RESULT_BYTES_MAX ((size_t)8 << 20)
/// A column's bytes stay below this (the contract's limit); a function that makes more traps.
#define MS_COLUMN_BYTES_MAX ((size_t)0x7fffffff)

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What functions see ---- */

/// Bytes that are borrowed. `data` is NULL: they are null (no key, no value); empty bytes have a `data`.
typedef struct ms_bytes {
  const uint8_t *data;
  size_t size;
} ms_bytes;

/// Why something is refused, for people; NULL: it is not.
typedef const char *ms_reason;

typedef struct ms_record {
  ms_bytes key;
  ms_bytes value;
  /// Event time, milliseconds since 1970-01-01T00:00:00Z.
  int64_t timestamp;
  /// Its place in the call: by this the host's facts about it are found (ms_headers, ms_window_of and their kin).
  size_t index;
} ms_record;

/// A group of an aggregate. Without a window, `has_window` is false and the times are 0.
typedef struct ms_group {
  ms_bytes key;
  bool has_window;
  int64_t window_start;
  int64_t window_end;
} ms_group;

/// Bytes that grow. Starts as all zero: `ms_buffer text = {NULL, 0, 0};`
typedef struct ms_buffer {
  uint8_t *data;
  size_t size;
  size_t capacity;
} ms_buffer;

static inline ms_bytes ms_text(const char *text) {
  ms_bytes bytes = {(const uint8_t *)text, text ? strlen(text) : 0};
  return bytes;
}

static inline bool ms_is_null(ms_bytes bytes) { return bytes.data == NULL; }

static inline bool ms_equal(ms_bytes left, ms_bytes right) {
  if (ms_is_null(left) || ms_is_null(right)) return ms_is_null(left) && ms_is_null(right);
  return left.size == right.size && memcmp(left.data, right.data, left.size) == 0;
}

/// Which comes first, byte by byte: below 0 the left, 0 neither.
static inline int ms_order(ms_bytes left, ms_bytes right) {
  size_t both = left.size < right.size ? left.size : right.size;
  int order = both ? memcmp(left.data, right.data, both) : 0;
  return order ? order : (left.size > right.size) - (left.size < right.size);
}

/// The bytes from `start` to before `end`; both are cut to what is there. Of null: null.
static inline ms_bytes ms_slice(ms_bytes bytes, size_t start, size_t end) {
  if (end > bytes.size) end = bytes.size;
  if (start > end) start = end;
  if (bytes.data) bytes.data += start;
  bytes.size = end - start;
  return bytes;
}

static inline bool ms_starts_with(ms_bytes bytes, const char *text) {
  size_t size = strlen(text);
  return bytes.data && bytes.size >= size && memcmp(bytes.data, text, size) == 0;
}

/// Where `text` begins for the first time; `bytes.size` when it does not occur.
static inline size_t ms_find(ms_bytes bytes, const char *text) {
  size_t size = strlen(text), at = 0;
  if (!bytes.data || size > bytes.size) return bytes.size;
  if (size == 0) return 0;
  for (; at + size <= bytes.size; at++) {
    const uint8_t *found = (const uint8_t *)memchr(bytes.data + at, text[0], bytes.size - size + 1 - at);
    if (!found) break;
    at = (size_t)(found - bytes.data);
    if (memcmp(found, text, size) == 0) return at;
  }
  return bytes.size;
}

/// Where `text` begins for the last time; `bytes.size` when it does not occur.
static inline size_t ms_find_last(ms_bytes bytes, const char *text) {
  size_t size = strlen(text);
  if (!bytes.data || size > bytes.size) return bytes.size;
  for (size_t at = bytes.size - size + 1; at-- > 0;) {
    if (memcmp(bytes.data + at, text, size) == 0) return at;
  }
  return bytes.size;
}

/// Whether the bytes are UTF-8: no longer than they need be, no surrogates, nothing above U+10FFFF. Null is not.
static inline bool ms_is_utf8(ms_bytes bytes) {
  size_t at = 0;
  while (at < bytes.size) {
    uint8_t first = bytes.data[at++];
    if (first < 0x80) continue;
    size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4 || more > bytes.size - at) return false;
    // What the first byte leaves to the second.
    uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80, high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (; more--; at++, low = 0x80, high = 0xbf) {
      if (bytes.data[at] < low || bytes.data[at] > high) return false;
    }
  }
  return bytes.data != NULL;
}

/// Why a value is no text; NULL when it is.
static inline ms_reason ms_not_text(ms_bytes value) {
  if (ms_is_null(value)) return "the record has no value";
  return ms_is_utf8(value) ? NULL : "the value is not UTF-8";
}

/// Without the white space of ASCII at both ends.
static inline ms_bytes ms_trim(ms_bytes bytes) {
#define MS_IS_SPACE(byte) ((byte) == ' ' || (byte) == '\t' || (byte) == '\n' || (byte) == '\f' || (byte) == '\r')
  while (bytes.size && MS_IS_SPACE(bytes.data[0])) bytes = ms_slice(bytes, 1, bytes.size);
  while (bytes.size && MS_IS_SPACE(bytes.data[bytes.size - 1])) bytes.size--;
#undef MS_IS_SPACE
  return bytes;
}

/* ---- Memory of a call ---- */

/// A piece of memory that the arena owns; its bytes come behind this head.
typedef struct ms_chunk {
  struct ms_chunk *next;
  uint8_t *end;
} ms_chunk;

typedef struct ms_place {
  ms_chunk *chunk;
  uint8_t *at;
} ms_place;

/// One for the whole program, however many of its files include this one.
__attribute__((weak)) ms_chunk *ms_chunks;
__attribute__((weak)) ms_place ms_now;
/// Where each call begins: behind what `start` left for ever.
__attribute__((weak)) ms_place ms_floor;
/// How many calls have ended: what is kept for one call alone remembers which.
__attribute__((weak)) uint64_t ms_calls;

#define MS_HEAD ((sizeof(ms_chunk) + 15) & ~(size_t)15)

/// A chunk with room for `size` bytes, behind all others; or the last chunk, grown, where the memory goes on.
static inline ms_chunk *ms_chunk_new(size_t size, ms_chunk *last) {
#ifdef __wasm__
  const size_t page = 65536;
  size_t pages = (size + MS_HEAD + page - 1) / page, old;
  if (pages > 65535) __builtin_trap();
  old = __builtin_wasm_memory_grow(0, pages);
  if (old == SIZE_MAX) __builtin_trap();
  uint8_t *start = (uint8_t *)(old * page), *end = start + (pages * page - 1);
  // The very last byte of the memory is not used, so that no end overflows.
  if (last && last->end + 1 == start) {
    last->end = end;
    return last;
  }
#else
  if (size < 65536) size = 65536;
  uint8_t *start = (uint8_t *)malloc(size + MS_HEAD), *end = start + size + MS_HEAD;
  if (!start) abort();
#endif
  ms_chunk *chunk = (ms_chunk *)start;
  chunk->next = NULL;
  chunk->end = end;
  if (last) last->next = chunk;
  else ms_chunks = chunk;
  return chunk;
}

static inline uint8_t *ms_aligned(uint8_t *at, size_t align) {
  return (uint8_t *)(((uintptr_t)at + align - 1) & ~(uintptr_t)(align - 1));
}

static inline bool ms_fits(ms_chunk *chunk, uint8_t *at, size_t size) {
  return at <= chunk->end && size <= (size_t)(chunk->end - at);
}

__attribute__((noinline)) static void *ms_alloc_slow(size_t size, size_t align) {
  if (size > MS_COLUMN_BYTES_MAX) __builtin_trap();
  ms_chunk *chunk = ms_now.chunk ? ms_now.chunk->next : ms_chunks, *last = ms_now.chunk;
  uint8_t *at = NULL;
  for (; chunk; last = chunk, chunk = chunk->next) {
    at = ms_aligned((uint8_t *)chunk + MS_HEAD, align);
    if (ms_fits(chunk, at, size)) break;
  }
  if (!chunk) {
    chunk = ms_chunk_new(size + align, last);
    // Grown in place: what is free before the new pages is used too.
    uint8_t *from = chunk == ms_now.chunk ? ms_now.at : (uint8_t *)chunk + MS_HEAD;
    at = ms_aligned(from, align);
  }
  ms_now.chunk = chunk;
  ms_now.at = at + size;
  return at;
}

/// `align` is a power of two. Never NULL, never zeroed.
static inline void *ms_alloc_aligned(size_t size, size_t align) {
  uint8_t *at = ms_aligned(ms_now.at, align);
  if (!ms_now.chunk || !ms_fits(ms_now.chunk, at, size)) return ms_alloc_slow(size, align);
  ms_now.at = at + size;
  return at;
}

/// Memory until the end of the call.
static inline void *ms_alloc(size_t size) { return ms_alloc_aligned(size, 16); }

/// Ends the call: all its memory is given back, and what the host said about its records is forgotten. The exports do this
/// by themselves; for tests.
static inline void ms_reset(void) {
  ms_now = ms_floor;
  ms_calls++;
}

/// Room for `more` bytes behind those there are.
static inline void ms_reserve(ms_buffer *into, size_t more) {
  if (more <= into->capacity - into->size) return;
  if (more > MS_COLUMN_BYTES_MAX - into->size) __builtin_trap();
  size_t capacity = into->size + more;
  uint8_t *end = into->data ? into->data + into->capacity : NULL;
  if (end && end == ms_now.at && ms_fits(ms_now.chunk, end, capacity - into->capacity)) {
    // Nothing was taken since: it grows where it lies.
    ms_now.at = into->data + capacity;
    into->capacity = capacity;
    return;
  }
  if (capacity < 2 * into->capacity) capacity = 2 * into->capacity;
  if (capacity < 64) capacity = 64;
  uint8_t *data = (uint8_t *)ms_alloc(capacity);
  if (into->size) memcpy(data, into->data, into->size);
  into->data = data;
  into->capacity = capacity;
}

static inline void ms_push(ms_buffer *into, const void *data, size_t size) {
  ms_reserve(into, size);
  if (size) memcpy(into->data + into->size, data, size);
  into->size += size;
}

static inline void ms_push_bytes(ms_buffer *into, ms_bytes bytes) { ms_push(into, bytes.data, bytes.size); }
static inline void ms_push_text(ms_buffer *into, const char *text) { ms_push(into, text, strlen(text)); }

/// In decimal.
static inline void ms_push_number(ms_buffer *into, uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do digits[--at] = (char)('0' + number % 10);
  while (number /= 10);
  ms_push(into, digits + at, sizeof digits - at);
}

/// Eight bytes, the low one first.
static inline void ms_push_u64(ms_buffer *into, uint64_t number) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(number >> (8 * i));
  ms_push(into, bytes, 8);
}

/// The first eight of the bytes, of which there must be as many, the low one first.
static inline uint64_t ms_u64(ms_bytes bytes) {
  uint64_t number = 0;
  if (bytes.size < 8) __builtin_trap();
  for (int i = 0; i < 8; i++) number |= (uint64_t)bytes.data[i] << (8 * i);
  return number;
}

/// What the buffer holds; empty bytes, not null, when nothing was pushed.
static inline ms_bytes ms_bytes_of(const ms_buffer *buffer) {
  static const uint8_t nothing[1] = {0};
  ms_bytes bytes = {buffer->data ? buffer->data : nothing, buffer->size};
  return bytes;
}

/// What the buffer holds, as a reason.
static inline ms_reason ms_reason_of(ms_buffer *buffer) {
  ms_push(buffer, "", 1);
  return (const char *)buffer->data;
}

/* ---- The log ---- */

typedef enum ms_level { MS_TRACE, MS_DEBUG, MS_INFO, MS_WARN, MS_ERROR } ms_level;

#ifdef __wasm__
__attribute__((import_module("millstream:udf/log@0.1.0"), import_name("write"))) void
ms_host_log(int32_t level, const uint8_t *text, size_t size);
#endif

/// A line for the host's log; natively to standard error. `line` is UTF-8. A host may drop lines.
static inline void ms_log(ms_level level, ms_bytes line) {
#ifdef __wasm__
  ms_host_log((int32_t)level, line.data, line.size);
#else
  static const char *const names[] = {"trace", "debug", "info", "warn", "error"};
  fprintf(stderr, "%s: %.*s\n", names[level], (int)line.size, (const char *)line.data);
#endif
}

/// Fails the call, and says why: not one record's fault, but the function's.
__attribute__((noreturn)) static inline void ms_fail(ms_bytes why) {
  ms_log(MS_ERROR, why);
  __builtin_trap();
}

#ifdef __cplusplus
}
#endif

#include "millstream-columns.h"
#include "millstream-facts.h"
#include "millstream-records.h"
#include "millstream-output.h"
#include "millstream-aggregates.h"
#include "millstream-processors.h"
#include "millstream-exports.h"

#endif
