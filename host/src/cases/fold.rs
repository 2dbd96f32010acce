//! Aggregators, mergers, scanners, migrators: states, and what leaves.
//!
//! As in the engine, nothing is finished of a group without a state, nothing is merged with a side that has none, and
//! from a group without a state nothing is taken out.

use millstream_core::function::{Answer, Groups};
use millstream_core::record::BytesColumn;

use super::datum::shown;
use super::each::{Fate, rejected, same_length};
use super::{Caller, Cut, Datum, End, Fold, Given, Group, Item, Merge, Migrate};

/// A state; `None`: the group is not there.
type State = Option<Vec<u8>>;

/// What a group came to: its state, and where it was finished, what leaves.
struct Came {
    state: State,
    result: Option<State>,
}

pub fn aggregate(caller: &mut Caller<'_>, folds: &[Fold]) {
    let (failing, whole): (Vec<&Fold>, Vec<&Fold>) = folds.iter().partition(|fold| fold.end.fails.is_some());
    let alone = caller.cut != Cut::Together;
    for some in whole.chunks(if alone { 1 } else { whole.len().max(1) }) {
        let came = folded(caller, some).and_then(|states| finish(caller, some, states));
        judge_all(caller, some, came);
    }
    for fold in failing {
        let came = folded(caller, &[fold]).and_then(|states| finish(caller, &[fold], states));
        judge_all(caller, &[fold], came);
    }
}

pub fn merge(caller: &mut Caller<'_>, merges: &[Merge]) {
    for merge in merges {
        let came = merged(caller, merge);
        judge(caller, &merge.left, came);
    }
}

fn merged(caller: &mut Caller<'_>, merge: &Merge) -> Answer<Came> {
    let (left, right) = (folded(caller, &[&merge.left])?.remove(0), folded(caller, &[&merge.right])?.remove(0));
    let state = match (left, right) {
        (Some(left), Some(right)) => {
            caller.renew();
            let column = |bytes: &[u8]| [Some(bytes)].into_iter().collect::<BytesColumn>();
            let keys = [merge.left.group.key.bytes()].into_iter().collect();
            let merged = caller.functions.merge(caller.function, &keys, &column(&left), &column(&right))?;
            merged.get(0).map(<[u8]>::to_vec)
        }
        (left, right) => left.or(right),
    };
    Ok(finish(caller, &[&merge.left], vec![state])?.remove(0))
}

pub fn scan(caller: &mut Caller<'_>, folds: &[Fold]) {
    for fold in folds {
        let (mut state, mut failed) = (owned(&fold.from_state), None);
        for some in fold.add.chunks(caller.call_len(fold.add.len())) {
            match scanned(caller, fold, &state, some) {
                Ok(after) => state = after,
                Err(fault) => {
                    failed = Some(fault);
                    break;
                }
            }
        }
        judge(caller, fold, failed.map_or(Ok(Came { state, result: None }), Err));
    }
}

fn scanned(caller: &mut Caller<'_>, fold: &Fold, state: &State, items: &[Item]) -> Answer<State> {
    caller.renew();
    let given = Given::of(items);
    let (context, records) = given.call();
    let call = Call::of(&[(&fold.group, state, items.len())]);
    let scanned = caller.functions.scan(caller.function, context, call.groups(), records)?;
    same_length(scanned.states.len(), 1, "states")?;
    same_length(scanned.values.len(), items.len(), "values")?;
    let values = (0..items.len()).map(|i| Fate::Value(scanned.values.get(i).map(<[u8]>::to_vec)));
    let fates = rejected(values.collect(), scanned.rejected)?;
    told(caller, items, fates);
    Ok(scanned.states.get(0).map(<[u8]>::to_vec))
}

pub fn migrate(caller: &mut Caller<'_>, all: &[Migrate]) {
    for one in all {
        caller.renew();
        let came = migrated(caller, one);
        let Migrate { place, group, end, .. } = one;
        let (group, end) = (group.clone(), end.clone());
        let fold = Fold { place: place.clone(), group, from_state: Datum::Null, add: vec![], remove: vec![], end };
        judge(caller, &fold, came);
    }
}

