//! The general operator: a function with stores, timers and named outputs.
//!
//! A batch is taken in stretches. What is due when a record moves time fires before the function sees the record, and a stretch ends
//! before the next record at which something is due:
//!
//! ```text
//! records   1   2   3   4   5   6           a timer is due at 3, the call over 3..6 sets one that is due at 5
//! calls    [1   2] fire [3   4] fire [5   6]
//! ```
//!
//! A call sets timers for all of its records at once. Where one of them would have been due before a later record of the call, the
//! call is taken back and made again with the records before that one: it gives what its records would have given one by one.
//!
//! A record that is refused has not come. What it wrote cannot be told from what others of its call wrote, so the call is made again
//! without it; what fired because it had moved time is taken back too. So everything that a stretch does
//! is held here, and taken back to a mark, until it is certain.

mod call;
mod desk;
mod fire;
mod layouts;
mod timeline;
mod ttl;

pub use desk::{
    RANGE_ENTRIES_MAX, READ_BYTES_MAX, Spent, TIMER_NAME_BYTES_MAX, TIMERS_PER_CALL_MAX, WRITTEN_BYTES_MAX,
    range_too_large,
};
pub use fire::FIRINGS_IN_A_ROW_MAX;
pub use layouts::CALLS_AGAIN_MAX;
pub use ttl::{Kept, SWEEP_ENTRIES_MIN, SWEEP_ENTRIES_PER_WRITE, TTL_STEPS};

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::aggregate::{self, ground};
use super::clock::{ByUpstream, Observed, Walk};
use super::migrate::Of;
use super::migrate::sweep::{Sweep, wanted};
use super::stateless::join;
use super::{Active, Cx, Ports};
use crate::decode::Row;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{Flow, NO_ROW};
use crate::function::{Answer, Fault, Interface, Output, Rejection, TimerClock};
use crate::poll::BATCH_RECORDS_MAX;
use crate::record::Timestamp;
use crate::state::entries::{self, Entries};
use crate::state::store::{Change, Ground};
use crate::state::timers::{self, Timers};
use crate::time::NEVER;
use crate::topology::graph::{Node, ProcessNode};

use desk::{Desk, Ended};
use fire::Letter;
use layouts::{Others, Times};
use timeline::Timeline;
use ttl::{Age, same_step};

const EVENT: u8 = TimerClock::EventTime as u8;
const WALL: u8 = TimerClock::WallClock as u8;

/// A processor's state in a task.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// How far it has come. What an aggregate has closed is here closing time when it was first known.
    pub times: aggregate::Times,
    /// What there is to do about entries in another layout.
    pub sweep: Sweep,
    stores: Vec<Entries>,
    timers: Timers,
    /// How many records, and how many timers, a call is given: fewer after calls that had to be made again. Results do not depend
    /// on it.
    records_at_once: usize,
    timers_at_once: usize,
}

impl State {
    /// Opens the stores of a processor.
    pub fn open(
        process: &ProcessNode,
        times: aggregate::Times,
        ports: &Ports<'_>,
        of: &[Of<'_>],
        active: &[Active],
    ) -> Result<Self, Verdict> {
        let ground = |n: usize| Ground { db: ports.db, space: ports.spaces[process.store + n], prefix: ports.prefix };
        let count = process.spec.stores.len();
        let stores = (0..count).map(|n| Entries::open(ground(n))).collect::<Result<_, _>>()?;
        let timers = Timers::open(ground(count))?;
        let (records_at_once, timers_at_once) = (BATCH_RECORDS_MAX, BATCH_RECORDS_MAX);
        let wanted = wanted(&*ports.functions, active[process.function].prepared);
        let sweep = of.first().map(|first| Sweep::towards(wanted, first, active)).unwrap_or_default();
        Ok(Self { times, sweep, stores, timers, records_at_once, timers_at_once })
    }

    /// Whether something may still come out by event time.
    pub fn has_event_timers(&self) -> bool {
        self.timers.not_before(EVENT).is_some()
    }

    /// Whether something comes out by the wall clock now.
    pub fn is_due(&self, wall: Timestamp) -> bool {
        self.timers.not_before(WALL).is_some_and(|due| due <= wall)
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.stores.iter().map(Entries::bytes).sum::<usize>() + self.timers.bytes()
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.stores.iter().map(Entries::changed_bytes).sum::<usize>() + self.timers.changed_bytes()
    }

    /// Lets go of what the database has, when a store holds more than `limit_bytes`.
    pub fn shrink(&mut self, limit_bytes: usize) {
        self.stores.iter_mut().for_each(|store| store.shrink(limit_bytes));
        self.timers.shrink(limit_bytes);
    }

    /// The changes of the interval, by store.
    pub fn take_changes(&mut self) -> Vec<Vec<Change>> {
        let named = self.stores.iter_mut().map(Entries::take_changes);
        let mut changes: Vec<Vec<Change>> = named.collect();
        changes.push(self.timers.take_changes());
        changes
    }
}

/// A processor at work: its place in the plan beside its state.
pub(crate) struct Step<'s> {
    pub node: &'s Node,
    pub process: &'s ProcessNode,
    pub state: &'s mut State,
}

