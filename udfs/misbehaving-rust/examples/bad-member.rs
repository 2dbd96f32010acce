//! An aggregator that rejects a member behind the last.

use millstream_sdk::{Batch, Folded, Groups, Rejection};

pub fn add(into: &Groups, records: &Batch) -> Result<Folded, String> {
    let rejected = vec![Rejection { index: into.members.len() as u32, reason: "not there".into() }];
    Ok(Folded { rejected, ..misbehaving::add(into, records)? })
}

millstream_sdk::columns!(aggregator, add, misbehaving::finish);
