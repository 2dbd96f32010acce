//! A mapper that sends everything to output 1000.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    Ok(OutputColumns { taken: n, ports: Some(vec![1000; records.len()]), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
