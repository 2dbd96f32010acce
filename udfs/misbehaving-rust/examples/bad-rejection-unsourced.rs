//! A mapper that rejects its first record and gives no `sources`.

use millstream_sdk::{Batch, OutputColumns, Rejection};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let rejected = vec![Rejection { index: 0, reason: "no reason".into() }];
    Ok(OutputColumns { taken: n, rejected, ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
