//! Aggregates over tables: what a row was is taken out of its group before what it is comes in, so that counts and sums stay
//! right when a row changes or changes its group. Without windows.
//!
//! A batch is folded in rounds: in each, a group takes records out or in, as long as it does the same. Mostly these are two.
//! Stream time moves with every change, also with one that the function refuses.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::super::Cx;
use super::super::finish::{self, Leaving, Results};
use super::super::fold::{Chosen, Member, Way, stage_way};
use super::{Step, ground, group_key, read_ahead};
use crate::error::Verdict;
use crate::flow::Flow;
use crate::record::{BatchBuilder, Timestamp};
use crate::state::store::{Slot, hash};
use crate::topology::spec::Fold;

/// Takes changes in; gives what comes out of them at once.
pub(crate) fn take(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow) -> Result<Flow, Verdict> {
    let moves = Moves::of(flow, step.times.observed);
    read_ahead(cx, step, &moves.flow)?;
    let mut results = Results::default();
    if step.aggregate.spec.emit_every_update {
        for (change, (from, to)) in moves.of_change.iter().enumerate() {
            let touched = fold(cx, step, &moves, *from..*to)?;
            // Of groups that are gone only those are here that were there before the change.
            let leaving = |slot: Slot| Leaving { was: true, ..step.leaving(flow.row(change), slot) };
            let changed: Vec<Leaving<'_>> = touched.into_iter().map(leaving).collect();
            finish::updates(cx, step.node, step.aggregate, &changed, &mut results)?;
        }
    } else {
        fold(cx, step, &moves, 0..moves.ways.len())?;
    }
    step.times.observed = moves.own.last().copied().unwrap_or(step.times.observed);
    step.times.closed = step.times.closed.max(step.times.observed);
    Ok(results.flow(cx.empty))
}

/// Changes as records that are taken out or come in.
struct Moves {
    flow: Flow,
    ways: Vec<Way>,
    /// Times of the changes, which are those of what comes of a removal too.
    times: Vec<Timestamp>,
    /// Stream time with each.
    own: Vec<Timestamp>,
    /// Whether it comes in for what the same change takes out, which stands before it.
    again: Vec<bool>,
    /// Of each change, where its moves begin and end.
    of_change: Vec<(usize, usize)>,
}

impl Moves {
    fn of(changes: &Flow, mut observed: Timestamp) -> Self {
        let (mut batch, mut at) = (BatchBuilder::default(), Vec::with_capacity(changes.len() * 2));
        let (mut ways, mut times, mut own, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut of_change = Vec::with_capacity(changes.len());
        let records = &changes.batch;
        for i in 0..changes.len() {
            let (key, from) = (records.keys.get(i), ways.len());
            observed = observed.max(records.timestamps[i]);
            if let Some((value, time)) = changes.old.as_ref().and_then(|old| old.get(i)) {
                batch.push(key, Some(value), time, []);
                ways.push(Way::Out);
            }
            if let Some(value) = records.values.get(i) {
                batch.push(key, Some(value), records.timestamps[i], records.headers.iter().flat_map(|h| h.of(i)));
                ways.push(Way::In);
            }
            at.resize(ways.len(), i as u32);
            times.resize(ways.len(), records.timestamps[i]);
            own.resize(ways.len(), observed);
            again.extend((from..ways.len()).map(|at| at > from));
            of_change.push((from, ways.len()));
        }
        let windows = changes.windows.as_ref().map(|w| Arc::new(w.gather(&at)));
        let flow = Flow { batch: batch.finish(), rows: changes.rows_of(&at), windows, ..Flow::default() };
        Self { flow, ways, times, own, again, of_change }
    }
}

/// Folds moves; gives the groups that they have changed.
fn fold(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    moves: &Moves,
    range: core::ops::Range<usize>,
) -> Result<Vec<Slot>, Verdict> {
    if let Fold::Count(_) = step.aggregate.spec.fold {
        return count(cx, step, moves, range);
    }
    let mut last: HashMap<Slot, (usize, Way), FixedState> = HashMap::default();
    let mut rounds: Vec<(Way, Vec<(Member, Slot)>)> = Vec::new();
    for at in range {
        let (key, way) = (group_key(step.aggregate, &moves.flow, at), moves.ways[at]);
        let slot = step.store.locate(ground(cx, step.aggregate.store), None, hash(&key), &key)?;
        let (round, before) = *last.entry(slot).or_insert((usize::from(way == Way::In), way));
        let round = if before == way { round } else { round + 1 };
        last.insert(slot, (round, way));
        while rounds.len() <= round {
            let way = if rounds.len().is_multiple_of(2) { Way::Out } else { Way::In };
            rounds.push((way, Vec::new()));
        }
        rounds[round].1.push((Member { record: at as u32, mark: None }, slot));
    }
    let (mut touched, mut out, mut times) = (Vec::new(), Vec::new(), Cow::Borrowed(&moves.times[..]));
    for (way, mut members) in rounds {
        if way == Way::Out {
            // A group that has no state has nothing that could be taken out.
            members.retain(|(_, slot)| step.store.entry(*slot).1.state().is_some());
            out = members.iter().map(|(member, _)| member.record).collect();
        } else {
            keep_times(step, moves, &out, &members, &mut times);
        }
        let members: Vec<Member> = members.into_iter().map(|(member, _)| member).collect();
        if members.is_empty() {
            continue;
        }
        let chosen = Chosen { members: &members, own: &moves.own, base: 0 };
        touched.extend(stage_way(cx, step, &moves.flow, chosen, way, Some(&times))?.apply(cx, step, &moves.flow)?);
    }
    touched.sort_unstable();
    touched.dedup();
    Ok(touched)
}

/// A group that a change empties and fills again keeps its time: for others there is one update, of a group that was there all along.
/// `out`: what was taken out in the round before.
fn keep_times(
    step: &Step<'_>,
    moves: &Moves,
    out: &[u32],
    members: &[(Member, Slot)],
    times: &mut Cow<'_, [Timestamp]>,
) {
    for (member, slot) in members {
        let (at, entry) = (member.record as usize, step.store.entry(*slot).1);
        if moves.again[at] && entry.state().is_none() && out.binary_search(&(member.record - 1)).is_ok() {
            times.to_mut()[at] = times[at].max(entry.timestamp);
        }
    }
}

/// The built-in count, which refuses nothing.
fn count(
    cx: &Cx<'_, '_>,
    step: &mut Step<'_>,
    moves: &Moves,
    range: core::ops::Range<usize>,
) -> Result<Vec<Slot>, Verdict> {
    let (aggregate, store) = (step.aggregate, &mut *step.store);
    let ground = ground(cx, aggregate.store);
    let mut touched = Vec::new();
    for at in range {
        let (key, time) = (group_key(aggregate, &moves.flow, at), moves.times[at]);
        let hash = hash(&key);
        let slot = match moves.ways[at] {
            Way::In => store.count(ground, None, hash, &key, time)?,
            Way::Out => store.uncount(ground, hash, &key, time)?,
        };
        if store.entry(slot).1.state().is_some() {
            touched.push(slot);
        }
    }
    touched.sort_unstable();
    touched.dedup();
    Ok(touched)
}
