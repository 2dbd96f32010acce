//! Exact decimal numbers from a field of a JSON value, for samples in C and C++: what the library `json-number` is for those in
//! Rust. No floats, whose sums depend on the order; no tree of the value: its text is read once.
#ifndef JSON_NUMBER_H
#define JSON_NUMBER_H

#include "millstream.h"

/* ---- Numbers ---- */

/// Billionths: a number of up to 9 decimals, between about -1.7e29 and 1.7e29. Nothing is rounded.
typedef __int128 number;
typedef unsigned __int128 magnitude;

#define DECIMALS_MAX 9
#define MAGNITUDE_MAX (~(magnitude)0 >> 1)
/// 2^127 - 1 is ten times this, and seven.
#define TENTH_OF_MAX (MAGNITUDE_MAX / 10)
#define BILLION 1000000000u

/// Divides `units`, and gives the rest. By hand: Debian's library of clang for WebAssembly cannot link division of 128 bits.
static inline uint32_t divide(magnitude *units, uint32_t by) {
  uint64_t rest = 0;
  magnitude quotient = 0;
  for (int shift = 96; shift >= 0; shift -= 32) {
    uint64_t part = rest << 32 | (uint32_t)(*units >> shift);
    quotient = quotient << 32 | part / by;
    rest = part % by;
  }
  *units = quotient;
  return (uint32_t)rest;
}

static inline bool is_digit(uint8_t byte) { return byte >= '0' && byte <= '9'; }

/// Takes the digits behind those there are; why not, when there are others among them or too many.
static inline ms_reason push_digits(magnitude *units, ms_bytes digits) {
  bool overflows = false;
  for (size_t i = 0; i < digits.size; i++) {
    if (!is_digit(digits.data[i])) return "is not a number";
    unsigned digit = digits.data[i] - '0';
    overflows |= *units > TENTH_OF_MAX || (*units == TENTH_OF_MAX && digit > 7);
    *units = *units * 10 + digit;
  }
  return overflows ? "has too many digits" : NULL;
}

/// Reads what stands behind the `e`, where it is an int32.
static inline bool exponent_of(ms_bytes text, int64_t *exponent) {
  bool negative = text.size && text.data[0] == '-';
  if (text.size && (negative || text.data[0] == '+')) text = ms_slice(text, 1, text.size);
  int64_t sum = 0;
  for (size_t i = 0; i < text.size; i++) {
    if (!is_digit(text.data[i]) || sum > INT32_MAX) return false;
    sum = sum * 10 + (text.data[i] - '0');
  }
  *exponent = negative ? -sum : sum;
  return text.size && *exponent >= INT32_MIN && *exponent <= INT32_MAX;
}

static inline size_t find_exponent(ms_bytes text) {
  size_t lower = ms_find(text, "e"), upper = ms_find(text, "E");
  return lower < upper ? lower : upper;
}

/// Reads a JSON number; or says what is wrong with it.
static inline ms_reason number_of(ms_bytes text, number *into) {
  size_t e = find_exponent(text);
  ms_bytes digits = ms_slice(text, 0, e);
  bool negative = ms_starts_with(digits, "-");
  if (negative) digits = ms_slice(digits, 1, digits.size);
  size_t point = ms_find(digits, ".");
  ms_bytes whole = ms_slice(digits, 0, point), fraction = ms_slice(digits, point + 1, digits.size);
  magnitude units = 0;
  int64_t exponent = 0;
  ms_reason wrong = push_digits(&units, whole), wrong_fraction = push_digits(&units, fraction);
  if (!whole.size || (wrong && wrong[0] == 'i')) return "is not a number";
  if (wrong_fraction && wrong_fraction[0] == 'i') return wrong_fraction;
  if (wrong || wrong_fraction) return "has too many digits";
  *into = 0;
  if (!units) return NULL;
  if (e < text.size && !exponent_of(ms_slice(text, e + 1, text.size), &exponent)) return "is not a number";
  int64_t shift = DECIMALS_MAX + exponent - (int64_t)fraction.size;
  // Neither goes on for more than the 39 digits that there can be.
  for (; shift < 0; shift++) {
    if (divide(&units, 10)) return "has more than 9 decimals";
  }
  for (; shift > 0; shift--, units *= 10) {
    if (units > TENTH_OF_MAX) return "is too large";
  }
  *into = negative ? -(number)units : (number)units;
  return NULL;
}

