//! The six joined for one task: a sub-topology at one partition number.

mod foreign;
mod held;
mod joins;
mod room;
mod stamp;
mod tables;
mod versions;

pub use versions::uses;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::decode::{Decoded, Row, decode};
use crate::emit::{Collector, Outgoing, Reason};
use crate::error::Verdict;
use crate::flow::Flow;
use crate::made_with;
use crate::meta::Meta;
use crate::operator::aggregate::{self, Held, Times};
use crate::operator::clock::NodeClock;
use crate::operator::deduplicate;
use crate::operator::isolate::Isolation;
use crate::operator::join::{delayed, streams};
use crate::operator::migrate::sweep::{Sweep, wanted_of};
use crate::operator::migrate::{Of, Progress, SWEEP_ROWS_BUSY_MAX, SWEEP_ROWS_MAX};
use crate::operator::process;
use crate::operator::route;
use crate::operator::sink::{Sink, Writer};
use crate::operator::stateless::{self, Rules, StreamTimes};
use crate::operator::table;
use crate::operator::{Active, Cx, Ports};
use crate::poll::{Inputs, Place, Polled};
use crate::record::{Batch, Timestamp};
use crate::state::entries::Entries;
use crate::state::key::StoreKind;
use crate::state::store::{Change, Ground, Store};
use crate::time::{NEVER, Now};
use crate::topology::graph::{
    ForeignNode, InputKind, JoinNode, Node, NodeOperator, SubTopology, TableNode, TableOf, TimeRule, Topology,
};

/// Which task: sub-topology and partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// Number of the sub-topology.
    pub sub: usize,
    /// Partition number.
    pub partition: u32,
}

/// From where a task runs a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Number of the function.
    pub function: usize,
    /// Entry of the control log that put the version in force.
    pub epoch: u64,
    /// First offset of each input that the version handles, by topic.
    pub positions: Vec<(String, i64)>,
}

/// What a task did in an interval: one part of what is committed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPart {
    /// The task.
    pub task: TaskId,
    /// Results, dead letters, late records, repartitioned records and markers.
    pub outputs: Vec<Outgoing>,
    /// Changes of its stores, in the order of the sub-topology.
    pub changes: Vec<Vec<Change>>,
    /// Its metadata, encoded.
    pub meta: Vec<u8>,
    /// Next offset of each input, by number of the topic.
    pub positions: Vec<(usize, i64)>,
    /// Versions that this interval is the first of.
    pub switches: Vec<Switch>,
    /// Records taken.
    pub records: u64,
    /// Records that left without a result, by step and reason.
    pub dropped: BTreeMap<(String, Reason), u64>,
    /// Dead letters among the outputs.
    pub dead_letters: u64,
    /// How far the sweeps over states in another layout are, by step.
    pub sweeps: Vec<(String, Progress)>,
}

#[derive(Clone, Debug)]
enum NodeState {
    Stateless { observed: Timestamp },
    Aggregate(Box<aggregate::State>),
    Writer(Writer),
    Table(Box<table::State>),
    Subscriptions(Box<Entries>),
    Process(Box<process::State>),
    Join(Box<streams::State>),
    Delayed(Box<delayed::State>),
}

/// A task.
pub struct Task {
    id: TaskId,
    topology: Arc<Topology>,
    inputs: Inputs,
    nodes: Vec<NodeState>,
    active: Vec<Active>,
    switches: Vec<Switch>,
    out: Collector,
    isolation: Isolation,
    records: u64,
    touched: bool,
    /// Stores that get a note of what they are made with, with the next commit.
    unnoted: Vec<usize>,
    /// No records.
    empty: Flow,
}

/// What a walk over the nodes is for.
enum Phase<'a> {
    /// A polled batch.
    Batch(&'a Decoded),
    /// The end of an interval: updates come out, and sweeps look at so many rows.
    End { sweep_rows: usize },
    /// The end of a test: windows close.
    Flush,
}

