//! 3. Operate: what steps do to records, through functions.

pub mod aggregate;
pub(crate) mod clock;
pub(crate) mod deduplicate;
pub(crate) mod finish;
pub(crate) mod fold;
pub mod isolate;
pub(crate) mod join;
pub mod migrate;
pub mod process;
pub(crate) mod route;
pub(crate) mod session;
pub mod sink;
pub(crate) mod slice;
pub mod stateless;
pub mod table;
pub(crate) mod timestamp;
pub(crate) mod turns;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::emit::{Collector, Reason};
use crate::envelope::{self, Opened};
use crate::error::{Position, Verdict};
use crate::flow::Flow;
use crate::formats::Formats;
use crate::function::{Answer, Context, Fault, Functions, Prepared, Records, Rejection};
use crate::globals::Globals;
use crate::letter::{self, Failed, Failure, Mailbox};
use crate::limits::Refusal;
use crate::poll::Polled;
use crate::record::{Header, Timestamp};
use crate::state::keyspace::{Keyspaces, Space};
use crate::time::Now;
use crate::topology::graph::{InputKind, Node, SubTopology, Topology};
use crate::topology::spec::OnError;

use isolate::Isolation;

/// The version of a function that a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    /// What to call.
    pub prepared: Prepared,
    /// The entry of the control log that put it in force.
    pub epoch: u64,
    /// Its number among the function's versions, from 1: what people know it by.
    pub number: u64,
}

/// What a task asks in the middle of a step.
pub struct Ports<'a> {
    /// The worker's functions.
    pub functions: &'a mut dyn Functions,
    /// What topics hold.
    pub formats: &'a dyn Formats,
    /// Global tables.
    pub globals: &'a dyn Globals,
    /// The database of the task's stores.
    pub db: &'a dyn Keyspaces,
    /// Spaces of the sub-topology's stores, in their order.
    pub spaces: &'a [Space],
    /// What stands in front of the task's keys.
    pub prefix: &'a [u8],
}

/// What operators work with besides their own state.
pub(crate) struct Cx<'a, 'p> {
    pub topology: &'a Topology,
    pub sub: &'a SubTopology,
    pub partition: u32,
    pub now: Now,
    pub polled: &'a Polled,
    /// No records: shared, since most steps have none for most others.
    pub empty: &'a Flow,
    pub active: &'a [Active],
    pub out: &'a mut Collector,
    pub isolation: &'a mut Isolation,
    pub ports: &'a mut Ports<'p>,
}

impl Cx<'_, '_> {
    pub fn position(&self, row: u32) -> Option<Position> {
        if row as usize >= self.polled.batch.len() {
            return None;
        }
        let (input, offset) = self.polled.origin(row as usize);
        let topic = self.topology.topics[self.sub.inputs[input].topic].name.clone();
        Some(Position { topic, partition: self.partition, offset })
    }

    /// Does with a record what the node's `on-error` says.
    pub fn refuse(
        &mut self,
        node: &Node,
        function: Option<usize>,
        flow: &Flow,
        i: usize,
        reason: Reason,
        message: &str,
    ) -> Result<(), Verdict> {
        let at = flow.origin(i).and_then(|row| self.position(row));
        match &node.on_error {
            OnError::Fail => {
                let (step, by_function) = (node.name.clone(), reason.is_functions());
                Err(Verdict::Poisoned { step, at, reason: format!("{}: {message}", reason.word()), by_function })
            }
            OnError::Skip => {
                self.out.dropped(&node.name, reason);
                Ok(())
            }
            OnError::DeadLetter(topic) => self.dead_letter(node, function, flow, i, reason, message, at, topic),
        }
    }