/// 16 bytes, the low one first: how a state is stored.
static inline void push_state(ms_buffer *into, number of) {
  ms_push_u64(into, (uint64_t)of);
  ms_push_u64(into, (uint64_t)(of >> 64));
}

static inline ms_reason state_of(ms_bytes stored, number *into) {
  if (stored.size != 16) {
    ms_buffer why = {NULL, 0, 0};
    ms_push_text(&why, "a number has 16 bytes, this state has ");
    ms_push_number(&why, stored.size);
    return ms_reason_of(&why);
  }
  *into = (number)((magnitude)ms_u64(ms_slice(stored, 8, 16)) << 64 | ms_u64(stored));
  return NULL;
}

/// `front` and nine digits.
static inline void push_nine(ms_buffer *into, const char *front, uint32_t digits) {
  size_t at = into->size;
  // With a one in front of the zeros, where `front` comes.
  ms_push_number(into, (uint64_t)BILLION + digits);
  if (front[0]) into->data[at] = (uint8_t)front[0];
  else memmove(into->data + at, into->data + at + 1, --into->size - at);
}

/// In decimal, without zeros at the end.
static inline void push_decimal(ms_buffer *into, number of) {
  magnitude units = of < 0 ? -(magnitude)of : (magnitude)of;
  uint32_t fraction = divide(&units, BILLION), parts[5];
  size_t len = 0;
  do parts[len++] = divide(&units, BILLION);
  while (units);
  if (of < 0) ms_push_text(into, "-");
  ms_push_number(into, parts[--len]);
  while (len > 0) push_nine(into, "", parts[--len]);
  if (!fraction) return;
  push_nine(into, ".", fraction);
  while (into->data[into->size - 1] == '0') into->size--;
}

/* ---- JSON, read from the left ---- */

typedef struct json {
  const uint8_t *at;
  const uint8_t *end;
  /// Brackets that are open, for values that are skipped.
  ms_buffer open;
} json;

static inline void skip_space(json *text) {
  while (text->at < text->end && (*text->at == ' ' || *text->at == '\t' || *text->at == '\n' || *text->at == '\r')) text->at++;
}

/// Whether the next byte, behind white space, is this one; it is taken.
static inline bool took(json *text, uint8_t byte) {
  skip_space(text);
  if (text->at == text->end || *text->at != byte) return false;
  text->at++;
  return true;
}

/// Four hexadecimal digits; -1 where they are none.
static inline int32_t take_hex(json *text) {
  int32_t sum = 0;
  for (int i = 0; i < 4; i++, text->at++) {
    if (text->at == text->end) return -1;
    uint8_t byte = *text->at, low = (uint8_t)(byte | 0x20);
    if (is_digit(byte)) sum = sum * 16 + (byte - '0');
    else if (low >= 'a' && low <= 'f') sum = sum * 16 + (low - 'a' + 10);
    else return -1;
  }
  return sum;
}

static inline void push_code_point(ms_buffer *into, uint32_t point) {
  uint8_t bytes[4];
  size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  static const uint8_t first[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = size - 1; i > 0; i--, point >>= 6) bytes[i] = (uint8_t)(0x80 | (point & 0x3f));
  bytes[0] = (uint8_t)(first[size] | point);
  ms_push(into, bytes, size);
}

/// Behind `\u`. `into` NULL: the string is only skipped, and halves of pairs are not looked for; else a second half alone is
/// found by what it makes, which is no UTF-8.
static inline bool take_code_point(json *text, ms_buffer *into) {
  int32_t point = take_hex(text);
  if (point < 0 || !into) return point >= 0;
  if (point >= 0xd800 && point < 0xdc00) {
    if (text->end - text->at < 2 || text->at[0] != '\\' || text->at[1] != 'u') return false;
    text->at += 2;
    int32_t low = take_hex(text);
    if (low < 0xdc00 || low >= 0xe000) return false;
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
  }
  push_code_point(into, (uint32_t)point);
  return true;
}