impl Phase<'_> {
    /// Whether it is the end of an interval.
    fn is_end(&self) -> bool {
        matches!(self, Phase::End { .. })
    }

    /// What the rows say of time.
    fn rows(&self) -> &[Row] {
        if let Phase::Batch(decoded) = self { &decoded.rows } else { &[] }
    }
}

impl Task {
    /// Opens a task where its metadata says, or at `start` (one offset for each input) when it has none.
    ///
    /// # Errors
    /// [`Verdict::Corrupted`] for metadata or stores that cannot be read; [`Verdict::Fatal`] for a state that was made with other
    /// settings; those of the database.
    pub fn open(
        now: Now,
        topology: &Arc<Topology>,
        id: TaskId,
        meta: Option<&[u8]>,
        start: &[i64],
        active: Vec<Active>,
        ports: &Ports<'_>,
    ) -> Result<Self, Verdict> {
        let sub = &topology.subs[id.sub];
        let first = meta.is_none();
        let meta = match meta {
            None => Meta::default(),
            Some(bytes) => Meta::decode(bytes)
                .ok_or_else(|| Verdict::Corrupted("a task's metadata has a form this version does not know".into()))?,
        };
        let notes = made_with::read(sub, ports.db, ports.spaces, ports.prefix)?;
        if let Some(changed) = notes.changed.into_iter().next() {
            return Err(changed.into());
        }
        let place = |(i, input): (usize, &crate::topology::graph::Input)| {
            let topic = &topology.topics[input.topic];
            let position = meta.positions.iter().find(|(name, _)| *name == topic.name).map_or(start[i], |(_, p)| *p);
            Place { position, exists: id.partition < topic.partitions }
        };
        let places: Vec<Place> = sub.inputs.iter().enumerate().map(place).collect();
        let clock = |n: &Node| NodeClock::new(topology, sub, n.inputs, id.partition);
        let nodes = sub
            .nodes
            .iter()
            .map(|n| open_node(now.passed_ms, n, clock, &meta, &active, ports))
            .collect::<Result<_, _>>()?;
        let mut task = Self {
            id,
            topology: topology.clone(),
            inputs: Inputs::new(&places, sub.max_idle),
            nodes,
            active: active.clone(),
            switches: Vec::new(),
            out: Collector::default(),
            isolation: Isolation::default(),
            records: 0,
            touched: !notes.missing.is_empty(),
            unnoted: notes.missing,
            empty: Flow::default(),
        };
        for (number, _) in sub.inputs.iter().enumerate().filter(|(_, input)| input.timestamp().is_some()) {
            task.inputs.use_stamps(number);
        }
        for (function, active) in active.iter().enumerate() {
            let name = &topology.functions[function];
            let known = meta.epochs.iter().find(|(f, _)| f == name).map(|(_, e)| *e);
            if known.is_some_and(|known| known > active.epoch) {
                let epochs = (known.unwrap_or_default(), active.epoch);
                return Err(Verdict::Retry(format!(
                    "the task ran `{name}` at epoch {} already, and this host knows the control log up to epoch {} only; \
                     it has to read on first",
                    epochs.0, epochs.1
                )));
            }
            if task.uses(function) && (first || known != Some(active.epoch)) {
                task.note_switch(function, active.epoch);
            }
        }
        Ok(task)
    }

    /// Which task it is.
    pub fn id(&self) -> TaskId {
        self.id
    }

    fn sub(&self) -> &SubTopology {
        &self.topology.subs[self.id.sub]
    }

    /// Takes in what was fetched; see [`Inputs::fetched`].
    pub fn fetched(&mut self, now: Now, input: usize, base_offset: i64, batch: Batch, end: i64) {
        self.inputs.told(input, now.passed_ms, now.ends_since);
        // A jump over records that are gone is committed too: nobody shall look for them again.
        self.touched |= self.inputs.fetched(input, base_offset, batch, end);
    }

    /// Has the task committed with the next interval, also when nothing happens to it.
    pub fn touch(&mut self) {
        self.touched = true;
    }

    /// The next offset to fetch of an input, or `None` while enough waits here.
    pub fn wants(&self, input: usize) -> Option<i64> {
        self.inputs.wants(input)
    }

