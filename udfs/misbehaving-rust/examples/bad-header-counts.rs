//! A mapper whose headers say that there is one more than there is.

use millstream_sdk::{Batch, BytesColumn, HeaderColumns, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let names: BytesColumn = records.timestamps.iter().map(|_| Some(&b"name"[..])).collect();
    let headers = HeaderColumns { offsets: (1..=n + 1).collect(), names: names.clone(), values: names };
    Ok(OutputColumns { taken: n, headers: Some(headers), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
