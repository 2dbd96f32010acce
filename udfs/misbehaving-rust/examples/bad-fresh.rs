//! A filter that traps in the first call of every instance.

use std::sync::atomic::{AtomicBool, Ordering};

use millstream_sdk::{Batch, Kept};

static CALLED: AtomicBool = AtomicBool::new(false);

pub fn bad(records: &Batch) -> Result<Kept, String> {
    assert!(CALLED.swap(true, Ordering::Relaxed), "the first call");
    Ok(millstream_sdk::keep(&|_: &millstream_sdk::Record| true, records))
}

millstream_sdk::columns!(filter, bad);
