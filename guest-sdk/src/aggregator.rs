//! Aggregators: fold records into states one by one, over the contract's groups. Not the store: the host keeps states.

use crate::{Batch, BytesColumn, Folded, Group, Groups, Record, Reject, Rejection, Scanned};

/// Folds records into a state that the host stores as bytes.
pub trait Aggregator {
    /// What a group holds.
    type State: Default;

    /// The state before the first record; its default unless it depends on the group's key or window.
    fn start(&self, group: &Group<'_>) -> Self::State {
        let _ = group;
        Self::State::default()
    }

    /// A stored state. An error fails the call: stored bytes are no record's fault.
    fn decode(&self, bytes: &[u8]) -> Result<Self::State, String>;

    /// Appends the state's bytes.
    fn encode(&self, state: &Self::State, into: &mut Vec<u8>);

    /// Takes a record in. A record that is refused must leave the state as it was.
    fn add(&self, state: &mut Self::State, record: &Record<'_>) -> Result<(), Reject>;

    /// Whether nothing worth keeping is left; such a group is removed from the store.
    fn is_gone(&self, state: &Self::State) -> bool {
        let _ = state;
        false
    }

    /// Appends what leaves the pipeline to `out`, and says whether anything does.
    fn finish(&self, state: &Self::State, group: &Group<'_>, out: &mut Vec<u8>) -> Leaves;
}

/// Whether a result leaves the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// The bytes that were appended.
    Value,
    /// Nothing (in a table: a tombstone); what was appended is forgotten.
    Nothing,
}

/// Aggregates whose states can be joined: sessions that meet, windows built from panes.
pub trait Merge: Aggregator {
    /// One state of two of the same key; `left` is the earlier. An error fails the call.
    fn merge(&self, left: Self::State, right: Self::State) -> Result<Self::State, String>;
}

/// Aggregates over tables: what a row was is taken out before what it is comes in.
pub trait Retract: Aggregator {
    /// Takes a record out that [`add`](Aggregator::add) took in. One that is refused must leave the state as it was; what
    /// `add` refuses is refused here too, as it never came in.
    fn remove(&self, state: &mut Self::State, record: &Record<'_>) -> Result<(), Reject>;
}

/// Folds the members of each group into its state.
pub fn add<A: Aggregator + ?Sized>(aggregator: &A, into: &Groups, records: &Batch) -> Result<Folded, String> {
    fold(aggregator, into, records, |state, record| aggregator.add(state, record), |_, _| {})
}

/// Takes the members of each group out of its state.
pub fn remove<A: Retract + ?Sized>(aggregator: &A, from: &Groups, records: &Batch) -> Result<Folded, String> {
    fold(aggregator, from, records, |state, record| aggregator.remove(state, record), |_, _| {})
}

/// Folds the members of each group into its state, and finishes after each of them. A record that is refused leaves
/// nothing.
pub fn scan<A: Aggregator + ?Sized>(aggregator: &A, into: &Groups, records: &Batch) -> Result<Scanned, String> {
    let mut values = BytesColumn::with_capacity(into.members.len(), 0);
    let take = |state: &mut A::State, record: &Record<'_>| aggregator.add(state, record);
    let Folded { states, rejected } = fold(aggregator, into, records, take, |state, group| match state {
        Some(state) => push_finished(aggregator, state, group, &mut values),
        None => values.push(None),
    })?;
    Ok(Scanned { states, values, rejected })
}

/// `each` sees the state after each member; none where the member was refused.
#[inline]
fn fold<A: Aggregator + ?Sized>(
    aggregator: &A,
    into: &Groups,
    records: &Batch,
    take: impl Fn(&mut A::State, &Record<'_>) -> Result<(), Reject>,
    mut each: impl FnMut(Option<&A::State>, &Group<'_>),
) -> Result<Folded, String> {
    let groups = into.keys.len();
    let mut folded =
        Folded { states: BytesColumn::with_capacity(groups, into.states.data.len().max(groups * 8)), rejected: vec![] };
    for index in 0..groups {
        let (stored, group) = (into.states.get(index), into.group(index));
        let mut state = match stored {
            Some(bytes) => aggregator.decode(bytes)?,
            None => aggregator.start(&group),
        };
        let mut added = false;
        for place in into.offsets[index]..into.offsets[index + 1] {
            let record = records.record(into.members[place as usize] as usize);
            match take(&mut state, &record) {
                Ok(()) => {
                    added = true;
                    each(Some(&state), &group);
                }
                Err(reject) => {
                    folded.rejected.push(Rejection { index: place, reason: reject.into_reason() });
                    each(None, &group);
                }
            }
        }
        // A group whose every record was refused is as it was: stored bytes, or nothing.
        match added {
            false => folded.states.push(stored),
            true if aggregator.is_gone(&state) => folded.states.push(None),
            true => folded.states.push_with(|bytes| aggregator.encode(&state, bytes)),
        }
    }
    Ok(folded)
}

/// What leaves the pipeline for each group; null where nothing was stored.
pub fn finish<A: Aggregator + ?Sized>(aggregator: &A, of: &Groups) -> Result<BytesColumn, String> {
    let mut results = BytesColumn::with_capacity(of.keys.len(), of.states.data.len());
    for (index, state) in of.states.iter().enumerate() {
        match state {
            Some(bytes) => push_finished(aggregator, &aggregator.decode(bytes)?, &of.group(index), &mut results),
            None => results.push(None),
        }
    }
    Ok(results)
}

fn push_finished<A: Aggregator + ?Sized>(aggregator: &A, state: &A::State, group: &Group<'_>, into: &mut BytesColumn) {
    into.push_or_null(|bytes| aggregator.finish(state, group, bytes) == Leaves::Value);
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
                let state = aggregator.merge(aggregator.decode(left)?, aggregator.decode(right)?)?;
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
        fn is_gone(&self, state: &u8) -> bool {
            *state == 100
        }
        fn finish(&self, state: &u8, group: &Group<'_>, out: &mut Vec<u8>) -> Leaves {
            let start = group.window.map_or(0, |window| window.start);
            out.extend_from_slice(format!("{start}:{state}").as_bytes());
            if *state > 0 { Leaves::Value } else { Leaves::Nothing }
        }
    }

    impl Retract for Lengths {
        fn remove(&self, state: &mut u8, record: &Record<'_>) -> Result<(), Reject> {
            let len = record.value.ok_or_else(|| Reject::new("no value"))?.len() as u8;
            *state = state.checked_sub(len).ok_or_else(|| Reject::new("it never came in"))?;
            Ok(())
        }
    }

    #[test]
    fn what_is_taken_out_was_in() {
        let folded = remove(&Lengths, &groups(), &two_records_and_a_null()).unwrap();
        assert_eq!(folded.states, column(&[None, Some(&[7]), None, Some(&[98])]));
        let refused: Vec<_> = folded.rejected.iter().map(|r| (r.index, r.reason.as_str())).collect();
        let never = "it never came in";
        assert_eq!(refused, [(0, never), (1, never), (2, "no value"), (4, "no value")]);
    }

    impl Merge for Lengths {
        fn merge(&self, left: u8, right: u8) -> Result<u8, String> {
            left.checked_add(right).ok_or_else(|| "too long".into())
        }
    }

    fn column(items: &[Option<&[u8]>]) -> BytesColumn {
        items.iter().copied().collect()
    }

    fn two_records_and_a_null() -> Batch {
        let values = [Some(&b"a"[..]), None, Some(b"bbb")];
        values.map(|value| Record { value, ..Record::default() }).into_iter().collect()
    }

    fn groups() -> Groups {
        Groups {
            keys: column(&[Some(b"x"), Some(b"y"), Some(b"z"), Some(b"gone")]),
            states: column(&[None, Some(&[10]), None, Some(&[99])]),
            starts: vec![0, 10, 20, 30],
            ends: vec![10, 20, 30, 40],
            offsets: vec![0, 2, 4, 5, 6],
            members: vec![0, 2, 1, 2, 1, 0],
        }
    }

    #[test]
    fn each_group_takes_its_own_members_in() {
        let folded = add(&Lengths, &groups(), &two_records_and_a_null()).unwrap();
        assert_eq!(folded.states, column(&[Some(&[4]), Some(&[13]), None, None]));
        let refused: Vec<_> = folded.rejected.iter().map(|rejection| rejection.index).collect();
        assert_eq!(refused, [2, 4], "by place in `members`");
    }

    #[test]
    fn a_scan_finishes_after_each_member() {
        let scanned = scan(&Lengths, &groups(), &two_records_and_a_null()).unwrap();
        let folded = add(&Lengths, &groups(), &two_records_and_a_null()).unwrap();
        assert_eq!((scanned.states, scanned.rejected), (folded.states, folded.rejected));
        let values = [Some(&b"0:1"[..]), Some(b"0:4"), None, Some(b"10:13"), None, Some(b"30:100")];
        assert_eq!(scanned.values, column(&values));
    }

    #[test]
    fn a_group_may_start_with_what_it_is() {
        struct Starts;
        impl Aggregator for Starts {
            type State = i64;
            fn start(&self, group: &Group<'_>) -> i64 {
                group.window.map_or(-1, |window| window.start)
            }
            fn decode(&self, _: &[u8]) -> Result<i64, String> {
                Ok(0)
            }
            fn encode(&self, state: &i64, into: &mut Vec<u8>) {
                into.push(*state as u8);
            }
            fn add(&self, state: &mut i64, _: &Record<'_>) -> Result<(), Reject> {
                *state += 1;
                Ok(())
            }
            fn finish(&self, _: &i64, _: &Group<'_>, _: &mut Vec<u8>) -> Leaves {
                Leaves::Nothing
            }
        }
        let folded = add(&Starts, &groups(), &two_records_and_a_null()).unwrap();
        assert_eq!(folded.states, column(&[Some(&[2]), Some(&[2]), Some(&[21]), Some(&[1])]));
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
        assert_eq!(finish(&Lengths, &groups), Ok(column(&[None, None, Some(b"0:12")])));
        let left = column(&[None, Some(&[1]), Some(&[1])]);
        let right = column(&[Some(&[2]), None, Some(&[2])]);
        assert_eq!(merge(&Lengths, &left, &right), Ok(column(&[Some(&[2]), Some(&[1]), Some(&[3])])));
        assert_eq!(merge(&Lengths, &column(&[Some(&[200])]), &column(&[Some(&[100])])), Err("too long".into()));
    }
}
