//! Tables with history: rows can be looked up as they were. What a row is, is its version with the largest timestamp, whichever came last;
//! a change that comes behind a newer version is one of the history alone, and marked as such.
//!
//! A record that is older than the history is late. Which version is where is in [`crate::state::versions`].

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::Cx;
use super::super::aggregate::{Times, ground, leave_to};
use super::super::clock::{ByUpstream, Observed, Walk};
use super::write::{STORED_BYTES, row_key};
use super::{State, changes};
use crate::decode::Row;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{Flow, Olds};
use crate::limits::Refusal;
use crate::record::Timestamp;
use crate::state::history::{History, VERSIONS_ENDED_MAX};
use crate::state::key::version;
use crate::state::store::Ground;
use crate::state::version::VERSION_BYTES;
use crate::state::versions::Versions;
use crate::time::NEVER;
use crate::topology::graph::{HistoryNode, Node, TableNode};

/// The history of a table in a task.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    pub times: Times,
    pub history: History,
    /// How long it is, milliseconds.
    history_ms: i64,
    /// What the batch at hand has put, by row's key, in order.
    puts: BTreeMap<Vec<u8>, Vec<BatchPut>>,
    /// Closing time before the batch, and the rows at which it moved.
    before: Timestamp,
    steps: Vec<(u32, Timestamp)>,
}

/// A version that the batch at hand has put.
#[derive(Clone, Debug)]
struct BatchPut {
    row: u32,
    began: Timestamp,
    /// The version that it has replaced.
    replaced: Option<Option<Vec<u8>>>,
}

impl Past {
    /// Opens the history of a table.
    pub fn open(node: &HistoryNode, times: Times, ground: Ground<'_>) -> Result<Self, Verdict> {
        let (puts, before, steps, history_ms) = (BTreeMap::new(), times.closing(), Vec::new(), node.history_ms);
        Ok(Self { times, history: History::open(ground)?, history_ms, puts, before, steps })
    }

    /// The time below which nothing is known but the latest, at this closing time.
    fn bound(&self, closing: Timestamp) -> Timestamp {
        if closing == NEVER { NEVER } else { closing.saturating_sub(self.history_ms) }
    }

    /// Why a record is too old to be put, if it is.
    fn why_late(&self, time: Timestamp, own: Timestamp, closing: Timestamp) -> Option<Reason> {
        match time {
            _ if time < self.bound(own) => Some(Reason::Late),
            _ if time < self.bound(closing) => Some(Reason::LateAfterIdle),
            _ => None,
        }
    }

    /// Another batch begins.
    fn begin(&mut self) {
        self.puts.clear();
        self.steps.clear();
        self.before = self.times.closing();
    }

    /// At the end of an interval: lets versions go that nobody can look up any more.
    fn end_interval(&mut self, ground: Ground<'_>) -> Result<(), Verdict> {
        let bound = self.bound(self.times.closing());
        Ok(self.history.let_go(ground, bound, VERSIONS_ENDED_MAX)?)
    }

    /// The time below which nothing was known but the latest, behind all rows of the batch below `row`.
    pub fn bound_at(&self, row: u32) -> Timestamp {
        let passed = self.steps.partition_point(|(at, _)| *at < row);
        self.bound(passed.checked_sub(1).map_or(self.before, |last| self.steps[last].1))
    }

    /// What rows of the batch from `row` on have put for a row, which had not come yet then: of each time the first, with what it has
    /// replaced.
    pub fn undone(&self, who: &[u8], row: u32) -> Vec<(Timestamp, Option<Option<Vec<u8>>>)> {
        let mut undone: Vec<(Timestamp, Option<Option<Vec<u8>>>)> = Vec::new();
        for put in self.puts.get(who).into_iter().flatten().filter(|put| put.row >= row) {
            if undone.iter().all(|(began, _)| *began != put.began) {
                undone.push((put.began, put.replaced.clone()));
            }
        }
        undone
    }
}

