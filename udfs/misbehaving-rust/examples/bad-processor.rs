//! A processor that numbers records by itself, whatever its store says: it forgets with its instance, and is known by nothing but trial.

use std::sync::atomic::{AtomicU64, Ordering};

use millstream_sdk::{Call, Output, Record};

static SEEN: AtomicU64 = AtomicU64::new(0);

/// Gives each record its number in the life of the instance, and traps on one whose value is `trap`.
pub fn numbered(record: &Record, out: &mut Output, call: &mut Call) {
    assert_ne!(record.value, Some(&b"trap"[..]), "the record says so");
    let key = record.key.unwrap_or_default();
    call.store("last").put(key, b"seen");
    let number = SEEN.fetch_add(1, Ordering::Relaxed);
    out.emit_value(Some(number.to_string().as_bytes()));
}

millstream_sdk::processor!(numbered);