/// Takes a batch in; gives what comes out, by output. `rows`: what the rows of the polled batch say of time.
pub(crate) fn process(
    cx: &mut Cx<'_, '_>,
    step: &mut Step<'_>,
    flow: &Flow,
    rows: &[Row],
) -> Result<Vec<Flow>, Verdict> {
    match step.state.times.clock.clone() {
        Some(clock) => take(cx, step, flow, ByUpstream::new(flow, rows, clock)),
        None if flow.is_empty() => Ok((0..step.node.ports).map(|_| cx.empty.clone()).collect()),
        None => {
            let walk = Observed::new(flow, step.state.times.observed, true);
            take(cx, step, flow, walk)
        }
    }
}

/// At the end of an interval: what is due by the wall clock fires, each timer at most once; entries that are too old go; a sweep looks at so
/// many rows.
pub(crate) fn end_interval(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, sweep_rows: usize) -> Result<Vec<Flow>, Verdict> {
    let empty = cx.empty.clone();
    let mut run = Run::new(cx, step, &empty);
    let closing = run.state.times.closing();
    if run.state.is_due(run.cx.now.wall) {
        run.fire_wall(closing)?;
        run.settle()?;
    }
    run.sweep(closing)?;
    run.sweep_layouts(sweep_rows)?;
    Ok(run.finish())
}

/// What came of asking the function for a stretch of records.
struct Asked {
    /// Records up to here were dealt with.
    until: usize,
    /// Those of them that were refused, and why.
    refused: Vec<(usize, Reason, String)>,
}

/// To where everything can be taken back.
struct Mark {
    held: HeldMark,
    pieces: Vec<usize>,
    letters: usize,
    fired: u64,
}

/// To where stores and timers can be taken back, the time that was known first, and the calls that led there.
struct HeldMark {
    stores: Vec<entries::Mark>,
    timers: timers::Mark,
    first: Timestamp,
    calls: u64,
}

/// A batch on its way.
struct Run<'r, 's, 'a, 'p> {
    cx: &'r mut Cx<'a, 'p>,
    node: &'s Node,
    process: &'s ProcessNode,
    state: &'r mut State,
    flow: &'r Flow,
    active: Active,
    /// Layout of what its function stores.
    layout: u32,
    /// The function exports `on-timer`.
    fires: bool,
    pieces: Vec<Vec<Flow>>,
    /// About what was refused and is not told of yet.
    letters: Vec<Letter>,
    /// Calls of `fire` that stand.
    fired: u64,
}

