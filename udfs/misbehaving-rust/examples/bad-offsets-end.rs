//! A mapper whose last offset lies one byte behind the data.

use millstream_sdk::{Batch, BytesColumn, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let values = BytesColumn { offsets: (0..=n).collect(), data: vec![0; n as usize - 1], validity: vec![] };
    Ok(OutputColumns { taken: n, values: Some(values), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
