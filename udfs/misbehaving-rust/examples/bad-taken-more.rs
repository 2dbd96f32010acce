//! A mapper that says it took one record more than it was given.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    Ok(OutputColumns { taken: records.len() as u32 + 1, ..OutputColumns::default() })
}

millstream_sdk::columns!(mapper, bad);
