//! An aggregator whose first group gets a state of 16 MiB.

use millstream_sdk::{Batch, BytesColumn, Folded, Groups};

/// Each group's state becomes the number of its records in this call, one byte.
fn fold(into: &Groups) -> Folded {
    let counts: Vec<_> = into.offsets.windows(2).map(|ends| [(ends[1] - ends[0]) as u8]).collect();
    Folded { states: counts.iter().map(|count| Some(&count[..])).collect(), rejected: vec![] }
}

pub fn add(into: &Groups, _records: &Batch) -> Result<Folded, String> {
    let large = vec![0; 16 << 20];
    let state = |group| if group == 0 { &large[..] } else { b"small" };
    Ok(Folded { states: (0..into.keys.len()).map(|group| Some(state(group))).collect(), ..fold(into) })
}

pub fn finish(of: &Groups) -> Result<BytesColumn, String> {
    Ok(of.states.clone())
}

millstream_sdk::columns!(aggregator, add, finish);