/// A string, from its first quotation mark; its text is pushed to `into`, where that is not NULL.
static inline bool take_string(json *text, ms_buffer *into) {
  static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  if (!took(text, '"')) return false;
  while (text->at < text->end) {
    uint8_t byte = *text->at++;
    if (byte == '"') return !into || ms_is_utf8(ms_bytes_of(into));
    if (byte < 0x20) return false;
    if (byte == '\\') {
      if (text->at == text->end) return false;
      uint8_t escaped = *text->at++;
      const char *known = escaped ? strchr(escapes, escaped) : NULL;
      if (escaped == 'u') {
        if (!take_code_point(text, into)) return false;
        continue;
      }
      if (!known) return false;
      byte = (uint8_t)meant[known - escapes];
    }
    if (into) ms_push(into, &byte, 1);
  }
  return false;
}

static inline bool skip_digits(json *text) {
  const uint8_t *from = text->at;
  while (text->at < text->end && is_digit(*text->at)) text->at++;
  return text->at > from;
}

static inline bool skip_number(json *text) {
  if (*text->at == '-') text->at++;
  if (text->at < text->end && *text->at == '0') text->at++;
  else if (!skip_digits(text)) return false;
  if (text->at < text->end && *text->at == '.') {
    text->at++;
    if (!skip_digits(text)) return false;
  }
  if (text->at < text->end && (*text->at | 0x20) == 'e') {
    text->at++;
    if (text->at < text->end && (*text->at == '+' || *text->at == '-')) text->at++;
    return skip_digits(text);
  }
  return true;
}

static inline bool skip_word(json *text, const char *word) {
  size_t size = strlen(word);
  if ((size_t)(text->end - text->at) < size || memcmp(text->at, word, size)) return false;
  text->at += size;
  return true;
}

/// A value that has no others in it.
static inline bool skip_scalar(json *text) {
  skip_space(text);
  if (text->at == text->end) return false;
  switch (*text->at) {
    case '"': return take_string(text, NULL);
    case 't': return skip_word(text, "true");
    case 'f': return skip_word(text, "false");
    case 'n': return skip_word(text, "null");
    default: return skip_number(text);
  }
}

/// Behind a value that is inside another: to where the next one begins, or out of those that end. `*more`: there is a next.
static inline bool skip_to_next(json *text, bool *more) {
  for (*more = false; text->open.size;) {
    uint8_t open = text->open.data[text->open.size - 1];
    if (took(text, ',')) {
      *more = true;
      return open == '[' || (take_string(text, NULL) && took(text, ':'));
    }
    if (!took(text, open == '{' ? '}' : ']')) return false;
    text->open.size--;
  }
  return true;
}

/// A value, whatever is in it; how deep it goes is not limited.
static inline bool skip_value(json *text) {
  for (bool more = true; more;) {
    uint8_t open = took(text, '{') ? '{' : took(text, '[') ? '[' : 0;
    if (!open) {
      if (!skip_scalar(text)) return false;
    } else if (!took(text, open == '{' ? '}' : ']')) {
      ms_push(&text->open, &open, 1);
      if (open == '{' && !(take_string(text, NULL) && took(text, ':'))) return false;
      continue;
    }
    if (!skip_to_next(text, &more)) return false;
  }
  return true;
}

/* ---- A field by its path ---- */

/// Which field of a JSON value is meant, from the outside in; of no names: the value itself.
typedef struct field {
  ms_bytes setting;
  const ms_bytes *names;
  size_t len;
} field;

/// JSON Schema of the settings that field_of reads.
#define FIELD_SETTINGS                                                                                                   \
  "{\"type\":\"object\",\"properties\":{\"field\":{\"type\":\"string\",\"description\":\"The field that holds the number, as " \
  "a.b for one inside another; without it the whole value is the number.\"}},\"additionalProperties\":false}"

