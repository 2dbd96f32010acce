//! A mapper whose answer is 40 MiB, more than a result may have and less than the memory it has.

use millstream_sdk::{Batch, BytesColumn, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let data = vec![0; 40 << 20];
    let offsets = (0..n).chain([data.len() as u32]).collect();
    Ok(OutputColumns {
        taken: n,
        values: Some(BytesColumn { offsets, data, validity: vec![] }),
        ..OutputColumns::default()
    })
}

millstream_sdk::columns!(mapper, bad);