    #[allow(clippy::too_many_arguments)] // one caller; a struct would only rename them
    fn dead_letter(
        &mut self,
        node: &Node,
        function: Option<usize>,
        flow: &Flow,
        i: usize,
        reason: Reason,
        message: &str,
        at: Option<Position>,
        topic: &str,
    ) -> Result<(), Verdict> {
        let Some(number) = self.topology.topics.iter().position(|t| t.name == topic) else {
            return Err(Verdict::Corrupted(format!("the topic for dead letters, `{topic}`, was not planned")));
        };
        // The record as it was read; a result that no single record made, as it is.
        let (batch, row) = match flow.origin(i).filter(|_| at.is_some()) {
            Some(row) => (&self.polled.batch, row as usize),
            None => (&flow.batch, i),
        };
        let (mut value, mut window) = (batch.values.get(row), flow.window(i).filter(|_| at.is_none()));
        // What a repartition topic puts around a value is the host's matter.
        if let (Some(Opened::Record { value: inner, window: w, .. }), true) =
            (value.and_then(envelope::open), at.is_some() && self.is_repartitioned(row))
        {
            (value, window) = (inner, w);
        }
        let bounds = window.map(|(start, end)| (format!("{start}"), format!("{end}")));
        let bounds = bounds.iter().flat_map(|(start, end)| [("window.start", start), ("window.end", end)]);
        let mut headers: Vec<Header<'_>> = batch.headers.iter().flat_map(|h| h.of(row)).collect();
        headers.extend(bounds.map(|(name, text)| -> Header<'_> { (name.as_bytes(), Some(text.as_bytes())) }));
        let failed = Failed { key: batch.keys.get(row), value, timestamp: batch.timestamps[row], headers };
        let name = function.map_or("", |f| self.topology.functions[f].as_str());
        let version = function.map_or(0, |f| self.active[f].number);
        let failure = Failure { step: &node.name, function: name, version, reason, message, at };
        self.out.dropped(&node.name, reason);
        let (topic, task_partition) = (&self.topology.topics[number], self.partition);
        let into = Mailbox { topic, number, task_partition, wall: self.now.wall };
        if letter::write(self.out, into, failed, &failure) {
            return Ok(());
        }
        let by_function = reason.is_functions();
        let reason = format!(
            "{}: {message}; and `{}` takes no dead letter about it, as a record there may have {} bytes at the most",
            reason.word(),
            topic.name,
            topic.limits.record_bytes_max.unwrap_or_default()
        );
        Err(Verdict::Poisoned { step: node.name.clone(), at: failure.at, reason, by_function })
    }

    /// Does with records what the node's `on-error` says of those that a topic does not take.
    pub fn refuse_all(
        &mut self,
        node: &Node,
        topic: usize,
        flow: &Flow,
        refused: &[(usize, Refusal)],
    ) -> Result<(), Verdict> {
        for (i, refusal) in refused {
            let message = format!("topic `{}`: {refusal}", self.topology.topics[topic].name);
            self.refuse(node, None, flow, *i, refusal.reason(), &message)?;
        }
        Ok(())
    }

    fn is_repartitioned(&self, row: usize) -> bool {
        let (input, _) = self.polled.origin(row);
        matches!(self.sub.inputs[input].kind, InputKind::Repartition { .. })
    }

    /// Refuses what a function would not handle.
    pub fn reject(
        &mut self,
        node: &Node,
        function: usize,
        flow: &Flow,
        base: usize,
        rejected: &[Rejection],
    ) -> Result<(), Verdict> {
        for rejection in rejected {
            let at = base + rejection.index as usize;
            self.refuse(node, Some(function), flow, at, Reason::Rejected, &rejection.reason)?;
        }
        Ok(())
    }
}

/// The part of a flow that one call sees.
pub(crate) struct Part {
    pub flow: Flow,
    pub stream_times: Vec<Timestamp>,
}

impl Part {
    pub fn records(&self) -> Records<'_> {
        let batch = &self.flow.batch;
        Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps }
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            headers: self.flow.batch.headers.as_deref(),
            stream_times: &self.stream_times,
            windows: self.flow.windows.as_ref().map(|w| (w.starts.as_slice(), w.ends.as_slice())),
            inputs: self.flow.inputs.as_ref().map(|inputs| inputs.as_slice()),
            rows: self.flow.rows.as_ref().map(|rows| rows.as_slice()),
            takes: None,
            closing: &[],
        }
    }
}

/// Cuts `from..to` out of a flow. `stream_times`: those of the records cut out, or none.
pub(crate) fn part(flow: &Flow, from: usize, to: usize, stream_times: Vec<Timestamp>) -> Part {
    if from == 0 && to == flow.len() {
        return Part { flow: flow.clone(), stream_times };
    }
    let all: Vec<u32> = (from as u32..to as u32).collect();
    let cut = Flow {
        batch: flow.batch.slice(from, to),
        rows: flow.rows_of(&all),
        windows: flow.windows.as_ref().map(|w| Arc::new(w.gather(&all))),
        inputs: flow.inputs.as_ref().map(|inputs| Arc::new(inputs[from..to].to_vec())),
        old: flow.old.as_ref().map(|old| Arc::new(old.gather(&all))),
    };
    Part { flow: cut, stream_times }
}

/// Rejections name what was given, each once. `what` is it that their indexes count.
///
/// # Errors
/// One that does not.
pub fn check_rejections(rejected: &[Rejection], what: &str, len: usize) -> Answer<()> {
    if let Some(r) = rejected.iter().find(|r| r.index as usize >= len) {
        return Err(bad_result(format!("a rejection names {what} {} of {len}", r.index)));
    }
    if rejected.windows(2).all(|pair| pair[0].index < pair[1].index) {
        return Ok(());
    }
    let mut named: Vec<u32> = rejected.iter().map(|r| r.index).collect();
    named.sort_unstable();
    match named.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(bad_result(format!("{what} {} is rejected twice", pair[0]))),
        None => Ok(()),
    }
}

pub(crate) fn bad_result(what: String) -> Fault {
    Fault::BadResult { what }
}