fn take<W: Walk>(cx: &mut Cx<'_, '_>, step: &mut Step<'_>, flow: &Flow, walk: W) -> Result<Vec<Flow>, Verdict> {
    let mut refused: BTreeMap<usize, (Reason, String)> = BTreeMap::new();
    let timeline = |refused: &BTreeMap<usize, _>| Timeline::new(flow, walk.clone(), |i| refused.contains_key(&i));
    let mut run = Run::new(cx, step, flow);
    let mut line = timeline(&refused);
    let (mut at, mut passed, start) = (0, 0, run.state.times.closing());
    loop {
        let (mark, before) = (run.mark(), passed);
        while passed < line.steps_until(at) {
            let since = passed.checked_sub(1).map_or(start, |before| line.passed.steps[before].1);
            let (row, closing) = line.passed.steps[passed];
            run.fire_due(row, since, closing)?;
            passed += 1;
        }
        if at == flow.len() {
            break;
        }
        let until = if let Some((reason, message)) = refused.get(&at) {
            run.letters.push(Letter::record(at, *reason, message.clone()));
            at + 1
        } else {
            // What has been due since before this batch, which only a changed manifest brings about.
            run.fire_due(flow.row(at), line.closing[at], line.closing[at])?;
            let asked = run.ask(&line, at)?;
            let head = asked.refused.first().filter(|(i, ..)| *i == at && line.moved[at] && run.fired != mark.fired);
            if let Some((_, reason, message)) = head {
                refused.insert(at, (*reason, message.clone()));
                run.take_back(mark);
                (line, passed) = (timeline(&refused), before);
                continue;
            }
            let moved = asked.refused.iter().any(|(i, ..)| line.moved[*i]);
            for (i, reason, message) in asked.refused {
                refused.insert(i, (reason, String::new()));
                run.letters.push(Letter::record(i, reason, message));
            }
            if moved {
                line = timeline(&refused);
            }
            asked.until
        };
        passed = line.steps_until(until - 1);
        at = until;
        run.fire_due(flow.row(at - 1), line.closing[at - 1], line.closing[at - 1])?;
        run.settle()?;
    }
    run.settle()?;
    run.state.times.pass(flow, &mut line.passed);
    Ok(run.finish())
}

impl<'r, 's, 'a, 'p> Run<'r, 's, 'a, 'p> {
    fn new(cx: &'r mut Cx<'a, 'p>, step: &'r mut Step<'s>, flow: &'r Flow) -> Self {
        let active = cx.active[step.process.function];
        let (functions, prepared) = (&*cx.ports.functions, active.prepared);
        let (layout, fires) = (functions.layout(prepared), functions.exports(prepared, Interface::OnTimer));
        let pieces = (0..step.node.ports).map(|_| Vec::new()).collect();
        let (node, process) = (step.node, step.process);
        Self {
            cx,
            node,
            process,
            state: step.state,
            flow,
            active,
            layout,
            fires,
            pieces,
            letters: Vec::new(),
            fired: 0,
        }
    }

    fn finish(self) -> Vec<Flow> {
        self.pieces.into_iter().map(join).collect()
    }

    /// The time for entries in a call at this time, which may be the first that is known.
    fn age(&mut self, now: Timestamp) -> Age {
        let first = &mut self.state.times.closed;
        if *first == NEVER {
            *first = now;
        }
        Age { now, first: *first }
    }

    fn mark(&self) -> Mark {
        Mark {
            held: self.held_mark(),
            pieces: self.pieces.iter().map(Vec::len).collect(),
            letters: self.letters.len(),
            fired: self.fired,
        }
    }

    fn take_back(&mut self, mark: Mark) {
        self.take_back_held(&mark.held);
        self.pieces.iter_mut().zip(mark.pieces).for_each(|(pieces, len)| pieces.truncate(len));
        self.letters.truncate(mark.letters);
        self.fired = mark.fired;
    }

    fn held_mark(&self) -> HeldMark {
        let stores = self.state.stores.iter().map(Entries::mark).collect();
        let (timers, calls) = (self.state.timers.mark(), self.cx.ports.functions.calls_made());
        HeldMark { stores, timers, first: self.state.times.closed, calls }
    }

    fn take_back_held(&mut self, mark: &HeldMark) {
        self.state.stores.iter_mut().zip(&mark.stores).for_each(|(store, mark)| store.take_back(*mark));
        self.state.timers.take_back(mark.timers);
        self.state.times.closed = mark.first;
        self.cx.ports.functions.calls_taken_back(mark.calls);
    }

