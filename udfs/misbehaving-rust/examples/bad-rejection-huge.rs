//! A filter that rejects its first record with a reason of 16 MiB.

use millstream_sdk::{Batch, Kept, Rejection};

pub fn bad(records: &Batch) -> Result<Kept, String> {
    let rejected = vec![Rejection { index: 0, reason: "x".repeat(16 << 20) }];
    Ok(Kept { bits: vec![0; records.len().div_ceil(8)], rejected })
}

millstream_sdk::columns!(filter, bad);
