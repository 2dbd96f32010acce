//! 3. Operate: what steps do to records, through functions.

pub mod aggregate;
pub(crate) mod clock;
pub(crate) mod finish;
pub(crate) mod fold;
pub mod isolate;
pub mod sink;
pub mod stateless;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::emit::{Collector, Failure, Reason};
use crate::envelope::{self, Opened};
use crate::error::{Position, Verdict};
use crate::flow::Flow;
use crate::function::{Context, Fault, Functions, Prepared, Records};
use crate::poll::Polled;
use crate::record::{Header, Timestamp};
use crate::state::keyspace::{Keyspaces, Space};
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
}

/// What a task asks in the middle of a step.
pub struct Ports<'a> {
    /// The worker's functions.
    pub functions: &'a mut dyn Functions,
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
                Err(Verdict::Poisoned { step: node.name.clone(), at, reason: format!("{}: {message}", reason.word()) })
            }
            OnError::Skip => {
                self.out.dropped(&node.name, reason);
                Ok(())
            }
            OnError::DeadLetter(topic) => {
                self.dead_letter(node, function, flow, i, reason, message, at, topic);
                Ok(())
            }
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
    ) {
        let Some(topic) = self.topology.topics.iter().position(|t| t.name == topic) else { return };
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
        let record = (batch.keys.get(row), value, batch.timestamps[row]);
        let name = function.map_or("", |f| self.topology.functions[f].as_str());
        let version = function.map_or(0, |f| self.active[f].epoch);
        let failure = Failure { step: &node.name, function: name, version, reason, message, at };
        self.out.dropped(&node.name, reason);
        self.out.dead_letter(&self.topology.topics, topic, self.partition, record, &headers, &failure);
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
        rejected: &[crate::function::Rejection],
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
    };
    Part { flow: cut, stream_times }
}

pub(crate) fn bad_result(what: String) -> Fault {
    Fault::BadResult { what }
}
