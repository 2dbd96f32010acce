//! A mapper whose validity is a byte too long.

use millstream_sdk::{Batch, BytesColumn, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let validity = vec![0xff; records.len().div_ceil(8) + 1];
    let values = BytesColumn { validity, ..records.values.clone() };
    Ok(OutputColumns { taken: n, values: Some(values), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
