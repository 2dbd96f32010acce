//! A stream joined with a table that has history, whose records wait for the table: each is joined when time has come as far as its own time
//! and the grace, with what the table was at its time. Records come out in order of time, key and arrival, before the one that moved time; one
//! that comes when that has passed already is joined at once.
//!
//! ```text
//! stream    ●a@10             ●b@13    ●c@16       grace 3: a comes out with b, b with c
//! table            ○A@9                            a finds A, though A came later
//! ```

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::Side;
use super::look::Then;
use super::pairs::{Pair, Pairs};
use super::stream::droppable;
use crate::decode::Row;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow, NO_ROW};
use crate::limits::Refusal;
use crate::operator::aggregate::{Times, ground};
use crate::operator::clock::{ByUpstream, Observed, Walk};
use crate::operator::table::row_key;
use crate::operator::{Cx, Ports};
use crate::record::{Header, Timestamp};
use crate::state::buffer::{self, Buffer, Ended};
use crate::state::key::{split_windowed_group, waiting};
use crate::state::store::{Change, Ground};
use crate::state::waiting::{form, open};
use crate::time::NEVER;
use crate::topology::graph::{JoinNode, Node, WaitNode};
use crate::topology::spec::JoinKind;

/// The side of all records that wait.
const SIDE: buffer::Side = buffer::Side::Left;

/// Such a join's state in a task.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub times: Times,
    buffer: Buffer,
}

impl State {
    /// Opens the store of a join.
    pub fn open(wait: &WaitNode, times: Times, ports: &Ports<'_>) -> Result<Self, Verdict> {
        let ground = Ground { db: ports.db, space: ports.spaces[wait.store], prefix: ports.prefix };
        Ok(Self { times, buffer: Buffer::open(ground)? })
    }

    /// Whether a record waits.
    pub fn holds(&self) -> bool {
        self.buffer.not_before(SIDE).is_some()
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.buffer.bytes()
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.buffer.changed_bytes()
    }

    /// Lets go of what the database has, when the store holds more than `limit_bytes`.
    pub fn shrink(&mut self, limit_bytes: usize) {
        self.buffer.shrink(limit_bytes);
    }

    /// The changes of the interval.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.buffer.take_changes()
    }
}

/// A join at work: its place in the plan.
#[derive(Clone, Copy)]
pub(crate) struct Step<'s> {
    pub node: &'s Node,
    pub join: &'s JoinNode,
    pub wait: &'s WaitNode,
}

/// Takes a stream's records in; gives what comes out. `rows`: what the rows of the polled batch say of time. `flush`: all wait no longer.
pub(crate) fn delayed(
    cx: &mut Cx<'_, '_>,
    step: Step<'_>,
    state: &mut State,
    (records, rows): (&Flow, &[Row]),
    table: Side<'_>,
    flush: bool,
) -> Result<Flow, Verdict> {
    let Some(table) = Then::of(table) else { unreachable!("only a table with history is waited for, by the plan") };
    let State { times, buffer } = state;
    let mut run = Run { cx, step, buffer, table, pairs: Pairs::default() };
    match times.clock.clone() {
        Some(clock) => run.take(times, records, ByUpstream::new(records, rows, clock))?,
        None if records.is_empty() => {}
        None => {
            let observed = times.observed;
            run.take(times, records, Observed::new(records, observed, true))?;
        }
    }
    if flush {
        run.end(Timestamp::MAX, NO_ROW)?;
    }
    run.finish()
}

/// A batch on its way.
struct Run<'r, 's, 'a, 'p> {
    cx: &'r mut Cx<'a, 'p>,
    step: Step<'s>,
    buffer: &'r mut Buffer,
    table: Then<'r>,
    pairs: Pairs,
}

impl Run<'_, '_, '_, '_> {
    fn take<W: Walk>(&mut self, times: &mut Times, records: &Flow, mut walk: W) -> Result<(), Verdict> {
        let (outer, mut done) = (self.step.join.kind != JoinKind::Inner, 0);
        for i in 0..records.len() {
            if let Some(reason) = droppable(records, i, outer) {
                self.cx.out.dropped(&self.step.node.name, reason);
                continue;
            }
            if let Some(refusal) = self.too_large(records, i) {
                let message = format!("the changelog of the join: {refusal}");
                self.pairs.flush(self.cx, self.step.node, Some(self.step.join.function))?;
                self.cx.refuse(self.step.node, None, records, i, refusal.reason(), &message)?;
                continue;
            }
            let (_, closing) = walk.enter(i);
            self.due(&walk.steps()[done..])?;
            done = walk.steps().len();
            let time = records.batch.timestamps[i];
            if records.batch.keys.is_null(i) || self.step.wait.is_due(time, closing) {
                self.at_once(records, i)?;
            } else {
                self.wait(records, i)?;
            }
        }
        let mut passed = walk.finish();
        self.due(&passed.steps[done..])?;
        times.pass(records, &mut passed);
        times.closed = times.closed.max(passed.closing);
        Ok(())
    }

    /// Ends the waiting of those that are due at each step of closing time.
    fn due(&mut self, steps: &[(u32, Timestamp)]) -> Result<(), Verdict> {
        steps.iter().try_for_each(|(row, closing)| self.end(self.step.wait.due_below(*closing), *row))
    }

