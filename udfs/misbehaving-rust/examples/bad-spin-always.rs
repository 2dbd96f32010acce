//! A filter that never ends.

use millstream_sdk::Record;

pub fn bad(record: &Record) -> bool {
    loop {
        std::hint::black_box(record);
    }
}

millstream_sdk::filter!(bad);
