//! A filter that logs a thousand lines for each record.

use millstream_sdk::{Record, log};

pub fn bad(record: &Record) -> bool {
    (0..1000).for_each(|line| log::warn(&format!("line {line} about the record at {}", record.timestamp)));
    true
}

millstream_sdk::filter!(bad);