/// Puts changes, all of which have a key, into the rows and their history; gives them with what the latest was before. `ends`: an interval
/// ends.
pub(super) fn write(
    cx: &mut Cx<'_, '_>,
    (node, table, history): (&Node, &TableNode, &HistoryNode),
    state: &mut State,
    flow: &Flow,
    rows: &[Row],
    ends: bool,
) -> Result<Flow, Verdict> {
    let Some(past) = &mut state.past else { unreachable!("opened by the same plan") };
    past.begin();
    if ends {
        past.end_interval(ground(cx, table.store))?;
    }
    match past.times.clock.clone() {
        Some(clock) => take(cx, (node, table, history), state, flow, ByUpstream::new(flow, rows, clock)),
        None if flow.is_empty() => Ok(cx.empty.clone()),
        None => {
            let walk = Observed::new(flow, past.times.observed, true);
            take(cx, (node, table, history), state, flow, walk)
        }
    }
}

fn take<W: Walk>(
    cx: &mut Cx<'_, '_>,
    (node, table, history): (&Node, &TableNode, &HistoryNode),
    state: &mut State,
    flow: &Flow,
    mut walk: W,
) -> Result<Flow, Verdict> {
    let Some(past) = &mut state.past else { unreachable!("opened by the same plan") };
    let ground = ground(cx, table.store);
    let (mut old, mut told) = (Olds::default(), Vec::with_capacity(flow.len()));
    let (mut too_large, mut late) = (Vec::new(), Vec::new());
    for i in 0..flow.len() {
        let (key, value) = (row_key(table.by_window, flow, i), flow.batch.values.get(i));
        if let Some(refusal) = refusal(cx, table.store, &key, value) {
            too_large.push((i, refusal));
            continue;
        }
        let time = flow.batch.timestamps[i];
        let (own, closing) = walk.enter(i);
        if let Some(reason) = past.why_late(time, own, closing) {
            late.push((i, reason));
            continue;
        }
        let mut versions = Versions { rows: &mut state.store, history: &mut past.history, ground };
        let put = versions.put(&key, time, value)?;
        old.push(put.old.as_ref().map(|(value, since)| (&value[..], *since)));
        old.behind.push(!put.is_latest);
        told.push(i as u32);
        let put = BatchPut { row: flow.row(i), began: time, replaced: put.replaced };
        past.puts.entry(key.into_owned()).or_default().push(put);
    }
    let mut passed = walk.finish();
    past.steps.clone_from(&passed.steps);
    past.times.pass(flow, &mut passed);
    for (i, reason) in late {
        leave_to(cx, node, history.late, flow, i, reason)?;
    }
    for (i, refusal) in too_large {
        let message = alloc::format!("the changelog of the table: {refusal}");
        cx.refuse(node, None, flow, i, refusal.reason(), &message)?;
    }
    let flow = changes(flow, table.by_window, &told);
    Ok(Flow { old: Some(Arc::new(old)), ..flow })
}

/// Why the changelog would not take a row, or what it was once another version follows.
fn refusal(cx: &Cx<'_, '_>, store: usize, key: &[u8], value: Option<&[u8]>) -> Option<Refusal> {
    let limits = cx.sub.stores[store].limits;
    let max = limits.record_bytes_max?;
    let payload = value.map_or(0, <[u8]>::len);
    let (row, was) = (key.len() + STORED_BYTES + payload, version(b"", key, 0).len() + VERSION_BYTES + payload);
    let bytes = limits.record_bytes(row.max(was), []);
    (bytes > max).then_some(Refusal::TooLarge { bytes, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(history_ms: i64) -> Past {
        Past {
            times: Times { observed: NEVER, closed: NEVER, clock: None },
            history: History::default(),
            history_ms,
            puts: BTreeMap::new(),
            before: NEVER,
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_bound_is_inclusive_and_moves_with_the_rows() {
        let past = Past { before: 10, steps: alloc::vec![(2, 20), (2, 30), (5, 40)], ..past(3) };
        let at: Vec<Timestamp> = [0, 2, 3, 5, 6].into_iter().map(|row| past.bound_at(row)).collect();
        assert_eq!(at, [7, 7, 27, 27, 37]);
        assert_eq!((past.why_late(7, 10, 10), past.why_late(6, 10, 10)), (None, Some(Reason::Late)));
        assert_eq!((past.why_late(6, 9, 10), past.why_late(0, NEVER, NEVER)), (Some(Reason::LateAfterIdle), None));
    }

    #[test]
    fn the_ends_of_time_are_times_too() {
        assert_eq!(
            (past(0).bound(NEVER), past(i64::MAX).bound(0), past(0).bound(i64::MAX)),
            (NEVER, -i64::MAX, i64::MAX)
        );
    }
}
