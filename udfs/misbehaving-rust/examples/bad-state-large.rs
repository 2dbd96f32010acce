//! An aggregator whose first group gets a state of 12 MiB.

use millstream_sdk::{Batch, Folded, Groups};

pub fn add(into: &Groups, records: &Batch) -> Result<Folded, String> {
    let large = vec![0; 12 << 20];
    let state = |group| if group == 0 { &large[..] } else { b"small" };
    Ok(Folded {
        states: (0..into.keys.len()).map(|group| Some(state(group))).collect(),
        ..misbehaving::add(into, records)?
    })
}

millstream_sdk::columns!(aggregator, add, misbehaving::finish);
