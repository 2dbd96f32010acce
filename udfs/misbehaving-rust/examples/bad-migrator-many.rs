//! A migrator that says it reads a million layouts.

use millstream_sdk::{BytesColumn, Layouts};

pub fn layouts() -> Result<Layouts, String> {
    Ok(Layouts { current: 1, reads: (2..1_000_002).collect(), writes: vec![] })
}

pub fn migrate(
    _store: &str,
    old: u32,
    new: u32,
    _keys: &BytesColumn,
    states: &BytesColumn,
) -> Result<BytesColumn, String> {
    Err(format!("layout {old} to {new} of {} states was never written", states.len()))
}

millstream_sdk::columns!(aggregator, misbehaving::add, misbehaving::finish);
millstream_sdk::columns!(migrator, layouts, migrate);
