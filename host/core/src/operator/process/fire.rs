//! Timers that are due. Those of one due time are taken out together and fire in the order of their keys and names: what one of them
//! does to another concerns the other's next firing. Then come those that are due next, among them what was set meanwhile.
//!
//! Several due times go into one call as long as the function changes no timer when it fires, since then none of them can be another's
//! matter.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::super::isolate::{self, Isolation, Work};
use super::super::stateless::{Rules, check_output, results_of};
use super::super::{Part, bad_result};
use super::layouts::Times;
use super::{BETWEEN, Called, EVENT, Run, WALL, first_refused, may_share};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow};
use crate::function::{Answer, Fault, Functions, Output, TimerClock};
use crate::poll::BATCH_RECORDS_MAX;
use crate::record::{BatchBuilder, Timestamp};
use crate::state::key::split_timer_who;
use crate::state::timers::Due;

/// How often a timer may fire in a row because each firing sets the next for a time that has passed: so many steps of a clock may
/// be made up for after a silence. A function that goes on is broken.
pub const FIRINGS_IN_A_ROW_MAX: u32 = 100_000;

/// About a record or a timer that was refused.
pub(super) enum Letter {
    Record { at: usize, reason: Reason, message: String },
    Timer { due: Due, reason: Reason, message: String },
}

impl Letter {
    pub fn record(at: usize, reason: Reason, message: String) -> Self {
        Letter::Record { at, reason, message }
    }
}

impl Run<'_, '_, '_, '_> {
    /// Fires what is due by event time when closing time has moved from `since` to `closing`, until nothing is.
    pub(super) fn fire_due(&mut self, row: u32, since: Timestamp, closing: Timestamp) -> Result<(), Verdict> {
        let mut now = since;
        while self.state.timers.not_before(EVENT).is_some_and(|due| due <= closing) {
            let (ground, enough) = (self.timers_ground(), self.state.timers_at_once);
            let mut due = self.state.timers.due(ground, EVENT, closing, enough)?;
            now = due.first().map_or(now, |due| now.max(due.at));
            // Entries have the age of then, so no call goes over a step in which they age.
            due.truncate(due.iter().take_while(|due| may_share(self.process, now, now.max(due.at))).count());
            if let Some(endless) = due.iter().find(|due| due.row > FIRINGS_IN_A_ROW_MAX) {
                return Err(self.broken(endless));
            }
            if !due.is_empty() {
                self.fire(TimerClock::EventTime, due, row, (now, closing))?;
            }
        }
        Ok(())
    }

    /// Fires what is due by the wall clock, each timer once, and what that makes due by event time.
    pub(super) fn fire_wall(&mut self, closing: Timestamp) -> Result<(), Verdict> {
        let (ground, wall) = (self.timers_ground(), self.cx.now.wall);
        let due = self.state.timers.due(ground, WALL, wall, usize::MAX)?;
        due.iter().try_for_each(|due| self.state.timers.set(ground, WALL, &due.who, None, 0))?;
        for due in due.chunks(BATCH_RECORDS_MAX) {
            self.fire(TimerClock::WallClock, due.to_vec(), BETWEEN, (closing, closing))?;
        }
        self.fire_due(BETWEEN, closing, closing)
    }

    fn broken(&self, due: &Due) -> Verdict {
        let reason = format!(
            "{} has fired {FIRINGS_IN_A_ROW_MAX} times in a row, each time setting a timer for a time that had passed",
            told(due)
        );
        Verdict::BrokenFunction { step: self.node.name.clone(), reason }
    }