fn migrated(caller: &mut Caller<'_>, one: &Migrate) -> Answer<Came> {
    let current = caller.functions.layout(caller.function);
    let (old, new) = if one.back { (current, one.layout) } else { (one.layout, current) };
    let column = |datum: &Datum| [datum.bytes()].into_iter().collect::<BytesColumn>();
    let (keys, states) = (column(&one.group.key), column(&one.state));
    let migrated = caller.functions.migrate(caller.function, &one.store, old, new, &keys, &states)?;
    let state = migrated.get(0).map(<[u8]>::to_vec);
    let result = match (&one.end.result, &state) {
        (Some(_), Some(_)) => Some(finished(caller, &[(&one.group, &state, 0)])?.remove(0)),
        (Some(_), None) => Some(None),
        (None, _) => None,
    };
    Ok(Came { state, result })
}

/// States of groups once all their records are in, and those to be taken out are out.
fn folded(caller: &mut Caller<'_>, folds: &[&Fold]) -> Answer<Vec<State>> {
    let mut states: Vec<State> = folds.iter().map(|fold| owned(&fold.from_state)).collect();
    for taken_out in [false, true] {
        let of = |fold: &Fold| if taken_out { fold.remove.len() } else { fold.add.len() };
        let longest = folds.iter().map(|fold| of(fold)).max().unwrap_or(0);
        let len = caller.call_len(longest);
        for from in (0..longest).step_by(len) {
            let part = |fold: &Fold| from.min(of(fold))..(from + len).min(of(fold));
            step(caller, folds, &mut states, taken_out, part)?;
        }
    }
    Ok(states)
}

/// One call, with a part of each group's records.
fn step(
    caller: &mut Caller<'_>,
    folds: &[&Fold],
    states: &mut [State],
    taken_out: bool,
    part: impl Fn(&Fold) -> std::ops::Range<usize>,
) -> Answer<()> {
    let items = |at: usize| {
        let fold: &Fold = folds[at];
        &(if taken_out { &fold.remove } else { &fold.add })[part(fold)]
    };
    let at: Vec<usize> =
        (0..folds.len()).filter(|&at| !items(at).is_empty() && (!taken_out || states[at].is_some())).collect();
    if at.is_empty() {
        return Ok(());
    }
    caller.renew();
    let all: Vec<&Item> = at.iter().flat_map(|&at| items(at)).collect();
    let given = Given::of(all.iter().copied());
    let (context, records) = given.call();
    let groups: Vec<_> = at.iter().map(|&at| (&folds[at].group, &states[at], items(at).len())).collect();
    let call = Call::of(&groups);
    let (functions, function) = (&mut *caller.functions, caller.function);
    let left = match taken_out {
        true => functions.remove(function, context, call.groups(), records)?,
        false => functions.add(function, context, call.groups(), records)?,
    };
    same_length(left.states.len(), at.len(), "states")?;
    let fates = rejected(vec![Fate::Taken; all.len()], left.rejected)?;
    told_of(caller, &all, fates);
    for (i, &at) in at.iter().enumerate() {
        states[at] = left.states.get(i).map(<[u8]>::to_vec);
    }
    Ok(())
}

fn told(caller: &mut Caller<'_>, items: &[Item], fates: Vec<Fate>) {
    let items: Vec<&Item> = items.iter().collect();
    told_of(caller, &items, fates);
}

fn told_of(caller: &mut Caller<'_>, items: &[&Item], fates: Vec<Fate>) {
    for (item, fate) in items.iter().zip(fates) {
        if !item.expect.is(item, &fate) {
            caller.mismatch(&item.place, item.expect.shown(item), fate.to_string());
        }
    }
}

/// What leaves of each group, where that is asked.
fn finish(caller: &mut Caller<'_>, folds: &[&Fold], states: Vec<State>) -> Answer<Vec<Came>> {
    let there: Vec<usize> = (0..folds.len()).filter(|&at| states[at].is_some()).collect();
    let groups: Vec<_> = there.iter().map(|&at| (&folds[at].group, &states[at], 0)).collect();
    let mut results = vec![None; folds.len()];
    if !groups.is_empty() {
        for (at, result) in there.iter().zip(finished(caller, &groups)?) {
            results[*at] = result;
        }
    }
    Ok(states.into_iter().zip(results).map(|(state, result)| Came { state, result: Some(result) }).collect())
}

