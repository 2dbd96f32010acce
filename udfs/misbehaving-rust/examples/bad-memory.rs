//! A filter that takes memory until there is none.

use millstream_sdk::Record;

pub fn bad(record: &Record) -> bool {
    let mut all = vec![record.value_or_empty().to_vec()];
    loop {
        all.push(vec![1; 1 << 20]);
        std::hint::black_box(&all);
    }
}

millstream_sdk::filter!(bad);
