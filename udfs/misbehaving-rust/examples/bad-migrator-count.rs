//! A migrator that gives one state fewer than it was given.

use millstream_sdk::BytesColumn;

pub fn migrate(
    _store: &str,
    _old: u32,
    _new: u32,
    _keys: &BytesColumn,
    states: &BytesColumn,
) -> Result<BytesColumn, String> {
    Ok(states.iter().skip(1).collect())
}

millstream_sdk::columns!(aggregator, misbehaving::add, misbehaving::finish);
millstream_sdk::columns!(migrator, misbehaving::layouts, migrate);
