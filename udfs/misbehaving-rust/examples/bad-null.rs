//! A mapper whose nulls have bytes.

use millstream_sdk::{Batch, BytesColumn, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let validity = vec![0; records.len().div_ceil(8)];
    let values = BytesColumn { offsets: (0..=n).collect(), data: vec![0; n as usize], validity };
    Ok(OutputColumns { taken: n, values: Some(values), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
