//! A filter that keeps 8 MiB of each call: after some calls the instance is full, and a fresh one is well again.

use millstream_sdk::{Batch, Kept};

pub fn bad(records: &Batch) -> Result<Kept, String> {
    std::hint::black_box(Box::leak(vec![1u8; 8 << 20].into_boxed_slice()));
    Ok(millstream_sdk::keep(&|_: &millstream_sdk::Record| true, records))
}

millstream_sdk::columns!(filter, bad);
