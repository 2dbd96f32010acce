//! Aggregators: fold records into states one by one, over the contract's groups. Not the store: the host keeps states.

use crate::{Batch, BytesColumn, Folded, Groups, Record, Reject, Rejection};

/// Folds records into a state that the host stores as bytes.
pub trait Aggregator {
    /// What a group holds; its default is the state before the first record.
    type State: Default;
    /// A stored state. An error fails the call: stored bytes are no record's fault.
    fn decode(&self, bytes: &[u8]) -> Result<Self::State, String>;
    /// Appends the state's bytes.
    fn encode(&self, state: &Self::State, into: &mut Vec<u8>);
    /// Takes a record in. A record that is refused must leave the state as it was.
    fn add(&self, state: &mut Self::State, record: &Record<'_>) -> Result<(), Reject>;
    /// What leaves the pipeline; `None`: nothing (in a table: a tombstone).
    fn finish(&self, state: &Self::State) -> Option<Vec<u8>>;
}

/// Aggregates whose states can be joined: sessions that meet, windows built from panes.
pub trait Merge: Aggregator {
    /// One state of two of the same key; `left` is the earlier.
    fn merge(&self, left: Self::State, right: Self::State) -> Self::State;
}

/// Folds the members of each group into its state.
pub fn add<A: Aggregator + ?Sized>(aggregator: &A, into: &Groups, records: &Batch) -> Result<Folded, String> {
    let groups = into.keys.len();
    let mut folded =
        Folded { states: BytesColumn::with_capacity(groups, into.states.data.len().max(groups * 8)), rejected: vec![] };
    for group in 0..groups {
        let stored = into.states.get(group);
        let mut state = stored.map(|bytes| aggregator.decode(bytes)).transpose()?.unwrap_or_default();
        let mut added = false;
        for place in into.offsets[group]..into.offsets[group + 1] {
            let record = records.record(into.members[place as usize] as usize);
            match aggregator.add(&mut state, &record) {
                Ok(()) => added = true,
                Err(reject) => folded.rejected.push(Rejection { index: place, reason: reject.into_reason() }),
            }
        }
        // A group whose every record was refused is as it was: stored bytes, or nothing.
        match added {
            true => folded.states.push_with(|bytes| aggregator.encode(&state, bytes)),
            false => folded.states.push(stored),
        }
    }
    Ok(folded)
}

/// What leaves the pipeline for each group; null where nothing was stored.
pub fn finish<A: Aggregator + ?Sized>(aggregator: &A, of: &Groups) -> Result<BytesColumn, String> {
    let mut results = BytesColumn::with_capacity(of.keys.len(), of.states.data.len());
    for state in of.states.iter() {
        let state = state.map(|bytes| aggregator.decode(bytes)).transpose()?;
        results.push(state.and_then(|state| aggregator.finish(&state)).as_deref());
    }
    Ok(results)
}

/// Joins two states of each key; a null side leaves the other as it is.
pub fn merge<A: Merge + ?Sized>(
    aggregator: &A,
    left: &BytesColumn,
    right: &BytesColumn,
) -> Result<BytesColumn, String> {
    let mut merged = BytesColumn::with_capacity(left.len(), left.data.len());
    for pair in left.iter().zip(right.iter()) {
        match pair {
            (Some(left), Some(right)) => {
                let state = aggregator.merge(aggregator.decode(left)?, aggregator.decode(right)?);
                merged.push_with(|bytes| aggregator.encode(&state, bytes));
            }
            (left, right) => merged.push(left.or(right)),
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds the lengths of values; the state is one byte.
    struct Lengths;

    impl Aggregator for Lengths {
        type State = u8;
        fn decode(&self, bytes: &[u8]) -> Result<u8, String> {
            bytes.first().copied().ok_or_else(|| "an empty state".into())
        }
        fn encode(&self, state: &u8, into: &mut Vec<u8>) {
            into.push(*state);
        }
        fn add(&self, state: &mut u8, record: &Record<'_>) -> Result<(), Reject> {
            *state += record.value.ok_or_else(|| Reject::new("no value"))?.len() as u8;
            Ok(())
        }
        fn finish(&self, state: &u8) -> Option<Vec<u8>> {
            (*state > 0).then(|| state.to_string().into_bytes())
        }
    }

    impl Merge for Lengths {
        fn merge(&self, left: u8, right: u8) -> u8 {
            left + right
        }
    }

    fn column(items: &[Option<&[u8]>]) -> BytesColumn {
        items.iter().copied().collect()
    }

    #[test]
    fn each_group_takes_its_own_members_in() {
        let records: Batch = [Some(&b"a"[..]), None, Some(b"bbb")]
            .map(|value| Record { value, ..Record::default() })
            .into_iter()
            .collect();
        let groups = Groups {
            keys: column(&[Some(b"x"), Some(b"y"), Some(b"z")]),
            states: column(&[None, Some(&[10]), None]),
            offsets: vec![0, 2, 4, 5],
            members: vec![0, 2, 1, 2, 1],
            ..Groups::default()
        };
        let folded = add(&Lengths, &groups, &records).unwrap();
        assert_eq!(folded.states, column(&[Some(&[4]), Some(&[13]), None]));
        let refused: Vec<_> = folded.rejected.iter().map(|rejection| rejection.index).collect();
        assert_eq!(refused, [2, 4], "by place in `members`");
    }

    #[test]
    fn a_state_that_does_not_decode_fails_the_call() {
        let groups = Groups { keys: column(&[Some(b"x")]), states: column(&[Some(b"")]), ..Groups::default() };
        assert_eq!(finish(&Lengths, &groups), Err("an empty state".into()));
    }

    #[test]
    fn finish_and_merge_leave_nulls_alone() {
        let groups = Groups {
            keys: column(&[Some(&b"x"[..]); 3]),
            states: column(&[None, Some(&[0]), Some(&[12])]),
            ..Groups::default()
        };
        assert_eq!(finish(&Lengths, &groups), Ok(column(&[None, None, Some(b"12")])));
        let left = column(&[None, Some(&[1]), Some(&[1])]);
        let right = column(&[Some(&[2]), None, Some(&[2])]);
        assert_eq!(merge(&Lengths, &left, &right), Ok(column(&[Some(&[2]), Some(&[1]), Some(&[3])])));
    }
}
