//! A filter whose bitmap is a byte too long.

use millstream_sdk::{Batch, Kept};

pub fn bad(records: &Batch) -> Result<Kept, String> {
    Ok(Kept { bits: vec![0; records.len().div_ceil(8) + 1], rejected: vec![] })
}

millstream_sdk::columns!(filter, bad);
