//! The map on single lines, natively.
#include "extract-ip.c"

#include "testing.h"

#define LINE "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login"

/// What one value becomes.
static ms_output_columns mapped(const char *value) { return ms_apply(extract_ip, batch_of(ms_text(value))); }

static bool refused(const char *value, const char *reason) {
  ms_output_columns output = mapped(value);
  return output.rejected.len == 1 && ms_equal(output.rejected.data[0].reason, ms_text(reason)) &&
         output.sources.there && !output.sources.value.len;
}

static void times(void) {
  static const struct {
    const char *text;
    bool right;
    int64_t time;
  } cases[] = {
      {"1970-01-01 00:00:00", true, 0},
      {"0000-01-01 00:00:00", true, -62167219200000},
      {"9999-12-31 23:59:59", true, 253402300799000},
      {"2000-02-29 23:59:59", true, 951868799000},
      {"2024-03-01 00:00:00", true, 1709251200000},
      {"1900-02-29 00:00:00", false, 0},
      {"2021-13-01 00:00:00", false, 0},
      {"2021-05-01 24:00:00", false, 0},
      {"2021-05-0x 10:00:00", false, 0},
      {"2021-05-01T10:00:00", false, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    int64_t time = 0;
    CHECK(milliseconds((const uint8_t *)cases[i].text, &time) == cases[i].right && time == cases[i].time);
  }
}

int main(void) {
  times();
  ms_output_columns output = mapped(LINE);
  CHECK(output.taken == 1 && !output.sources.there && !output.values.there && !output.rejected.len);
  CHECK(output.keys.there && ms_equal(ms_item(&output.keys.value, 0), ms_text("192.168.1.1")));
  CHECK(output.timestamps.there && output.timestamps.value.data[0] == 1619879400000);
  CHECK(refused("", "the line does not start with [YYYY-MM-DD hh:mm:ss]"));
  CHECK(refused(NULL, "the line does not start with [YYYY-MM-DD hh:mm:ss]"));
  CHECK(refused("[2021-05-01 14:30:00", "the line does not start with [YYYY-MM-DD hh:mm:ss]"));
  CHECK(refused("[2021-05-32 14:30:00] IP: ::1", "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss"));
  CHECK(refused("[1969-12-31 23:59:59] IP: ::1", "the bracketed time is before 1970"));
  CHECK(refused("[2021-05-01 14:30:00] User: Alice", "the line has no field IP"));
  CHECK(refused("[2021-05-01 14:30:00] IP: , User: Alice", "the field IP is empty"));
  return failures();
}