    /// Whether nothing of an input waits here.
    pub fn is_dry(&self, input: usize) -> bool {
        self.inputs.is_dry(input)
    }

    /// Bytes of fetched records that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.inputs.bytes()
    }

    /// Bytes of an input that wait.
    pub fn waiting_bytes_of(&self, input: usize) -> usize {
        self.inputs.bytes_of(input)
    }

    /// Whether records may be taken; `passed_ms`: as [`Now::passed_ms`].
    pub fn has_records(&self, passed_ms: i64) -> bool {
        self.inputs.may_take(passed_ms)
    }

    /// Whether finding poisoned records has cost so much that the interval should end.
    pub fn is_half_isolated(&self) -> bool {
        self.isolation.is_half_spent()
    }

    /// Where records may not be taken now: that an input has run dry counts all the same.
    pub fn look_for_dry_inputs(&mut self, now: Now) {
        self.inputs.waited(now.passed_ms);
    }

    /// Takes the next records through the steps; `false`: there are none that may be taken.
    ///
    /// # Errors
    /// A verdict, after which the task must be dropped.
    pub fn work(&mut self, now: Now, ports: &mut Ports<'_>) -> Result<bool, Verdict> {
        if !self.inputs.waited(now.passed_ms).may_take(now.passed_ms) {
            return Ok(false);
        }
        self.stamp(ports)?;
        let Some(polled) = self.inputs.take(now.passed_ms) else { return Ok(false) };
        ports.functions.reads(self.id, &polled);
        self.touched = true;
        for node in &mut self.nodes {
            if let NodeState::Writer(writer) = node {
                writer.received(now.passed_ms);
            }
        }
        let topology = self.topology.clone();
        let (mut cx, nodes) = self.context(now, &topology, &polled, ports);
        let decoded = decode(&mut cx)?;
        walk(&mut cx, nodes, &Phase::Batch(&decoded))?;
        self.records += polled.batch.len() as u64 - decoded.markers;
        Ok(true)
    }

    fn context<'a, 'p>(
        &'a mut self,
        now: Now,
        topology: &'a Arc<Topology>,
        polled: &'a Polled,
        ports: &'a mut Ports<'p>,
    ) -> (Cx<'a, 'p>, &'a mut [NodeState]) {
        let cx = Cx {
            topology,
            sub: &topology.subs[self.id.sub],
            partition: self.id.partition,
            now,
            polled,
            empty: &self.empty,
            active: &self.active,
            out: &mut self.out,
            isolation: &mut self.isolation,
            ports,
        };
        (cx, &mut self.nodes)
    }

    /// Closes every open window: for `test --flush`.
    ///
    /// # Errors
    /// A verdict, after which the task must be dropped.
    pub fn flush(&mut self, now: Now, ports: &mut Ports<'_>) -> Result<(), Verdict> {
        self.touched = true;
        let (topology, polled) = (self.topology.clone(), Polled::default());
        let (mut cx, nodes) = self.context(now, &topology, &polled, ports);
        walk(&mut cx, nodes, &Phase::Flush)
    }

    /// Whether something is to be committed: records were taken, a version changed, a marker or a timer of the wall clock is due.
    pub fn has_news(&self, now: Now) -> bool {
        let is_due = |n: &NodeState| matches!(n, NodeState::Process(p) if p.is_due(now.wall));
        self.touched
            || self.sweeps().any(|(_, sweep)| !sweep.done)
            || self.nodes.iter().any(is_due)
            || self.writers().any(|(_, writer, idle)| self.marker_due(now, writer, idle).is_some())
    }

    /// How far the sweeps over states in another layout are, by step.
    fn sweeps(&self) -> impl Iterator<Item = (&str, Progress)> {
        self.sub().nodes.iter().zip(&self.nodes).filter_map(|(node, state)| match state {
            NodeState::Aggregate(aggregate) => Some((node.name.as_str(), aggregate.sweep.progress()?)),
            NodeState::Process(process) => Some((node.name.as_str(), process.sweep.progress()?)),
            _ => None,
        })
    }

    fn writers(&self) -> impl Iterator<Item = (usize, &Writer, crate::topology::spec::Idle)> {
        self.sub().nodes.iter().zip(&self.nodes).filter_map(|(node, state)| match (&node.operator, state) {
            (NodeOperator::Repartition { topic, idle, .. }, NodeState::Writer(writer)) => Some((*topic, writer, *idle)),
            _ => None,
        })
    }

    fn marker_due(&self, now: Now, writer: &Writer, idle: crate::topology::spec::Idle) -> Option<bool> {
        // Steps of this task that hold windows or timers may all stand upstream of the topic; one too many only waits longer.
        let holds = |(n, state): (&Node, &NodeState)| match (state, &n.operator) {
            // What passed a step that deduplicates is kept, and nothing comes of it.
            (_, NodeOperator::Deduplicate(_)) => false,
            (NodeState::Aggregate(a), _) => a.store.has_windows(),
            (NodeState::Process(p), _) => p.has_event_timers(),
            (NodeState::Join(j), NodeOperator::StreamJoin(join)) => j.holds(join.kind),
            (NodeState::Delayed(d), _) => d.holds(),
            _ => false,
        };
        let open = self.sub().nodes.iter().zip(&self.nodes).any(holds);
        writer.due(now.passed_ms, idle, self.inputs.at_end(now.ends_since), open)
    }

    /// Ends the interval: updates and markers come out, and everything the task did is handed over.
    ///
    /// # Errors
    /// A verdict, after which the task must be dropped.
    pub fn end_interval(&mut self, now: Now, interval: u64, ports: &mut Ports<'_>) -> Result<TaskPart, Verdict> {
        let (topology, polled) = (self.topology.clone(), Polled::default());
        // Records come first.
        let sweep_rows = if self.records == 0 { SWEEP_ROWS_MAX } else { SWEEP_ROWS_BUSY_MAX };
        let (mut cx, nodes) = self.context(now, &topology, &polled, ports);
        walk(&mut cx, nodes, &Phase::End { sweep_rows })?;
        self.write_markers(now);
        self.isolation.new_interval();
        self.touched = false;
        let meta = self.meta(interval).encode();
        let (dropped, dead_letters) = self.out.take_counts();
        let topics = self.topology.subs[self.id.sub].inputs.iter().map(|i| i.topic);
        let mut changes: Vec<Vec<Change>> = self.nodes.iter_mut().flat_map(take_changes).collect();
        for store in self.unnoted.drain(..) {
            changes[store].extend(made_with::note(&topology.subs[self.id.sub], store));
        }
        Ok(TaskPart {
            task: self.id,
            outputs: self.out.take(),
            changes,
            meta,
            positions: topics.zip(self.inputs.positions()).collect(),
            switches: core::mem::take(&mut self.switches),
            records: core::mem::take(&mut self.records),
            dropped,
            dead_letters,
            sweeps: self.sweeps().map(|(step, sweep)| (String::from(step), sweep)).collect(),
        })
    }

    fn write_markers(&mut self, now: Now) {
        let due: Vec<Option<bool>> = self
            .sub()
            .nodes
            .iter()
            .zip(&self.nodes)
            .map(|(node, state)| match (&node.operator, state) {
                (NodeOperator::Repartition { idle, .. }, NodeState::Writer(w)) => self.marker_due(now, w, *idle),
                _ => None,
            })
            .collect();
        let topology = self.topology.clone();
        let sub = &topology.subs[self.id.sub];
        for ((node, state), due) in sub.nodes.iter().zip(&mut self.nodes).zip(due) {
            if let (NodeOperator::Repartition { topic, .. }, NodeState::Writer(writer), Some(idle)) =
                (&node.operator, state, due)
            {
                let task = (self.id.partition, sub.tasks);
                writer.mark(now, idle, &mut self.out, &topology.topics, *topic, task);
            }
        }
    }

    fn meta(&self, interval: u64) -> Meta {
        let sub = self.sub();
        let times = |state: &NodeState| match state {
            NodeState::Stateless { observed } => (*observed, NEVER),
            NodeState::Aggregate(a) => (a.times.observed, a.times.closed),
            NodeState::Writer(w) => (w.time, NEVER),
            NodeState::Table(t) => (t.observed, t.past.as_ref().map_or(NEVER, |past| past.times.observed)),
            NodeState::Subscriptions(_) => (NEVER, NEVER),
            NodeState::Process(p) => (p.times.observed, p.times.closed),
            NodeState::Join(j) => (j.times.observed, j.times.closed),
            NodeState::Delayed(d) => (d.times.observed, d.times.closed),
        };
        let nodes = sub.nodes.iter().zip(&self.nodes);
        let topics = sub.inputs.iter().map(|i| self.topology.topics[i.topic].name.clone());
        let epochs = self.topology.functions.iter().zip(&self.active).enumerate();
        Meta {
            positions: topics.zip(self.inputs.positions()).collect(),
            nodes: nodes
                .clone()
                .map(|(node, state)| (meta_name(node), times(state)))
                .filter(|(_, t)| *t != (NEVER, NEVER))
                .map(|(name, (observed, closed))| (name, observed, closed))
                .collect(),
            clocks: nodes
                .clone()
                .filter_map(|(node, state)| clock_of(state).map(|c| c.meta(meta_name(node))))
                .collect(),
            epochs: epochs
                .filter(|(f, _)| self.uses(*f))
                .map(|(_, (name, active))| (name.clone(), active.epoch))
                .collect(),
            interval,
        }
    }

    /// Lets go of cached state above a limit, in bytes for each store. Only when everything taken out was committed.
    pub fn shrink(&mut self, limit_bytes: usize) {
        for node in &mut self.nodes {
            match node {
                NodeState::Aggregate(a) => a.store.shrink(limit_bytes),
                NodeState::Table(t) => t.shrink(limit_bytes),
                NodeState::Subscriptions(entries) => entries.shrink(limit_bytes),
                NodeState::Process(p) => p.shrink(limit_bytes),
                NodeState::Join(j) => j.shrink(limit_bytes),
                NodeState::Delayed(d) => d.shrink(limit_bytes),
                NodeState::Stateless { .. } | NodeState::Writer(_) => {}
            }
        }
    }

    /// Offset behind the last record taken, for each input.
    pub fn positions(&self) -> Vec<i64> {
        self.inputs.positions().collect()
    }

    /// Stream time: the largest that any of its nodes has seen.
    pub fn stream_time(&self) -> Timestamp {
        let times = self.nodes.iter().map(|n| match n {
            NodeState::Stateless { observed } => *observed,
            NodeState::Aggregate(a) => a.times.observed,
            NodeState::Writer(w) => w.time,
            NodeState::Table(t) => t.observed,
            NodeState::Subscriptions(_) => NEVER,
            NodeState::Process(p) => p.times.observed,
            NodeState::Join(j) => j.times.observed,
            NodeState::Delayed(d) => d.times.observed,
        });
        let closing = self.nodes.iter().filter_map(clock_of).map(|c| c.clock.closing());
        times.chain(closing).max().unwrap_or(NEVER)
    }
}

