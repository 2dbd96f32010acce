//! An aggregator that traps when it adds to a group whose key is `trap`.

use millstream_sdk::{Batch, Folded, Groups};

pub fn add(into: &Groups, records: &Batch) -> Result<Folded, String> {
    assert!(into.keys.iter().all(|key| key != Some(b"trap")), "the key is `trap`");
    misbehaving::add(into, records)
}

millstream_sdk::columns!(aggregator, add, misbehaving::finish);
