//! A migrator that makes a state where there was none.

use millstream_sdk::BytesColumn;

pub fn migrate(
    _store: &str,
    _old: u32,
    _new: u32,
    _keys: &BytesColumn,
    states: &BytesColumn,
) -> Result<BytesColumn, String> {
    Ok(states.iter().map(|_| Some(&b"state"[..])).collect())
}

millstream_sdk::columns!(aggregator, misbehaving::add, misbehaving::finish);
millstream_sdk::columns!(migrator, misbehaving::layouts, migrate);
