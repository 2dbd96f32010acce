//! A filter that rejects a record behind the last.

use millstream_sdk::{Batch, Kept, Rejection};

pub fn bad(records: &Batch) -> Result<Kept, String> {
    let rejected = vec![Rejection { index: records.len() as u32, reason: "not there".into() }];
    Ok(Kept { bits: vec![0; records.len().div_ceil(8)], rejected })
}

millstream_sdk::columns!(filter, bad);