/// A node's name in the metadata: writers and aggregates of one step have one name each.
pub fn meta_name(node: &Node) -> String {
    match &node.operator {
        NodeOperator::Repartition { after, .. } => alloc::format!("{after}>"),
        NodeOperator::Source => alloc::format!("{}<", node.name),
        NodeOperator::Merge => alloc::format!("{}+", node.name),
        NodeOperator::Table(TableNode { of: TableOf::ForeignKey { .. }, .. }) => alloc::format!("{}=", node.name),
        _ => node.name.clone(),
    }
}

fn clock_of(state: &NodeState) -> Option<&NodeClock> {
    match state {
        NodeState::Aggregate(aggregate) => aggregate.times.clock.as_ref(),
        NodeState::Process(process) => process.times.clock.as_ref(),
        NodeState::Join(join) => join.times.clock.as_ref(),
        NodeState::Delayed(join) => join.times.clock.as_ref(),
        NodeState::Table(table) => table.past.as_ref().and_then(|past| past.times.clock.as_ref()),
        NodeState::Subscriptions(_) | NodeState::Stateless { .. } | NodeState::Writer(_) => None,
    }
}

fn open_node(
    now: i64,
    node: &Node,
    clock: impl Fn(&Node) -> NodeClock,
    meta: &Meta,
    active: &[Active],
    ports: &Ports<'_>,
) -> Result<NodeState, Verdict> {
    let name = meta_name(node);
    let (observed, closed) = meta
        .nodes
        .iter()
        .find(|(n, ..)| *n == name)
        .map_or((NEVER, NEVER), |(_, observed, closed)| (*observed, *closed));
    let times = |time| {
        let mut clock = (time == TimeRule::Upstream).then(|| clock(node));
        if let (Some(clock), Some(known)) = (&mut clock, meta.clocks.iter().find(|c| c.node == name)) {
            clock.restore(known);
        }
        Times { observed, closed, clock }
    };
    Ok(match &node.operator {
        NodeOperator::Process(p) => NodeState::Process(Box::new(process::State::open(
            p,
            times(p.time),
            ports,
            &Of::processor(node, p),
            active,
        )?)),
        NodeOperator::StreamJoin(j) => NodeState::Join(Box::new(streams::State::open(j, times(j.time), ports)?)),
        NodeOperator::Deduplicate(d) => {
            let ground = Ground { db: ports.db, space: ports.spaces[d.store], prefix: ports.prefix };
            let store = Held::Groups(Store::open(StoreKind::Window, ground)?);
            NodeState::Aggregate(Box::new(aggregate::State { times: times(d.time), store, sweep: Sweep::default() }))
        }
        NodeOperator::Aggregate(a) => {
            let ground = Ground { db: ports.db, space: ports.spaces[a.store], prefix: ports.prefix };
            let store = Held::open(a, ground, closed)?;
            let wanted = wanted_of(a, &*ports.functions, |function| active[function].prepared);
            let sweep = Of::aggregate(node, a).map(|of| Sweep::towards(wanted, &of, active)).unwrap_or_default();
            NodeState::Aggregate(Box::new(aggregate::State { times: times(a.time), store, sweep }))
        }
        NodeOperator::Repartition { .. } => NodeState::Writer(Writer::new(observed, now)),
        NodeOperator::Foreign(ForeignNode::Right { store }) => {
            let ground = Ground { db: ports.db, space: ports.spaces[*store], prefix: ports.prefix };
            NodeState::Subscriptions(Box::new(Entries::open(ground)?))
        }
        NodeOperator::Join(JoinNode { wait: Some(wait), .. }) => {
            NodeState::Delayed(Box::new(delayed::State::open(wait, times(wait.time), ports)?))
        }
        operator => match tables::open(operator, (observed, closed), times, ports)? {
            Some(table) => NodeState::Table(Box::new(table)),
            None => NodeState::Stateless { observed },
        },
    })
}

