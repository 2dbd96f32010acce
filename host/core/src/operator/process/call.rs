//! Asking the function for a stretch of records: in one call where that can be, in several where it stops early, sets a timer that is
//! due before the last record, or fails.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::isolate::{self, Isolation, Work};
use super::super::stateless::{Rules, Takes, check_output, results_of};
use super::super::{Part, part};
use super::layouts::Times;
use super::timeline::Timeline;
use super::{Asked, Called, EVENT, Run, first_refused, may_share};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::function::{Answer, Context, Fault, Functions, Output};
use crate::poll::BATCH_RECORDS_MAX;
use crate::record::Timestamp;

impl Run<'_, '_, '_, '_> {
    /// Asks the function for records from `at` on, up to where something is due.
    pub(super) fn ask(&mut self, line: &Timeline, at: usize) -> Result<Asked, Verdict> {
        let due = self.state.timers.not_before(EVENT);
        let ends = |i: &usize| {
            due.is_some_and(|due| line.closing[*i] >= due)
                || !may_share(self.process, line.closing[at], line.closing[*i])
        };
        let most = (at + self.state.records_at_once).min(self.flow.len());
        let end = (at + 1..most).find(ends).unwrap_or(most);
        let wants_times = self.cx.ports.functions.wants_stream_times(self.active.prepared);
        let (node, prepared) = (self.node, self.active.prepared);
        let mut work = Asking {
            run: self,
            line,
            base: at,
            end,
            wants_times,
            until: at,
            stopped: false,
            again: false,
            refused: Vec::new(),
        };
        isolate::run(&mut work, &node.name, prepared, end - at)?;
        let Asking { until, again, refused, .. } = work;
        let at_once = &mut self.state.records_at_once;
        *at_once = if again { until - at } else { *at_once }.saturating_mul(2).clamp(1, BATCH_RECORDS_MAX);
        Ok(Asked { until, refused })
    }
}

struct Asking<'w, 'l, 'r, 's, 'a, 'p> {
    run: &'w mut Run<'r, 's, 'a, 'p>,
    line: &'l Timeline,
    /// The stretch.
    base: usize,
    end: usize,
    wants_times: bool,
    /// Records up to here were dealt with.
    until: usize,
    /// The rest of the stretch is not asked for: something is due before, or time is not what it was thought to be.
    stopped: bool,
    /// A call had to be made again with fewer records.
    again: bool,
    refused: Vec<(usize, Reason, String)>,
}

enum Given {
    /// Nothing is asked any more.
    Nothing,
    Failed(Verdict),
    /// The first record was refused, and nothing of the others counts.
    Refused(String),
    Output(Box<(Output, Part)>),
}

impl Asking<'_, '_, '_, '_, '_, '_> {
    /// How many records of a call from `at` on may stand: a timer that it has set must not be due at a later one.
    fn stand(&self, at: usize, taken: usize, earliest: Option<Timestamp>) -> usize {
        let due = |due: Timestamp| (1..taken).find(|i| self.line.closing[at + i] >= due);
        earliest.and_then(due).unwrap_or(taken)
    }

    /// A record has not come.
    fn refuse(&mut self, at: usize, reason: Reason, message: String) {
        let i = self.base + at;
        self.until = i + 1;
        self.stopped |= self.line.moved[i];
        self.refused.push((i, reason, message));
    }
}

impl Work for Asking<'_, '_, '_, '_, '_, '_> {
    type Given = Given;

    fn functions(&mut self) -> &mut dyn Functions {
        self.run.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.run.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Given> {
        if self.stopped || self.base + from >= self.end {
            return Ok(Given::Nothing);
        }
        // What was set meanwhile may be due before the end of the stretch.
        let (at, mut to) = (self.base + from, (self.base + to).min(self.end));
        loop {
            let mark = self.run.held_mark();
            let own = if self.wants_times { self.line.own[at..to].to_vec() } else { Vec::new() };
            let part = part(self.run.flow, at, to, own);
            let now = self.line.closing[at];
            let ports = self.run.node.ports;
            let takes = Some(Takes { rules: Rules::Process, ports });
            let context = Context { takes, closing: &self.line.closing[at..to], ..part.context() };
            let times = Times { now, closing: now, row: 0 };
            let called = self.run.at_desk(times, part.records().keys, &mut |cx, active, desk| {
                cx.ports.functions.process(active.prepared, context, part.records(), desk)
            });
            let Called { answer, earliest, wrote, .. } = match called {
                Ok(Some(called)) => called,
                Ok(None) => {
                    self.again = true;
                    to = at + (to - at).div_ceil(2);
                    continue;
                }
                Err(verdict) => return Ok(Given::Failed(verdict)),
            };
            let checked = answer.and_then(|o| check_output(&o, to - at, Rules::Process, ports).map(|()| o));
            let mut output = match checked {
                Ok(output) => output,
                Err(fault) => {
                    self.run.take_back_held(&mark);
                    return Err(fault);
                }
            };
            let mut stand = self.stand(at, output.taken as usize, earliest);
            // Those behind one that is refused may have seen its time.
            if let Some(refused) = first_refused(&mut output, wrote || self.wants_times) {
                if refused.index == 0 {
                    self.run.take_back_held(&mark);
                    self.again |= output.taken > 1;
                    return Ok(Given::Refused(refused.reason));
                }
                stand = stand.min(refused.index as usize);
            }
            if stand == output.taken as usize {
                return Ok(Given::Output(Box::new((output, part))));
            }
            self.run.take_back_held(&mark);
            self.again = true;
            to = at + stand;
        }
    }

    fn accept(&mut self, from: usize, to: usize, given: Given) -> Result<usize, Verdict> {
        let (mut output, part) = match given {
            Given::Nothing => return Ok(to - from),
            Given::Failed(verdict) => return Err(verdict),
            Given::Refused(message) => {
                self.refuse(from, Reason::Rejected, message);
                return Ok(if self.stopped { to - from } else { 1 });
            }
            Given::Output(given) => *given,
        };
        let (at, taken) = (self.base + from, output.taken as usize);
        for rejection in core::mem::take(&mut output.rejected) {
            let i = at + rejection.index as usize;
            self.stopped |= self.line.moved[i];
            self.refused.push((i, Reason::Rejected, rejection.reason));
        }
        self.refused.sort_by_key(|(i, ..)| *i);
        results_of(output, &part.flow, Rules::Process).sort_into(&mut self.run.pieces);
        self.until = at + taken;
        if let Some(due) = self.run.state.timers.not_before(EVENT) {
            let is_due = |i: &usize| self.line.closing[*i] >= due;
            self.end = (self.until..self.end).find(is_due).unwrap_or(self.end);
        }
        Ok(if self.stopped { to - from } else { taken })
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.refuse(at, Reason::Poisoned, format!("{fault}"));
        Ok(())
    }
}
