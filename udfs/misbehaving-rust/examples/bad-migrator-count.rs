//! A migrator that gives one state fewer than it was given.

use millstream_sdk::BytesColumn;

pub fn migrate(old: u32, new: u32, states: &BytesColumn) -> Result<BytesColumn, String> {
    let _ = (old, new);
    Ok(states.iter().skip(1).collect())
}

millstream_sdk::columns!(aggregator, misbehaving::add, misbehaving::finish);
millstream_sdk::columns!(migrator, misbehaving::layouts, migrate);
