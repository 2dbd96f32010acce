//! A migrator that says it reads layout 0, and then does not.

use millstream_sdk::BytesColumn;

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
millstream_sdk::columns!(migrator, misbehaving::layouts, migrate);
