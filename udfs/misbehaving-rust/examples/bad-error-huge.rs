//! A mapper that refuses the whole batch with a reason of 16 MiB.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let _ = records;
    Err("x".repeat(16 << 20))
}

millstream_sdk::columns!(mapper, bad);
