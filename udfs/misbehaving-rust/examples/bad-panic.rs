//! A filter that panics, with a message, on a record whose value is `panic`.

use millstream_sdk::Record;

pub fn bad(record: &Record) -> bool {
    assert!(record.value != Some(b"panic"), "the record at {} is not to my taste", record.timestamp);
    true
}

millstream_sdk::filter!(bad);
