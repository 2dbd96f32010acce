//! A mapper that gives each record a header whose name is not UTF-8.

use millstream_sdk::{Batch, BytesColumn, HeaderColumns, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let column = |item: &'static [u8]| records.timestamps.iter().map(|_| Some(item)).collect::<BytesColumn>();
    let headers = HeaderColumns { offsets: (0..=n).collect(), names: column(b"\xff"), values: column(b"value") };
    Ok(OutputColumns { taken: n, headers: Some(headers), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