/// The changes of a node's stores, in their order.
fn take_changes(node: &mut NodeState) -> Vec<Vec<Change>> {
    match node {
        NodeState::Aggregate(a) => vec![a.store.take_changes()],
        NodeState::Table(t) => vec![t.take_changes()],
        NodeState::Subscriptions(entries) => vec![entries.take_changes()],
        NodeState::Process(p) => p.take_changes(),
        NodeState::Join(j) => vec![j.take_changes()],
        NodeState::Delayed(d) => vec![d.take_changes()],
        NodeState::Stateless { .. } | NodeState::Writer(_) => Vec::new(),
    }
}

/// The function a node calls.
pub fn function_of(node: &Node) -> Option<usize> {
    match &node.operator {
        NodeOperator::Filter { function, .. }
        | NodeOperator::Map { function, .. }
        | NodeOperator::Branch { function, .. }
        | NodeOperator::Peek { function } => Some(*function),
        NodeOperator::Aggregate(a) => a.function,
        NodeOperator::Table(t) => t.of.function(),
        NodeOperator::Join(join) | NodeOperator::Foreign(ForeignNode::Left(join)) => Some(join.function),
        NodeOperator::StreamJoin(join) => join.function,
        NodeOperator::GlobalJoin(join) => Some(join.function),
        NodeOperator::Regroup(regroup) => Some(regroup.function),
        NodeOperator::Process(p) => Some(p.function),
        NodeOperator::Sink { route, .. } => route.as_ref().map(|route| route.function),
        NodeOperator::Deduplicate(d) => d.function,
        _ => None,
    }
}