/// The field that the setting `field` names.
static inline ms_reason field_of(const ms_settings *settings, field *into) {
  static const char *const names[] = {"field"};
  ms_reason wrong = ms_unknown_setting(settings, names, 1);
  ms_buffer path = {NULL, 0, 0};
  memset(into, 0, sizeof *into);
  into->setting = ms_setting_of(settings, "field");
  if (wrong || ms_is_null(into->setting)) return wrong;
  for (ms_bytes rest = into->setting;;) {
    size_t dot = ms_find(rest, ".");
    ms_bytes name = ms_slice(rest, 0, dot);
    if (!name.size) {
      ms_buffer why = {NULL, 0, 0};
      ms_push_text(&why, "the setting `field` is `");
      ms_push_bytes(&why, into->setting);
      ms_push_text(&why, "`: between dots there are names, as in `user.age`");
      return ms_reason_of(&why);
    }
    ms_push(&path, &name, sizeof name);
    if (dot == rest.size) break;
    rest = ms_slice(rest, dot + 1, rest.size);
  }
  into->names = (const ms_bytes *)(const void *)path.data;
  into->len = path.size / sizeof(ms_bytes);
  return NULL;
}

typedef enum picked { FOUND, ABSENT, NO_OBJECT, NO_JSON } picked;

/// Follows the names into the value that comes next. Of fields of one name the last counts.
static inline picked pick(json *text, const ms_bytes *names, size_t len, ms_bytes *found) {
  skip_space(text);
  if (!len) {
    const uint8_t *from = text->at;
    if (!skip_value(text)) return NO_JSON;
    found->data = from;
    found->size = (size_t)(text->at - from);
    return ms_is_utf8(*found) ? FOUND : NO_JSON;
  }
  if (!took(text, '{')) return took(text, '[') || skip_scalar(text) ? NO_OBJECT : NO_JSON;
  picked last = ABSENT;
  if (took(text, '}')) return last;
  do {
    ms_buffer name = {NULL, 0, 0};
    if (!take_string(text, &name) || !took(text, ':')) return NO_JSON;
    if (ms_equal(ms_bytes_of(&name), names[0])) {
      last = pick(text, names + 1, len - 1, found);
      if (last == NO_OBJECT || last == NO_JSON) return last;
    } else if (!skip_value(text)) {
      return NO_JSON;
    }
  } while (took(text, ','));
  return took(text, '}') ? last : NO_JSON;
}

/// Why there is no number: `front`, the field where there is one, `back`.
static inline ms_reason no_number(const char *front, const field *of, const char *back) {
  ms_buffer why = {NULL, 0, 0};
  ms_push_text(&why, front);
  if (of) {
    ms_push_text(&why, " `");
    ms_push_bytes(&why, of->setting);
    ms_push_text(&why, "`");
  }
  ms_push_text(&why, back);
  return ms_reason_of(&why);
}

/// The number in the field of a record's value; or why there is none.
static inline ms_reason field_number(const field *of, const ms_record *record, number *into) {
  ms_bytes value = record->value, found = {NULL, 0};
  if (ms_is_null(value)) return "the record has no value";
  json text = {value.data, value.data + value.size, {NULL, 0, 0}};
  picked how = pick(&text, of->names, of->len, &found);
  skip_space(&text);
  if (how == NO_OBJECT) return no_number("the value has no field", of, ": what would hold it is no object");
  if (how == NO_JSON) return "the value is not JSON";
  if (text.at < text.end) return "the value is not JSON: something stands behind it";
  if (how == ABSENT) return no_number("the value has no field", of, "");
  ms_reason wrong = number_of(found, into);
  if (!wrong) return NULL;
  ms_buffer back = {NULL, 0, 0};
  ms_push_text(&back, " ");
  ms_push_text(&back, wrong);
  return of->len ? no_number("the field", of, ms_reason_of(&back)) : no_number("the value", NULL, ms_reason_of(&back));
}

#endif
