//! Adding records to groups by several functions, one for each input of a step: a cogroup. With one function that is one call.
//!
//! What matters is the order of a group's records. So they are added in turns: in a turn each group takes in its next records that
//! are of one input, and each function is asked once, for all groups whose turn is its own. States pass from turn to turn, and
//! nothing is kept of a call that fails.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::fold::check;
use super::{Part, bad_result};
use crate::function::{Answer, Folded, Functions, Groups, Prepared, Rejection};
use crate::record::{BytesColumn, Timestamp};

/// Adds the members of groups, which are records of `part`. `adders`: functions by input.
pub(crate) fn add(functions: &mut dyn Functions, adders: &[Prepared], part: &Part, into: Groups<'_>) -> Answer<Folded> {
    if let [only] = adders {
        let folded = functions.add(*only, part.context(), into, part.records())?;
        check("add", &folded, into.keys.len(), into.members.len())?;
        return Ok(folded);
    }
    let input = |place: u32| {
        let record = into.members[place as usize] as usize;
        part.flow.inputs.as_ref().map_or(0, |inputs| inputs[record])
    };
    let groups = into.keys.len();
    let mut states: Vec<Option<Vec<u8>>> = (0..groups).map(|g| into.states.get(g).map(<[u8]>::to_vec)).collect();
    let mut next: Vec<u32> = into.offsets[..groups].to_vec();
    let mut rejected = Vec::new();
    loop {
        let mut turns: BTreeMap<u32, Vec<Turn>> = BTreeMap::new();
        for (group, next) in next.iter_mut().enumerate().filter(|(g, next)| **next < into.offsets[g + 1]) {
            let (from, whose, end) = (*next, input(*next), into.offsets[group + 1]);
            *next = (from..end).find(|place| input(*place) != whose).unwrap_or(end);
            turns.entry(whose).or_default().push(Turn { group, places: from..*next });
        }
        if turns.is_empty() {
            break;
        }
        for (whose, turns) in turns {
            let Some(adder) = adders.get(whose as usize) else {
                return Err(bad_result(alloc::format!("input {whose} has no function")));
            };
            let asked = ask(functions, *adder, part, into, &states, &turns)?;
            for (i, turn) in turns.iter().enumerate() {
                states[turn.group] = asked.states.get(i).map(<[u8]>::to_vec);
            }
            rejected.extend(asked.rejected);
        }
    }
    rejected.sort_unstable_by_key(|r: &Rejection| r.index);
    Ok(Folded { states: states.iter().map(Option::as_deref).collect(), rejected })
}

/// What a group takes in in a turn: places in `members`.
struct Turn {
    group: usize,
    places: Range<u32>,
}

/// Asks a function about its turns, with the records of these alone. Gives a state for each turn, and rejections by their places.
fn ask(
    functions: &mut dyn Functions,
    adder: Prepared,
    part: &Part,
    into: Groups<'_>,
    states: &[Option<Vec<u8>>],
    turns: &[Turn],
) -> Answer<Folded> {
    let places: Vec<u32> = turns.iter().flat_map(|turn| turn.places.clone()).collect();
    let mut records: Vec<u32> = places.iter().map(|place| into.members[*place as usize]).collect();
    records.sort_unstable();
    records.dedup();
    let stream_times = match &part.stream_times[..] {
        [] => Vec::new(),
        times => records.iter().map(|record| times[*record as usize]).collect(),
    };
    let own = Part { flow: part.flow.gather(&records), stream_times };
    let (mut keys, mut held) = <(BytesColumn, BytesColumn)>::default();
    let (mut offsets, mut members) = (vec![0u32], Vec::with_capacity(places.len()));
    for turn in turns {
        keys.push(into.keys.get(turn.group));
        held.push(states[turn.group].as_deref());
        for place in turn.places.clone() {
            let record = into.members[place as usize];
            members.push(records.partition_point(|other| *other < record) as u32);
        }
        offsets.push(members.len() as u32);
    }
    let of = |times: &[Timestamp]| match times {
        [] => Vec::new(),
        times => turns.iter().map(|turn| times[turn.group]).collect::<Vec<_>>(),
    };
    let (starts, ends) = (of(into.starts), of(into.ends));
    let groups =
        Groups { keys: &keys, starts: &starts, ends: &ends, states: &held, offsets: &offsets, members: &members };
    let folded = functions.add(adder, own.context(), groups, own.records())?;
    check("add", &folded, turns.len(), members.len())?;
    let by_place = |r: Rejection| Rejection { index: places[r.index as usize], ..r };
    Ok(Folded { states: folded.states, rejected: folded.rejected.into_iter().map(by_place).collect() })
}

#[cfg(test)]
mod tests;
