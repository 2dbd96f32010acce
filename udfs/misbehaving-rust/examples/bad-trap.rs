//! A filter that traps on a record whose value is `trap`.

use millstream_sdk::Record;

pub fn bad(record: &Record) -> bool {
    if record.value == Some(b"trap") {
        std::process::abort()
    }
    true
}

millstream_sdk::filter!(bad);
