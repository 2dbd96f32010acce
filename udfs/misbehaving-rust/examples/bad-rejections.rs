//! A filter that rejects its first record 100,000 times.

use millstream_sdk::{Batch, Kept, Rejection};

pub fn bad(records: &Batch) -> Result<Kept, String> {
    let rejected = vec![Rejection { index: 0, reason: "again".into() }; 100_000];
    Ok(Kept { bits: vec![0; records.len().div_ceil(8)], rejected })
}

millstream_sdk::columns!(filter, bad);