fn finished(caller: &mut Caller<'_>, groups: &[(&Group, &State, usize)]) -> Answer<Vec<State>> {
    caller.renew();
    let call = Call::of(groups);
    let results = caller.functions.finish(caller.function, call.groups())?;
    same_length(results.len(), groups.len(), "results")?;
    Ok((0..groups.len()).map(|i| results.get(i).map(<[u8]>::to_vec)).collect())
}

fn judge_all(caller: &mut Caller<'_>, folds: &[&Fold], came: Answer<Vec<Came>>) {
    match came {
        Ok(all) => folds.iter().zip(all).for_each(|(fold, came)| judge(caller, fold, Ok(came))),
        Err(fault) if folds.len() == 1 => judge(caller, folds[0], Err(fault)),
        Err(fault) => {
            let expected = format!("an answer for all {} groups", folds.len());
            caller.mismatch(&folds[0].place, expected, Fate::Failed(fault.to_string()).to_string());
        }
    }
}

fn judge(caller: &mut Caller<'_>, fold: &Fold, came: Answer<Came>) {
    let End { state, result, fails } = &fold.end;
    match (fails, came) {
        (Some(part), Err(fault)) if fault.to_string().contains(part.as_str()) => {}
        (Some(part), came) => {
            let expected = if part.is_empty() {
                "a call fails".into()
            } else {
                format!("a call fails, with {part:?} in its words")
            };
            let came = match came {
                Err(fault) => Fate::Failed(fault.to_string()).to_string(),
                Ok(came) => format!("state {}", shown(came.state.as_deref())),
            };
            caller.mismatch(&fold.place, expected, came);
        }
        (None, Err(fault)) => {
            caller.mismatch(&fold.place, "an answer".into(), Fate::Failed(fault.to_string()).to_string());
        }
        (None, Ok(came)) => {
            let both = [("state", state, Some(came.state)), ("result", result, came.result)];
            for (what, expected, came) in both {
                let (Some(expected), Some(came)) = (expected, came) else { continue };
                if !expected.is(came.as_deref()) {
                    let expected = format!("{what} {}", expected.shown());
                    caller.mismatch(&fold.place, expected, format!("{what} {}", shown(came.as_deref())));
                }
            }
        }
    }
}

fn owned(datum: &Datum) -> State {
    datum.bytes().map(<[u8]>::to_vec)
}

/// The columns of a call's groups, whose records follow one another.
struct Call {
    keys: BytesColumn,
    states: BytesColumn,
    starts: Vec<i64>,
    ends: Vec<i64>,
    offsets: Vec<u32>,
    members: Vec<u32>,
}

impl Call {
    fn of(groups: &[(&Group, &State, usize)]) -> Self {
        let mut offsets = vec![0];
        offsets.extend(groups.iter().scan(0u32, |end, (_, _, len)| {
            *end += *len as u32;
            Some(*end)
        }));
        // Windows are those of all groups or of none, as a step has one kind of them.
        let windows: Option<Vec<(i64, i64)>> = groups.iter().map(|(group, _, _)| group.window).collect();
        let windows = windows.unwrap_or_default();
        Self {
            keys: groups.iter().map(|(group, _, _)| group.key.bytes()).collect(),
            states: groups.iter().map(|(_, state, _)| state.as_deref()).collect(),
            starts: windows.iter().map(|(start, _)| *start).collect(),
            ends: windows.iter().map(|(_, end)| *end).collect(),
            members: (0..offsets.last().copied().unwrap_or(0)).collect(),
            offsets,
        }
    }

    fn groups(&self) -> Groups<'_> {
        let Self { keys, states, starts, ends, offsets, members } = self;
        Groups { keys, starts, ends, states, offsets, members }
    }
}
