//! A mapper that takes no record and gives no result, and so would be asked for ever.

use millstream_sdk::{Batch, OutputColumns};

pub fn bad(records: &Batch) -> Result<OutputColumns, String> {
    let _ = records;
    Ok(OutputColumns::default())
}

millstream_sdk::columns!(mapper, bad);