    /// Joins those whose time is below a bound, with what the table was, as far as that is known behind a row.
    fn end(&mut self, below: Timestamp, row: u32) -> Result<(), Verdict> {
        if self.buffer.not_before(SIDE).is_none_or(|first| first >= below) {
            return Ok(());
        }
        let JoinNode { kind, by_window, function, .. } = *self.step.join;
        let wait = self.step.wait;
        for Ended { time, who, alone, .. } in self.buffer.end(ground(self.cx, wait.store), SIDE, below)? {
            let why = || Verdict::Corrupted("a record that waits has a form this version does not know".to_string());
            let record = alone.as_deref().and_then(open).ok_or_else(why)?;
            let found = self.table.at(self.cx, &who, time, row + 1)?;
            if found.is_none() && kind == JoinKind::Inner {
                continue;
            }
            let (key, window) = match split_windowed_group(&who) {
                Some((key, start, end)) if by_window => (key, Some((start, end)).filter(|_| start != NEVER)),
                _ => (&who[..], None),
            };
            let (key, own, other, row) = (Some(key), record.value, found.as_deref(), row | DERIVED);
            self.pairs.push(&Pair { side: SIDE, key, own, other, time, row, window }, record.headers);
            if self.pairs.is_full() {
                self.pairs.flush(self.cx, self.step.node, Some(function))?;
            }
        }
        Ok(())
    }

    /// Joins a record that does not wait; without a key there is nothing to wait for.
    fn at_once(&mut self, records: &Flow, i: usize) -> Result<(), Verdict> {
        let JoinNode { kind, by_window, function, .. } = *self.step.join;
        let (key, time) = (records.batch.keys.get(i), records.batch.timestamps[i]);
        let found = match key {
            None => None,
            Some(_) => self.table.at(self.cx, &row_key(by_window, records, i), time, records.row(i) + 1)?,
        };
        if found.is_none() && kind == JoinKind::Inner {
            return Ok(());
        }
        let pair = Pair {
            side: SIDE,
            key,
            own: records.batch.values.get(i).unwrap_or_default(),
            other: found.as_deref(),
            time,
            row: records.origin(i).unwrap_or(records.row(i) | DERIVED),
            window: records.window(i).filter(|_| by_window),
        };
        self.pairs.push(&pair, headers(records, i));
        if self.pairs.is_full() { self.pairs.flush(self.cx, self.step.node, Some(function)) } else { Ok(()) }
    }

    fn wait(&mut self, records: &Flow, i: usize) -> Result<(), Verdict> {
        let (who, value) = (row_key(self.step.join.by_window, records, i), records.batch.values.get(i));
        let record = form(true, headers(records, i).collect(), value.unwrap_or_default());
        let (ground, time) = (ground(self.cx, self.step.wait.store), records.batch.timestamps[i]);
        Ok(self.buffer.add(ground, SIDE, &who, time, record)?)
    }

    /// Why the changelog would not take a record that is to wait.
    fn too_large(&self, records: &Flow, i: usize) -> Option<Refusal> {
        let limits = self.cx.sub.stores[self.step.wait.store].limits;
        let (max, value) = limits.record_bytes_max.zip(records.batch.values.get(i))?;
        if records.batch.keys.is_null(i) {
            return None;
        }
        let key = waiting(b"", SIDE as u8, &row_key(self.step.join.by_window, records, i), 0, 0);
        let bytes = limits.record_bytes(key.len() + form(true, headers(records, i).collect(), value).len(), []);
        (bytes > max).then_some(Refusal::TooLarge { bytes, max })
    }

    fn finish(mut self) -> Result<Flow, Verdict> {
        self.pairs.flush(self.cx, self.step.node, Some(self.step.join.function))?;
        Ok(self.pairs.results(self.cx.empty))
    }
}

fn headers(records: &Flow, i: usize) -> impl Iterator<Item = Header<'_>> {
    records.batch.headers.iter().flat_map(move |headers| headers.of(i))
}

impl WaitNode {
    /// Whether a record of this time does not wait any more at `closing`: the grace after its time has come.
    fn is_due(&self, time: Timestamp, closing: Timestamp) -> bool {
        closing != NEVER && time <= closing.saturating_sub(self.grace_ms)
    }

    /// Every record that waits and is older than this is due at `closing`. One at the end of time never waits in vain: it is due at once, or
    /// never.
    fn due_below(&self, closing: Timestamp) -> Timestamp {
        if closing == NEVER { NEVER } else { closing.saturating_sub(self.grace_ms).saturating_add(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::graph::TimeRule;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_due_lies_below_the_bound(grace_ms in 0i64..9, time in 0i64..30, closing in 0i64..30) {
            let wait = WaitNode { grace_ms, store: 0, time: TimeRule::Observed };
            prop_assert_eq!(wait.is_due(time, closing), time + grace_ms <= closing);
            prop_assert_eq!(wait.is_due(time, closing), time < wait.due_below(closing));
        }
    }

    #[test]
    fn a_record_is_due_when_the_grace_after_its_time_has_come_and_no_sooner() {
        let below = |grace_ms, closing| WaitNode { grace_ms, store: 0, time: TimeRule::Observed }.due_below(closing);
        assert_eq!((below(3, 10), below(0, 10), below(3, NEVER)), (8, 11, NEVER));
        assert_eq!((below(0, i64::MAX), below(i64::MAX, 0)), (i64::MAX, 1 - i64::MAX));
        let wait = WaitNode { grace_ms: 0, store: 0, time: TimeRule::Observed };
        assert!(wait.is_due(i64::MAX, i64::MAX) && !wait.is_due(0, NEVER));
    }
}
