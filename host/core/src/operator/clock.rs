//! Whose time an aggregate goes by, record by record: its own, as far as it has seen, or that of the upstream tasks of
//! repartition topics. Which windows are open then is not decided here.

use alloc::string::String;
use alloc::vec::Vec;

use crate::decode::{Kind, Row};
use crate::emit::Reason;
use crate::flow::Flow;
use crate::meta::ClockMeta;
use crate::record::Timestamp;
use crate::time::{Clock, NEVER, Upstream};
use crate::topology::graph::{InputKind, SubTopology, Topology};

/// The upstream tasks that an aggregate goes by.
#[derive(Clone, Debug)]
pub(crate) struct NodeClock {
    pub clock: Clock,
    /// The repartition topics among its inputs: number of the input, topic, first slot, slots. The last may be the task's
    /// own plain inputs, which are one upstream task together, under no name.
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    input: Option<usize>,
    topic: String,
    first: usize,
    len: usize,
}

impl NodeClock {
    /// The clock of a node that these inputs reach (as bits), in the task of this partition.
    pub fn new(topology: &Topology, sub: &SubTopology, inputs: u64, partition: u32) -> Self {
        let (mut parts, mut slots, mut plain) = (Vec::new(), 0, false);
        for (i, input) in sub.inputs.iter().enumerate().filter(|(i, _)| inputs >> i & 1 == 1) {
            let topic = &topology.topics[input.topic];
            match input.kind {
                InputKind::Repartition { upstream_tasks } => {
                    let len = upstream_tasks as usize;
                    parts.push(Part { input: Some(i), topic: topic.name.clone(), first: slots, len });
                    slots += len;
                }
                // A topic with fewer partitions than there are tasks has none for this one, and holds nothing open.
                InputKind::Source { .. } => plain |= partition < topic.partitions,
            }
        }
        if plain {
            parts.push(Part { input: None, topic: String::new(), first: slots, len: 1 });
            slots += 1;
        }
        Self { clock: Clock::new(slots), parts }
    }

    /// Takes over what metadata says, as far as the upstream tasks are still the same.
    pub fn restore(&mut self, meta: &ClockMeta) {
        let mut slots = self.clock.slots().to_vec();
        for part in &self.parts {
            let known = meta.inputs.iter().find(|(topic, held)| *topic == part.topic && held.len() == part.len);
            if let Some((_, held)) = known {
                slots[part.first..part.first + part.len].copy_from_slice(held);
            }
        }
        self.clock = Clock::restore(slots, meta.closing);
    }

    /// The clock for the task's metadata.
    pub fn meta(&self, node: String) -> ClockMeta {
        let slots = |p: &Part| (p.topic.clone(), self.clock.slots()[p.first..p.first + p.len].to_vec());
        ClockMeta { node, closing: self.clock.closing(), inputs: self.parts.iter().map(slots).collect() }
    }

    fn slot(&self, row: &Row) -> Option<usize> {
        let part = self.parts.iter().find(|p| p.input == Some(row.input as usize))?;
        ((row.upstream as usize) < part.len).then_some(part.first + row.upstream as usize)
    }

    fn plain(&self) -> Option<usize> {
        self.parts.last().filter(|p| p.input.is_none()).map(|p| p.first)
    }

    fn row(&mut self, row: &Row) {
        let Some(slot) = self.slot(row) else { return };
        match row.kind {
            Kind::Record => self.clock.advance(slot, row.time),
            Kind::Marker { idle } => self.clock.marker(slot, Some(row.time), idle),
            Kind::Plain => {}
        }
    }
}

/// Goes through a flow and says the time at each record. Records that the operator drops are not shown to it.
pub(crate) trait Walk: Clone {
    /// A record comes in: the stream time of its own task with it, and closing time.
    fn enter(&mut self, i: usize) -> (Timestamp, Timestamp);
    /// The record that came last was refused altogether: it has not moved time.
    fn refuse(&mut self);
    /// Rows at which closing time has moved so far, and where to.
    fn steps(&self) -> &[(u32, Timestamp)];
    /// Goes on behind the last record.
    fn finish(self) -> Passed;
    /// Whether the record that came last has moved time itself, so that it would not have been moved without it.
    fn moved(&self) -> bool;
    /// Closing time now.
    fn closing(&self) -> Timestamp;
}

/// Where a walk has come to.
pub(crate) struct Passed {
    /// Rows at which closing time moved, and where to.
    pub steps: Vec<(u32, Timestamp)>,
    /// Closing time at the end.
    pub closing: Timestamp,
    pub clock: Option<NodeClock>,
}

