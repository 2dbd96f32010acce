//! Turns against records one by one: a function that strings values together, each input with its own sign, and refuses some.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::flow::Flow;
use crate::function::{Context, Hosted, Interface, Joined, Kept, Output, Records, Routed, Scanned, TimerClock};
use crate::record::BatchBuilder;

/// Counts its calls.
#[derive(Default)]
struct Strings(usize);

/// A value that is refused.
const REFUSED: &[u8] = b"9";

impl Functions for Strings {
    fn route(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Routed> {
        unreachable!("nothing is routed here")
    }
    fn wants_stream_times(&self, _: Prepared) -> bool {
        true
    }
    fn exports(&self, _: Prepared, _: Interface) -> bool {
        true
    }
    fn layout(&self, _: Prepared) -> u32 {
        0
    }
    fn renew(&mut self, _: Prepared) {}
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn stretched(&self, _: Prepared) -> u32 {
        1
    }
    /// Each value after its function's number, the start of the window and the stream time.
    fn add(&mut self, f: Prepared, context: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        self.0 += 1;
        let mut rejected = Vec::new();
        let mut states = BytesColumn::default();
        for g in 0..into.keys.len() {
            let mut state = String::from_utf8(into.states.get(g).unwrap_or_default().to_vec()).unwrap();
            for place in into.offsets[g]..into.offsets[g + 1] {
                let record = into.members[place as usize] as usize;
                let value = records.values.get(record).unwrap();
                if value == REFUSED {
                    rejected.push(Rejection { index: place, reason: f.0.to_string() });
                    continue;
                }
                let value = String::from_utf8_lossy(value);
                state += &format!("{}:{value}@{}/{} ", f.0, context.stream_times[record], into.starts[g]);
            }
            states.push((!state.is_empty()).then_some(state.as_bytes()));
        }
        Ok(Folded { states, rejected })
    }
    fn keep(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Kept> {
        unreachable!("nothing is kept")
    }
    fn apply(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>) -> Answer<Output> {
        unreachable!("nothing is mapped")
    }
    fn finish(&mut self, _: Prepared, _: Groups<'_>) -> Answer<BytesColumn> {
        unreachable!("nothing is finished")
    }
    fn remove(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Folded> {
        unreachable!("nothing is removed")
    }
    fn scan(&mut self, _: Prepared, _: Context<'_>, _: Groups<'_>, _: Records<'_>) -> Answer<Scanned> {
        unreachable!("nothing is scanned")
    }
    fn merge(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<BytesColumn> {
        unreachable!("nothing is merged")
    }
    fn migrate(
        &mut self,
        _: Prepared,
        _: &str,
        _: u32,
        _: u32,
        _: &BytesColumn,
        _: &BytesColumn,
    ) -> Answer<BytesColumn> {
        unreachable!("nothing is migrated")
    }
    fn join(&mut self, _: Prepared, _: &BytesColumn, _: &BytesColumn, _: &BytesColumn) -> Answer<Joined> {
        unreachable!("nothing is joined")
    }
    fn process(&mut self, _: Prepared, _: Context<'_>, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        unreachable!("nothing is processed")
    }
    fn fire(&mut self, _: Prepared, _: TimerClock, _: Records<'_>, _: &mut dyn Hosted) -> Answer<Output> {
        unreachable!("nothing fires")
    }
}

/// Functions by input.
const ADDERS: [Prepared; 3] = [Prepared(7), Prepared(8), Prepared(9)];

/// Input, value and groups of each record.
type Case = Vec<(u32, u8, [bool; 3])>;

/// States; rejections by place, with their reasons; calls.
type Added = (Vec<Option<Vec<u8>>>, Vec<(u32, String)>, usize);

/// States and rejections, by place, of a case, and how many calls it took. With no `inputs` in the flow all is of the first.
fn added(case: &Case, adders: &[Prepared]) -> Added {
    let mut batch = BatchBuilder::default();
    case.iter().for_each(|(_, value, _)| batch.push(Some(b"k"), Some(&[b'0' + value]), 0, []));
    let inputs = Some(Arc::new(case.iter().map(|(input, ..)| *input).collect()));
    let flow = Flow { batch: batch.finish(), inputs, ..Flow::default() };
    let part = Part { flow, stream_times: (0..case.len() as i64).collect() };
    let (mut offsets, mut members) = (vec![0u32], Vec::new());
    for group in 0..3 {
        members.extend((0u32..).zip(case).filter(|(_, record)| record.2[group]).map(|(at, _)| at));
        offsets.push(members.len() as u32);
    }
    let keys: BytesColumn = [Some(&b"k"[..]); 3].into_iter().collect();
    let states: BytesColumn = [None, Some(&b"was "[..]), None].into_iter().collect();
    let (starts, ends) = ([0, 10, 20], [10, 20, 30]);
    let groups =
        Groups { keys: &keys, starts: &starts, ends: &ends, states: &states, offsets: &offsets, members: &members };
    let mut functions = Strings::default();
    let folded = add(&mut functions, adders, &part, groups).unwrap();
    let states = (0..3).map(|g| folded.states.get(g).map(<[u8]>::to_vec)).collect();
    (states, folded.rejected.into_iter().map(|r| (r.index, r.reason)).collect(), functions.0)
}

proptest! {
    #[test]
    fn turns_are_as_records_one_by_one(case in proptest::collection::vec((0u32..3, 0u8..10, any::<[bool; 3]>()), 0..20)) {
        let (mut states, mut refused, mut place) = (vec![None, Some("was ".to_string()), None], Vec::new(), 0);
        for (group, state) in states.iter_mut().enumerate() {
            for (at, (input, value, _)) in case.iter().enumerate().filter(|(_, record)| record.2[group]) {
                let adder = 7 + input;
                if *value == 9 {
                    refused.push((place, adder.to_string()));
                } else {
                    let start = group * 10;
                    state.get_or_insert_default().push_str(&format!("{adder}:{value}@{at}/{start} "));
                }
                place += 1;
            }
        }
        let want: Vec<_> = states.into_iter().map(|state: Option<String>| state.map(String::into_bytes)).collect();
        let (got, rejected, _) = added(&case, &ADDERS);
        prop_assert_eq!(got, want);
        prop_assert_eq!(rejected, refused);
    }
}

#[test]
fn groups_share_calls_and_one_function_is_one_call() {
    // Each of the groups changes its input once, in a record of its own.
    let only = |group: usize| core::array::from_fn(|g| g == group);
    let case: Case = (0..3).flat_map(|g| [(0, 1, only(g)), (1, 2, only(g)), (1, 3, only(g))]).collect();
    assert_eq!(added(&case, &ADDERS).2, 2);
    assert_eq!(added(&case, &ADDERS[..1]).2, 1);
    assert_eq!(added(&Case::new(), &ADDERS).2, 0);
}