    /// Nothing so far will be taken back: what was refused is told of.
    fn settle(&mut self) -> Result<(), Verdict> {
        self.state.stores.iter_mut().for_each(Entries::settle);
        self.state.timers.settle();
        self.cx.ports.functions.calls_stand();
        let letters = core::mem::take(&mut self.letters);
        letters.into_iter().try_for_each(|letter| self.send(&letter))
    }

    fn timers_ground(&self) -> Ground<'a> {
        ground(self.cx, self.process.store + self.process.spec.stores.len())
    }

    /// Calls the function through `call`, with its stores and timers at hand. What it wrote stands, also when it failed.
    fn call_once<T>(
        &mut self,
        Times { now, closing, row }: Times,
        call: &mut dyn FnMut(&mut Cx<'a, 'p>, Active, &mut Desk<'_>) -> Answer<T>,
    ) -> Result<Result<Called<T>, Others>, Verdict> {
        let age = self.age(now);
        let (specs, first) = (&self.process.spec.stores, self.process.store);
        let (db, prefix, spaces) = (self.cx.ports.db, self.cx.ports.prefix, self.cx.ports.spaces);
        let (planned, all) = (&self.cx.sub.stores, first..=first + specs.len());
        let mut desk = Desk {
            node: self.node,
            partition: self.cx.partition,
            db,
            prefix,
            spaces: &spaces[all.clone()],
            planned: &planned[all],
            specs,
            stores: &mut self.state.stores,
            timers: &mut self.state.timers,
            layout: self.layout,
            age,
            closing,
            row,
            fires: self.fires,
            ended: None,
            earliest: None,
            spent: Spent::default(),
            event_changes: 0,
        };
        let answer = call(self.cx, self.active, &mut desk);
        let Desk { ended, earliest, event_changes, spent, .. } = desk;
        let answer = match ended {
            Some(Ended::Task(verdict)) => return Err(verdict),
            Some(Ended::Function(fault)) => Err(fault),
            Some(Ended::Layouts(store, keys)) => return Ok(Err(Others { store, keys })),
            None => answer,
        };
        Ok(Ok(Called { answer, earliest, wrote: spent.any(), changed_timers: event_changes > 0 }))
    }

    /// Removes entries that are too old, some of them.
    fn sweep(&mut self, closing: Timestamp) -> Result<(), Verdict> {
        let (first, age) = (self.process.store, Age { now: closing, first: self.state.times.closed });
        for (number, (store, spec)) in self.state.stores.iter_mut().zip(&self.process.spec.stores).enumerate() {
            if spec.ttl_ms.is_some() {
                let entries_max = SWEEP_ENTRIES_MIN.max(SWEEP_ENTRIES_PER_WRITE * store.changed());
                let ages = age.of(spec);
                store.sweep(ground(self.cx, first + number), entries_max, &|written| ages.is_old(written))?;
            }
        }
        Ok(())
    }
}

/// What a call gave, and what it did.
struct Called<T> {
    answer: Result<T, Fault>,
    /// It has written to a store, or set or cancelled a timer.
    wrote: bool,
    /// It has set or cancelled a timer of event time.
    changed_timers: bool,
    /// The earliest event time for which it has set one.
    earliest: Option<Timestamp>,
}

/// The first of those that a call refused, where what it wrote cannot be told from what it wrote for the others.
fn first_refused(output: &mut Output, wrote: bool) -> Option<Rejection> {
    let first = output.rejected.iter().enumerate().min_by_key(|(_, r)| r.index).map(|(at, _)| at)?;
    wrote.then(|| output.rejected.swap_remove(first))
}

/// Whether records at these closing times may be in one call.
fn may_share(process: &ProcessNode, a: Timestamp, b: Timestamp) -> bool {
    same_step(&process.spec.stores, a, b)
}

/// Where a walk stands that came out between batches.
const BETWEEN: u32 = NO_ROW;
