//! An aggregator that adds well, and traps when it finishes a group whose key is `trap`.

use millstream_sdk::{BytesColumn, Groups};

pub fn finish(of: &Groups) -> Result<BytesColumn, String> {
    assert!(of.keys.iter().all(|key| key != Some(b"trap")), "the key is `trap`");
    Ok(of.states.clone())
}

millstream_sdk::columns!(aggregator, misbehaving::add, finish);
