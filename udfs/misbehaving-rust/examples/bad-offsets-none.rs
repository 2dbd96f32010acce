//! A mapper whose answer has a column without any offset.

use millstream_sdk::{Batch, BytesColumn, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let values = BytesColumn { offsets: vec![], data: vec![], validity: vec![] };
    Ok(OutputColumns { taken: n, values: Some(values), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
