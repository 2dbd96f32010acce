//! A mapper whose results happened before 1970.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    Ok(OutputColumns { taken: n, timestamps: Some(vec![-1; records.len()]), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
