//! A mapper whose sources fall: the second result is from the first record, the first from the second. Over one record it gives none.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let n = records.len() as u32;
    let sources = if n > 1 { vec![1, 0] } else { vec![] };
    Ok(OutputColumns { taken: n, sources: Some(sources), ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