/// Time as far as the operator has seen it: own time and closing time are one.
#[derive(Clone)]
pub(crate) struct Observed<'f> {
    flow: &'f Flow,
    now: Timestamp,
    before: Timestamp,
    steps: Vec<(u32, Timestamp)>,
    /// Whether anybody wants to know where closing time moved.
    noting: bool,
}

impl<'f> Observed<'f> {
    pub fn new(flow: &'f Flow, now: Timestamp, noting: bool) -> Self {
        Self { flow, now, before: now, steps: Vec::new(), noting }
    }
}

impl Walk for Observed<'_> {
    #[inline]
    fn enter(&mut self, i: usize) -> (Timestamp, Timestamp) {
        let time = self.flow.batch.timestamps[i];
        self.before = self.now;
        if time > self.now {
            self.now = time;
            if self.noting {
                self.steps.push((self.flow.row(i), time));
            }
        }
        (self.now, self.now)
    }

    fn refuse(&mut self) {
        if self.now != self.before {
            self.now = self.before;
            self.steps.pop();
        }
    }

    fn steps(&self) -> &[(u32, Timestamp)] {
        &self.steps
    }

    fn finish(self) -> Passed {
        Passed { steps: self.steps, closing: self.now, clock: None }
    }

    fn moved(&self) -> bool {
        self.now != self.before
    }

    fn closing(&self) -> Timestamp {
        self.now
    }
}

/// Time of the upstream tasks: rows move it, also those whose records did not come here.
#[derive(Clone)]
pub(crate) struct ByUpstream<'f> {
    flow: &'f Flow,
    rows: &'f [Row],
    /// Rows that have been taken in.
    next: usize,
    clock: NodeClock,
    undo: Option<(usize, Upstream, Timestamp)>,
    steps: Vec<(u32, Timestamp)>,
}

impl<'f> ByUpstream<'f> {
    pub fn new(flow: &'f Flow, rows: &'f [Row], clock: NodeClock) -> Self {
        Self { flow, rows, next: 0, clock, undo: None, steps: Vec::new() }
    }

    fn rows_until(&mut self, end: usize) {
        for at in self.next..end.min(self.rows.len()) {
            let before = self.clock.clock.closing();
            self.clock.row(&self.rows[at]);
            self.note(at as u32, before);
        }
        self.next = self.next.max(end);
    }

    fn note(&mut self, row: u32, before: Timestamp) {
        let closing = self.clock.clock.closing();
        if closing != before {
            self.steps.push((row, closing));
        }
    }
}

impl Walk for ByUpstream<'_> {
    #[inline]
    fn enter(&mut self, i: usize) -> (Timestamp, Timestamp) {
        let at = self.flow.row(i);
        self.rows_until(at as usize + 1);
        self.undo = None;
        let own = match self.rows.get(at as usize) {
            Some(row) if row.kind == Kind::Record => self.clock.slot(row).map(|slot| self.clock.clock.time(slot)),
            _ => self.clock.plain().map(|slot| {
                let (held, closing) = (self.clock.clock.slots()[slot], self.clock.clock.closing());
                self.clock.clock.advance(slot, self.flow.batch.timestamps[i]);
                self.note(at, closing);
                self.undo = Some((slot, held, closing));
                self.clock.clock.time(slot)
            }),
        };
        (own.unwrap_or(NEVER), self.clock.clock.closing())
    }

    fn refuse(&mut self) {
        let Some((slot, held, closing)) = self.undo.take() else { return };
        if self.clock.clock.closing() != closing {
            self.steps.pop();
        }
        self.clock.clock.take_back(slot, held, closing);
    }

    fn steps(&self) -> &[(u32, Timestamp)] {
        &self.steps
    }

    fn finish(mut self) -> Passed {
        self.rows_until(self.rows.len());
        Passed { steps: self.steps, closing: self.clock.clock.closing(), clock: Some(self.clock) }
    }

    fn moved(&self) -> bool {
        self.undo.is_some_and(|(slot, held, closing)| {
            self.clock.clock.slots()[slot] != held || self.clock.clock.closing() != closing
        })
    }

    fn closing(&self) -> Timestamp {
        self.clock.clock.closing()
    }
}

/// Why a record leaves an aggregate before it is looked at.
pub(crate) fn droppable(flow: &Flow, i: usize) -> Option<Reason> {
    if flow.batch.keys.is_null(i) {
        return Some(Reason::NullKey);
    }
    flow.batch.values.is_null(i).then_some(Reason::NullValue)
}