    /// `times`: that for entries, and closing time.
    fn fire(
        &mut self,
        clock: TimerClock,
        due: Vec<Due>,
        row: u32,
        times: (Timestamp, Timestamp),
    ) -> Result<(), Verdict> {
        if let (false, Some(due)) = (self.fires, due.first()) {
            let reason = format!(
                "{}, and the function in force exports no `on-timer`; go back to a version that does",
                told(due)
            );
            return Err(Verdict::BrokenFunction { step: self.node.name.clone(), reason });
        }
        let (node, prepared, len) = (self.node, self.active.prepared, due.len());
        self.fired += 1;
        // By the wall clock they are taken out already.
        let removed = if clock == TimerClock::WallClock { len } else { 0 };
        let mut work = Firing { run: self, clock, due, row, times, removed, limit: len, changed: false };
        isolate::run(&mut work, &node.name, prepared, len)?;
        let changed = work.changed;
        if clock == TimerClock::EventTime {
            let at_once = if changed { 1 } else { self.state.timers_at_once * 2 };
            self.state.timers_at_once = at_once.min(BATCH_RECORDS_MAX);
        }
        Ok(())
    }

    /// Tells of what was refused, as `on-error` says.
    pub(super) fn send(&mut self, letter: &Letter) -> Result<(), Verdict> {
        let function = Some(self.process.function);
        match letter {
            Letter::Record { at, reason, message } => {
                self.cx.refuse(self.node, function, self.flow, *at, *reason, message)
            }
            // No record is to blame: key, name and due time are what there is.
            Letter::Timer { due, reason, message } => {
                let flow = timers_flow(core::slice::from_ref(due), BETWEEN);
                self.cx.refuse(self.node, function, &flow, 0, *reason, &format!("{}: {message}", told(due)))
            }
        }
    }
}

/// Timers as a function sees them, and as a dead letter has one: key, name, due time.
fn timers_flow(due: &[Due], row: u32) -> Flow {
    let mut batch = BatchBuilder::default();
    for due in due {
        let (key, name) = split_timer_who(&due.who).unwrap_or_default();
        batch.push(key.as_deref(), Some(name.as_bytes()), due.at, []);
    }
    Flow { batch: batch.finish(), rows: Some(Arc::new(vec![row | DERIVED; due.len()])), ..Flow::default() }
}

/// A timer, for people.
fn told(due: &Due) -> String {
    let (key, name) = split_timer_who(&due.who).unwrap_or_default();
    let whose = key.map_or("the task".to_string(), |key| format!("key {:?}", String::from_utf8_lossy(&key)));
    format!("timer `{name}` of {whose}, due at {}", due.at)
}

struct Firing<'w, 'r, 's, 'a, 'p> {
    run: &'w mut Run<'r, 's, 'a, 'p>,
    clock: TimerClock,
    due: Vec<Due>,
    row: u32,
    times: (Timestamp, Timestamp),
    /// Timers up to here are taken out.
    removed: usize,
    /// Timers from here on are not fired now: they may have been changed.
    limit: usize,
    /// The function has changed timers of event time.
    changed: bool,
}

enum Given {
    /// Nothing is asked any more.
    Nothing,
    Failed(Verdict),
    /// The first timer was refused, and nothing of the others counts.
    Refused(String),
    Output {
        answer: Box<(Output, Part)>,
        removed: usize,
        changed: bool,
    },
}

