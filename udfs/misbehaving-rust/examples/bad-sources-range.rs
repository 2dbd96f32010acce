//! A mapper with a result from a record behind the last.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    Ok(OutputColumns { taken: n, sources: Some(vec![n]), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
