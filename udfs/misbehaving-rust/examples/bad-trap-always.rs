//! A filter that traps on every record.

use millstream_sdk::Record;

pub fn bad(record: &Record) -> bool {
    std::hint::black_box(record);
    std::process::abort()
}

millstream_sdk::filter!(bad);
