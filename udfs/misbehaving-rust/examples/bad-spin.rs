//! A filter that never ends on a record whose value is `spin`.

use millstream_sdk::Record;

pub fn bad(record: &Record) -> bool {
    if record.value == Some(b"spin") {
        loop {
            std::hint::black_box(record);
        }
    }
    true
}

millstream_sdk::filter!(bad);
