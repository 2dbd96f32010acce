//! The map on single lines, natively.
#include "extract-ip.cpp"

#include "testing.h"

static const char *const line = "[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login";

static ms_output_columns mapped(const char *value) {
  return ms_apply(millstream::apply<extract_ip>, batch_of(ms_text(value)));
}

static bool refused(const char *value, const char *reason) {
  ms_output_columns output = mapped(value);
  return output.rejected.len == 1 && ms_equal(output.rejected.data[0].reason, ms_text(reason));
}

int main() {
  ms_output_columns output = mapped(line);
  CHECK(output.taken == 1 && !output.sources.there && !output.values.there && !output.rejected.len);
  CHECK(output.keys.there && ms_equal(ms_item(&output.keys.value, 0), ms_text("192.168.1.1")));
  CHECK(output.timestamps.there && output.timestamps.value.data[0] == 1619879400000);
  CHECK(milliseconds("1970-01-01 00:00:00") == 0);
  CHECK(milliseconds("0000-01-01 00:00:00") == -62167219200000);
  CHECK(milliseconds("9999-12-31 23:59:59") == 253402300799000);
  CHECK(milliseconds("2000-02-29 23:59:59") == 951868799000);
  CHECK(milliseconds("2024-03-01 00:00:00") == 1709251200000);
  for (const char *wrong : {"1900-02-29 00:00:00", "2021-13-01 00:00:00", "2021-05-01 24:00:00", "2021-05-0x 10:00:00", "2021-05-01T10:00:00"}) {
    CHECK(!milliseconds(wrong));
  }
  CHECK(refused("", "the line does not start with [YYYY-MM-DD hh:mm:ss]"));
  CHECK(refused(nullptr, "the line does not start with [YYYY-MM-DD hh:mm:ss]"));
  CHECK(refused("[2021-05-32 14:30:00] IP: ::1", "the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss"));
  CHECK(refused("[1969-12-31 23:59:59] IP: ::1", "the bracketed time is before 1970"));
  CHECK(refused("[2021-05-01 14:30:00] User: Alice", "the line has no field IP"));
  CHECK(refused("[2021-05-01 14:30:00] IP: , User: Alice", "the field IP is empty"));
  return failures();
}
