//! A mapper that gives each record a header without a name.

use millstream_sdk::{Batch, BytesColumn, HeaderColumns, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let column = |item: Option<&'static [u8]>| records.timestamps.iter().map(|_| item).collect::<BytesColumn>();
    let headers = HeaderColumns { offsets: (0..=n).collect(), names: column(None), values: column(Some(b"value")) };
    Ok(OutputColumns { taken: n, headers: Some(headers), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
