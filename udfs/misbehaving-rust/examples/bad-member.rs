//! An aggregator that rejects a member behind the last.

use millstream_sdk::{Batch, BytesColumn, Folded, Groups, Rejection};

/// Each group's state becomes the number of its records in this call, one byte.
fn fold(into: &Groups) -> Folded {
    let counts: Vec<_> = into.offsets.windows(2).map(|ends| [(ends[1] - ends[0]) as u8]).collect();
    Folded { states: counts.iter().map(|count| Some(&count[..])).collect(), rejected: vec![] }
}

pub fn add(into: &Groups, _records: &Batch) -> Result<Folded, String> {
    let rejected = vec![Rejection { index: into.members.len() as u32, reason: "not there".into() }];
    Ok(Folded { rejected, ..fold(into) })
}

pub fn finish(of: &Groups) -> Result<BytesColumn, String> {
    Ok(of.states.clone())
}

millstream_sdk::columns!(aggregator, add, finish);
