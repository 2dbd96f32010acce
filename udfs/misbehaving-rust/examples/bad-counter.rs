//! A filter that keeps every second record it was ever asked about: each call differs.

use millstream_sdk::Record;

use std::sync::atomic::{AtomicU64, Ordering};

static ASKED: AtomicU64 = AtomicU64::new(0);

pub fn bad(record: &Record) -> bool {
    std::hint::black_box(record);
    ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
}

millstream_sdk::filter!(bad);
