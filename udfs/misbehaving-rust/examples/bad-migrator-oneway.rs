//! A migrator that reads layout 0 and turns nothing back: who goes back from it cannot read what it wrote.

use millstream_sdk::{BytesColumn, Layouts};

pub fn layouts() -> Result<Layouts, String> {
    Ok(Layouts { current: 1, reads: vec![0], writes: vec![] })
}

pub fn migrate(
    _store: &str,
    _old: u32,
    _new: u32,
    _keys: &BytesColumn,
    states: &BytesColumn,
) -> Result<BytesColumn, String> {
    Ok(states.clone())
}

millstream_sdk::columns!(aggregator, misbehaving::add, misbehaving::finish);
millstream_sdk::columns!(migrator, layouts, migrate);