/// The functions that a node calls besides: those by which it adds records of its several inputs, or by which it looks rows up.
fn others_of(node: &Node) -> &[usize] {
    match &node.operator {
        NodeOperator::Aggregate(a) => &a.adders,
        NodeOperator::GlobalJoin(join) => core::slice::from_ref(&join.key),
        _ => &[],
    }
}

/// The functions that a step calls, by number; a source's that of its event times.
pub fn functions_of_step(sub: &SubTopology, step: &str) -> Vec<usize> {
    let here = |node: &&Node| node.name == step;
    let called = sub
        .nodes
        .iter()
        .filter(here)
        .flat_map(|node| function_of(node).into_iter().chain(others_of(node).iter().copied()));
    let timed = sub.inputs.iter().filter(|input| sub.nodes[input.node].name == step).filter_map(|i| i.timestamp());
    let mut all: Vec<usize> = called.chain(timed).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Evaluates the nodes once, parents first.
fn walk(cx: &mut Cx<'_, '_>, states: &mut [NodeState], phase: &Phase<'_>) -> Result<(), Verdict> {
    let sub = cx.sub;
    let mut outputs: Vec<Flow> = Vec::with_capacity(sub.nodes.len());
    // Where each node's outputs begin.
    let mut first: Vec<usize> = Vec::with_capacity(sub.nodes.len());
    for (at, node) in sub.nodes.iter().enumerate() {
        first.push(outputs.len());
        let flow = |(node, port): &(usize, u32)| &outputs[first[*node] + *port as usize];
        if let NodeOperator::Join(_) | NodeOperator::StreamJoin(_) | NodeOperator::Foreign(_) = &node.operator {
            let flows: Vec<&Flow> = node.parents.iter().map(flow).collect();
            let made = joins::run(cx, at, states, &flows, phase)?;
            outputs.extend(made);
            continue;
        }
        let merged;
        let input = match &node.parents[..] {
            [] => cx.empty,
            [parent] if tables::reads_latest(node) => {
                merged = flow(parent).latest().into_owned();
                &merged
            }
            [parent] if flow(parent).old.is_some() && !reads_changes(sub, node) => {
                merged = flow(parent).as_stream();
                &merged
            }
            [parent] => flow(parent),
            parents => {
                let flows: Vec<&Flow> = parents.iter().map(flow).collect();
                merged = if joins(sub, at) { Flow::join(&flows) } else { Flow::merge(&flows) };
                &merged
            }
        };
        match (&node.operator, phase) {
            (NodeOperator::Source, Phase::Batch(decoded)) => {
                let input = sub.inputs.iter().position(|i| i.node == at).unwrap_or_default();
                outputs.push(decoded.flows[input].clone());
            }
            (NodeOperator::Aggregate(aggregate), phase) => {
                let NodeState::Aggregate(state) = &mut states[at] else { unreachable!("opened by the same plan") };
                outputs.push(held::run(cx, node, aggregate, state, input, phase)?);
            }
            (NodeOperator::Table(table), phase) => {
                let NodeState::Table(state) = &mut states[at] else { unreachable!("opened by the same plan") };
                outputs.push(table::process(cx, node, table, state, input, phase.rows(), phase.is_end())?);
            }
            (NodeOperator::Regroup(regroup), phase) => {
                let NodeState::Table(state) = &mut states[at] else { unreachable!("opened by the same plan") };
                outputs.push(table::regroup(cx, node, regroup, state, input, phase.rows())?);
            }
            (NodeOperator::Deduplicate(operator), phase) => {
                let NodeState::Aggregate(state) = &mut states[at] else { unreachable!("opened by the same plan") };
                let ends = phase.is_end();
                outputs.push(deduplicate::run(cx, (node, operator), state, input, phase.rows(), ends)?);
            }
            (NodeOperator::Process(operator), phase) => {
                let NodeState::Process(state) = &mut states[at] else { unreachable!("opened by the same plan") };
                outputs.extend(held::run_process(cx, (node, operator), state, input, phase)?);
            }
            _ if input.is_empty() => outputs.extend((0..node.ports).map(|_| cx.empty.clone())),
            _ => {
                let mut results = run_stateless(cx, node, &mut states[at], input, phase)?;
                if !joins(sub, at) {
                    results.iter_mut().for_each(|flow| flow.inputs = None);
                }
                outputs.extend(results);
            }
        }
    }
    Ok(())
}

/// Whether a node joins the several inputs of the step that comes next, which may want to know them apart.
fn joins(sub: &SubTopology, at: usize) -> bool {
    let next = |n: &Node| n.name == sub.nodes[at].name && n.parents[..] == [(at, 0)];
    matches!(sub.nodes[at].operator, NodeOperator::Merge) && sub.nodes.get(at + 1).is_some_and(next)
}

/// Whether a node reads the changes of its one parent, and not a stream of new values.
fn reads_changes(sub: &SubTopology, node: &Node) -> bool {
    match &node.operator {
        NodeOperator::Table(_) | NodeOperator::Regroup(_) => true,
        NodeOperator::Aggregate(aggregate) => aggregate.of_table,
        NodeOperator::Repartition { .. } => {
            let grouped = |(at, _): &(usize, u32)| matches!(sub.nodes[*at].operator, NodeOperator::Regroup(_));
            node.parents.iter().all(grouped)
        }
        _ => false,
    }
}

/// What a step without state, or an end, makes of records: a flow for each of its ports.
fn run_stateless(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    state: &mut NodeState,
    input: &Flow,
    phase: &Phase<'_>,
) -> Result<Vec<Flow>, Verdict> {
    let observed = match (&node.operator, state) {
        (NodeOperator::Repartition { topic, .. }, NodeState::Writer(writer)) => {
            writer.write(cx, node, *topic, input)?;
            return Ok(Vec::new());
        }
        (NodeOperator::Sink { topic, key_format, window_headers, sessions, route }, _) => {
            let (format, window_headers, sessions) = (*key_format, *window_headers, *sessions);
            let sink = Sink { topic: *topic, format, window_headers, sessions };
            match route {
                None => sink.write(cx, node, input, None)?,
                Some(route) => route::write(cx, node, (sink, route), input)?,
            }
            return Ok(Vec::new());
        }
        (_, NodeState::Stateless { observed }) => observed,
        _ => unreachable!("opened by the same plan"),
    };
    let called = match &node.operator {
        NodeOperator::GlobalJoin(join) => Some(join.key),
        _ => function_of(node),
    };
    let Some(function) = called else { return Ok(vec![input.clone()]) };
    let wanted = cx.ports.functions.wants_stream_times(cx.active[function].prepared);
    let times = StreamTimes { wanted, observed, rows: phase.rows() };
    match &node.operator {
        NodeOperator::Filter { negate, .. } => {
            Ok(vec![stateless::filter(cx, node, function, !*negate, input, times, None)?.of(input)])
        }
        NodeOperator::Map { form, .. } => stateless::map(cx, node, function, Rules::Form(*form), input, times, None),
        NodeOperator::Branch { otherwise, .. } => {
            let rules = Rules::Branch { otherwise: *otherwise };
            stateless::map(cx, node, function, rules, input, times, None)
        }
        NodeOperator::GlobalJoin(join) => Ok(vec![crate::operator::join::global(cx, node, join, input, times)?]),
        _ => {
            stateless::filter(cx, node, function, true, input, times, None)?;
            Ok(vec![input.clone()])
        }
    }
}

/// Whether an input is a repartition topic.
pub fn is_internal(kind: &InputKind) -> bool {
    matches!(kind, InputKind::Repartition { .. })
}
