//! A filter that logs a line of 16 MiB.

use millstream_sdk::{Record, log};

pub fn bad(record: &Record) -> bool {
    std::hint::black_box(record);
    log::info(&"x".repeat(16 << 20));
    true
}

millstream_sdk::filter!(bad);
