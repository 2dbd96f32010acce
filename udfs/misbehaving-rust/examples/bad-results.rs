//! A mapper that makes four million results of its first record.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let sources = vec![0; 4_000_000];
    Ok(OutputColumns { taken: n, sources: Some(sources), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
