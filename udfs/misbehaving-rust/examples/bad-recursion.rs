//! A filter that recurses without end.

use millstream_sdk::Record;

#[allow(unconditional_recursion)]
pub fn bad(record: &Record) -> bool {
    fn deep(n: u64) -> u64 {
        let a = std::hint::black_box([n; 64]);
        deep(n + 1) + a[(n % 64) as usize]
    }
    deep(record.timestamp as u64) == 0
}

millstream_sdk::filter!(bad);