impl Firing<'_, '_, '_, '_, '_> {
    /// The end of those that are taken out together with one.
    fn together(&self, at: usize) -> usize {
        if self.clock == TimerClock::WallClock {
            return self.due.len();
        }
        at + self.due[at..].iter().take_while(|due| due.at == self.due[at].at).count()
    }

    /// Takes timers out up to `end`.
    fn remove(&mut self, end: usize) -> Result<usize, Verdict> {
        let (ground, first) = (self.run.timers_ground(), self.removed.min(end));
        for due in &self.due[first..end] {
            self.run.state.timers.set(ground, EVENT, &due.who, None, 0)?;
        }
        Ok(self.removed.max(end))
    }

    /// A timer is gone without a result.
    fn refuse(&mut self, at: usize, reason: Reason, message: String) -> Result<(), Verdict> {
        self.removed = self.remove(self.together(at))?;
        self.run.letters.push(Letter::Timer { due: self.due[at].clone(), reason, message });
        Ok(())
    }

    fn ask(&mut self, from: usize, to: usize) -> Result<Result<Given, Fault>, Verdict> {
        let mut to = to;
        loop {
            let mark = self.run.held_mark();
            let removed = self.remove(self.together(to - 1))?;
            let due = &self.due[from..to];
            let flow = timers_flow(due, self.row);
            let part = Part { stream_times: flow.batch.timestamps.to_vec(), flow };
            let (clock, row) = (self.clock, due.iter().map(|due| due.row).max().unwrap_or_default());
            let (now, closing) = self.times;
            let times = Times { now, closing, row };
            let called = self.run.at_desk(times, part.records().keys, &mut |cx, active, desk| {
                cx.ports.functions.fire(active.prepared, clock, part.records(), desk)
            })?;
            let Some(Called { answer, wrote, changed_timers: changed, .. }) = called else {
                // Not what was turned for it.
                self.run.state.timers.take_back(mark.timers);
                to = from + (to - from).div_ceil(2);
                continue;
            };
            let mut output = match answer.and_then(|output| check(output, to - from, self.run.node.ports)) {
                Ok(output) => output,
                Err(fault) => {
                    self.run.take_back_held(&mark);
                    return Ok(Err(fault));
                }
            };
            let taken = from + output.taken as usize;
            let mut stand = if changed { taken.min(self.together(from)) } else { taken };
            if let Some(refused) = first_refused(&mut output, wrote) {
                if refused.index == 0 {
                    self.run.take_back_held(&mark);
                    return Ok(Ok(Given::Refused(refused.reason)));
                }
                stand = stand.min(from + refused.index as usize);
            }
            if stand == taken && removed <= self.removed.max(self.together(taken - 1)) {
                return Ok(Ok(Given::Output { answer: Box::new((output, part)), removed, changed }));
            }
            self.run.take_back_held(&mark);
            self.changed |= changed;
            to = stand;
        }
    }
}

/// Checks what `fire` gave. A negative time cannot come of a due time.
fn check(output: Output, len: usize, ports: u32) -> Answer<Output> {
    check_output(&output, len, Rules::Process, ports)?;
    let results = output.sources.as_ref().map_or(output.taken as usize, Vec::len);
    if output.values.is_none() && results > 0 {
        return Err(bad_result("`fire` gave results without values".into()));
    }
    Ok(output)
}

impl Work for Firing<'_, '_, '_, '_, '_> {
    type Given = Given;

    fn functions(&mut self) -> &mut dyn Functions {
        self.run.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.run.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Given> {
        if from >= self.limit {
            return Ok(Given::Nothing);
        }
        self.ask(from, to.min(self.limit)).unwrap_or_else(|verdict| Ok(Given::Failed(verdict)))
    }

    fn accept(&mut self, from: usize, to: usize, given: Given) -> Result<usize, Verdict> {
        let (mut output, part) = match given {
            Given::Nothing => return Ok(to - from),
            Given::Failed(verdict) => return Err(verdict),
            Given::Refused(message) => {
                self.refuse(from, Reason::Rejected, message)?;
                return Ok(1);
            }
            Given::Output { answer, removed, changed } => {
                self.removed = removed;
                if changed && self.clock == TimerClock::EventTime {
                    self.changed = true;
                    self.limit = self.limit.min(self.together(from));
                }
                *answer
            }
        };
        output.rejected.sort_by_key(|rejection| rejection.index);
        for rejection in core::mem::take(&mut output.rejected) {
            let due = self.due[from + rejection.index as usize].clone();
            self.run.letters.push(Letter::Timer { due, reason: Reason::Rejected, message: rejection.reason });
        }
        let taken = output.taken as usize;
        results_of(output, &part.flow, Rules::Process).sort_into(&mut self.run.pieces);
        Ok(taken)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.refuse(at, Reason::Poisoned, format!("{fault}"))
    }
}
