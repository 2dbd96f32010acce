//! The plan: steps as nodes, cut into sub-topologies at repartition topics.
//!
//! A *task* is one sub-topology at one partition number. Nodes of a sub-topology stand in an order in which parents come
//! before children, so that a batch is evaluated by walking them once.

mod aggregate;
mod deduplicate;
mod ends;
mod foreign;
mod globals;
mod history;
mod process;
mod stores;
mod streams;
mod tables;

pub use aggregate::input_name;
pub use deduplicate::DeduplicateNode;
pub use ends::RouteNode;
pub use foreign::{FOREIGN_PARTS, ForeignNode};
pub use globals::{GlobalJoinNode, GlobalTable};
pub use history::{HistoryNode, WaitNode};
pub use streams::{StreamJoinNode, side_name};
pub use tables::{JoinNode, RegroupNode, TableNode, TableOf};

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::formats::Assigned;
use crate::limits::Limits;

use super::check::ROUTED_TOPICS_MAX;
use super::spec::{self, Aggregate, Idle, Lateness, MapForm, OnError, Operator, Process, Spec};

/// A pipeline, ready to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Functions by number; steps name them by their place here.
    pub functions: Vec<String>,
    /// Every topic read or written, by number.
    pub topics: Vec<Topic>,
    /// What topics of sources and sinks hold; the planner sets none, as only the shell knows formats.
    pub formats: Assigned,
    /// Global tables, by number.
    pub globals: Vec<GlobalTable>,
    /// Sub-topologies, in the order of their first source.
    pub subs: Vec<SubTopology>,
}

/// A topic the pipeline reads or writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// Repartition topics belong to the pipeline and are made by the host.
    pub internal: bool,
    /// What its log takes; the planner sets none, as only the shell can know.
    pub limits: Limits,
}

/// What is connected without a repartition topic in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubTopology {
    /// Its inputs, in the order of the manifest.
    pub inputs: Vec<Input>,
    /// Its nodes, parents first.
    pub nodes: Vec<Node>,
    /// Its stores, in the order of their nodes: one for each aggregate, each table, each join of two streams or with waiting and each
    /// step that deduplicates; for each processor its named ones, then that of its timers.
    pub stores: Vec<Store>,
    /// How many tasks: the largest partition count of its inputs.
    pub tasks: u32,
    /// How long they wait for one of several inputs.
    pub max_idle: spec::MaxIdle,
}

/// A topic a sub-topology reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Number of the topic.
    pub topic: usize,
    /// The node that its records enter.
    pub node: usize,
    /// Where it comes from.
    pub kind: InputKind,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A topic of the user's.
    Source {
        /// What happens to a record that cannot be taken.
        on_error: OnError,
        /// Number of the function that gives event times; `None`: the records' own timestamps.
        timestamp: Option<usize>,
    },
    /// A repartition topic.
    Repartition {
        /// How many tasks write it.
        upstream_tasks: u32,
    },
}

/// A step, or an end of one, in a sub-topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Name of the step, source or sink.
    pub name: String,
    /// What it does.
    pub operator: NodeOperator,
    /// Whose outputs it takes: node and port, in order.
    pub parents: Vec<(usize, u32)>,
    /// How many outputs it has.
    pub ports: u32,
    /// What happens to a record that its function cannot handle.
    pub on_error: OnError,
    /// Which inputs of the sub-topology reach it, as bits.
    pub inputs: u64,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeOperator {
    /// Records enter here.
    Source,
    /// Keeps or drops.
    Filter {
        /// Number of the function.
        function: usize,
        /// Keeps what the function drops.
        negate: bool,
    },
    /// A function on single records.
    Map {
        /// Number of the function.
        function: usize,
        /// What it may change.
        form: MapForm,
    },
    /// To one of several outputs.
    Branch {
        /// Number of the function.
        function: usize,
        /// Port of records that match none.
        otherwise: Option<u32>,
    },
    /// Several streams into one.
    Merge,
    /// A filter whose answer is ignored.
    Peek {
        /// Number of the function.
        function: usize,
    },
    /// Groups and folds.
    Aggregate(AggregateNode),
    /// Writes a repartition topic.
    Repartition {
        /// Number of the topic.
        topic: usize,
        /// What the topic is named after: the step, of a cogroup the step and the input.
        after: String,
        /// How long this task may be silent before it says that it no longer holds windows open.
        idle: Idle,
    },
    /// Writes a topic of the user's.
    Sink {
        /// Number of the topic.
        topic: usize,
        /// How windowed keys are written.
        key_format: spec::KeyFormat,
        /// Whether window bounds also go into headers.
        window_headers: bool,
        /// Whether keys are those of sessions, of which Kafka's serializer writes end and start.
        sessions: bool,
        /// The function that says where results go, where there is one.
        route: Option<RouteNode>,
    },
    /// Keeps the latest value of each key.
    Table(TableNode),
    /// Joins its first parent with its second, which is a table.
    Join(JoinNode),
    /// Joins its parent, a stream, with a global table.
    GlobalJoin(GlobalJoinNode),
    /// Half of a join by foreign key.
    Foreign(ForeignNode),
    /// Joins its two parents, which are streams.
    StreamJoin(StreamJoinNode),
    /// Gives rows of a table other keys, for an aggregate over it.
    Regroup(RegroupNode),
    /// Calls a function that has stores and timers.
    Process(ProcessNode),
    /// Lets the first of records with one id through.
    Deduplicate(DeduplicateNode),
}

/// A processor with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessNode {
    /// What was asked for.
    pub spec: Process,
    /// Number of the function.
    pub function: usize,
    /// Number of its first store within the sub-topology; that of its timers stands behind its named ones.
    pub store: usize,
    /// Whose time it goes by.
    pub time: TimeRule,
}

/// An aggregate with names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateNode {
    /// What was asked for.
    pub spec: Aggregate,
    /// Number of the function, of a cogroup of the one that finishes; `None` for the built-in count.
    pub function: Option<usize>,
    /// Of a cogroup, numbers of the functions that add, by input; else none.
    pub adders: Vec<usize>,
    /// Number of the store within the sub-topology.
    pub store: usize,
    /// Topic for late records.
    pub late: Option<usize>,
    /// Whose time it goes by.
    pub time: TimeRule,
    /// Whether the incoming key has a window, which then is part of the group.
    pub by_window: bool,
    /// Whether changes of a table come in, of which the old row is taken out first.
    pub of_table: bool,
}

/// Whose time an operator goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeRule {
    /// The largest timestamp the operator has seen.
    Observed,
    /// The upstream tasks' of the repartition topics that feed it.
    Upstream,
}

/// A store of a sub-topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Name: the step's; of a processor's stores the step's and its own.
    pub name: String,
    /// Whether its keys have a window.
    pub windowed: bool,
    /// What its changelog takes, where it has one; the planner sets none. Timestamps there are the host's own, so only the
    /// size counts.
    pub limits: Limits,
}

/// Why a checked specification could still not be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A name in `from` or a function's name that nothing has. [`super::check`] reports these with their place.
    #[error("`{step}` names `{name}`, which is not there")]
    Unknown {
        /// Who names it.
        step: String,
        /// What is named.
        name: String,
    },
    /// Steps that feed themselves.
    #[error("these steps feed each other in a circle: {0}")]
    Cycle(String),
    /// Windowed results grouped into windows again under the same key.
    #[error(
        "`{0}` groups windowed results into windows again; give them a key of their own first (`select-key`), \
         as a result of two windows has no form"
    )]
    NestedWindow(String),
    /// A topic that exists nowhere.
    #[error("the topic `{0}` does not exist; say `partitions:` on its source or sink to have it made")]
    NoTopic(String),
    /// A router that may write more topics than there is room for.
    #[error("`{sink}` may write {count} topics; the limit is {ROUTED_TOPICS_MAX}: name fewer, or a narrower pattern")]
    TooManyTopics {
        /// The sink.
        sink: String,
        /// How many it names, or its pattern matches.
        count: usize,
    },
    /// More inputs than a sub-topology may have.
    #[error("a sub-topology reads {0} topics; the limit is {INPUTS_MAX}")]
    TooManyInputs(usize),
    /// The other side of a join is no table.
    #[error(
        "`{step}` joins with `{other}`, which is no table; put `table: {{}}` behind it, or say `within:` to join two streams"
    )]
    NoTable {
        /// The join.
        step: String,
        /// What is named.
        other: String,
    },
    /// An outer join of a stream.
    #[error(
        "`{0}` is an outer join of a stream with a table, and a change of the table sets nothing off; use `type: left`"
    )]
    OuterStream(String),
    /// A join of two streams one of which is a table.
    #[error(
        "`{step}` joins two streams within a time, and `{table}` is a table; leave `within` out to join with what the table has \
         when a record comes"
    )]
    TableWithin {
        /// The join.
        step: String,
        /// The step that makes the table.
        table: String,
    },
    /// Keys of one side have a window.
    #[error("`{0}` joins keys that have a window with keys that have none")]
    WindowedSide(String),
    /// A foreign key that does not bring two tables without windows together.
    #[error("`{0}` joins by foreign key (`key`), inner or left, two tables whose keys have no windows")]
    ForeignKey(String),
    /// A global table that does not read one source.
    #[error("`{0}` is a global table, and reads one source and nothing else")]
    GlobalInput(String),
    /// A join with a global table that has no key, is outer, or of a table.
    #[error("`{0}` joins with a global table: a stream does, by `key`, inner or left")]
    GlobalJoin(String),
    /// Records that wait for what has no history, or too short a one.
    #[error(
        "`{0}` waits (`grace`), which records of a stream do for a table with a `history` at least as long; leave `grace` out, or say \
         `table: {{ history: … }}`"
    )]
    Waits(String),
    /// A regrouped table that something else than an aggregate reads.
    #[error(
        "`{0}` reads a table that is grouped anew, which `count`, `reduce` and `aggregate` can alone, each from one"
    )]
    GroupedTable(String),
    /// A stream grouped as a table.
    #[error("`{0}` groups a stream as if it were a table; use `select-key`, or put `table: {{}}` before it")]
    GroupedStream(String),
    /// Windows over a table.
    #[error("`{0}` groups a table, whose rows lie in no windows")]
    WindowedTable(String),
    /// A scan over a table.
    #[error("`{0}` scans a table, of which rows would have to be taken out again; use `aggregate`")]
    ScannedTable(String),
    /// Sides of a join, or inputs of a cogroup, whose keys are not spread alike.
    #[error(
        "`{step}` joins `{}` ({}) with `{}` ({}); both sides need the same number of partitions: give one of the topics as many \
         as the other, or put a `repartition` step in between",
        one.0, partitions(one.1), other.0, partitions(other.1)
    )]
    NotCopartitioned {
        /// The join.
        step: String,
        /// A topic, and how many partitions it has.
        one: (String, u32),
        /// Another with another number of them.
        other: (String, u32),
    },
}

impl PlanError {
    /// The step that it is about, where it is about one.
    pub fn step(&self) -> Option<&str> {
        match self {
            PlanError::Unknown { step, .. }
            | PlanError::NestedWindow(step)
            | PlanError::NoTable { step, .. }
            | PlanError::TableWithin { step, .. }
            | PlanError::OuterStream(step)
            | PlanError::WindowedSide(step)
            | PlanError::ForeignKey(step)
            | PlanError::GlobalInput(step)
            | PlanError::GlobalJoin(step)
            | PlanError::Waits(step)
            | PlanError::GroupedTable(step)
            | PlanError::GroupedStream(step)
            | PlanError::WindowedTable(step)
            | PlanError::ScannedTable(step)
            | PlanError::NotCopartitioned { step, .. } => Some(step),
            PlanError::TooManyTopics { sink, .. } => Some(sink),
            PlanError::Cycle(_) | PlanError::NoTopic(_) | PlanError::TooManyInputs(_) => None,
        }
    }
}

fn partitions(count: u32) -> String {
    format!("{count} partition{}", if count == 1 { "" } else { "s" })
}

/// Most topics that one sub-topology can read.
pub const INPUTS_MAX: usize = 64;

/// What a processor's store of timers is called within its step.
pub const TIMERS_STORE: &str = "timers";

/// Name of a processor's store.
pub fn store_name(step: &str, store: &str) -> String {
    format!("{step}-{store}")
}

/// Name of the repartition topic in front of a step.
pub fn repartition_topic(pipeline: &str, step: &str) -> String {
    format!("{pipeline}-{step}-repartition")
}

/// Plans a specification; `partitions` tells how many partitions a topic of the user's has.
///
/// # Errors
/// [`PlanError`].
pub fn plan(spec: &Spec, partitions: &dyn Fn(&str) -> Option<u32>) -> Result<Topology, PlanError> {
    let mut planner = Planner::new(spec, partitions);
    planner.sources()?;
    for step in ordered_steps(spec)? {
        match step.operator {
            Operator::GlobalTable => planner.global_table(step)?,
            _ => planner.step(step)?,
        }
    }
    planner.sinks()?;
    planner.cut()
}

/// Steps so that each comes after those it reads.
fn ordered_steps(spec: &Spec) -> Result<Vec<&spec::StepSpec>, PlanError> {
    let mut done: Vec<&str> = spec.sources.iter().map(|s| s.name.as_str()).collect();
    let mut left: Vec<&spec::StepSpec> = spec.steps.iter().collect();
    let mut out = Vec::new();
    for step in &left {
        for from in step.reads() {
            if !done.contains(&from.name.as_str()) && !left.iter().any(|s| s.name == from.name) {
                return Err(PlanError::Unknown { step: step.name.clone(), name: from.name.clone() });
            }
        }
    }
    while !left.is_empty() {
        let ready = left.iter().position(|s| s.reads().all(|f| done.contains(&f.name.as_str())));
        let Some(at) = ready else {
            let names: Vec<&str> = left.iter().map(|s| s.name.as_str()).collect();
            return Err(PlanError::Cycle(names.join(", ")));
        };
        let step = left.remove(at);
        done.push(&step.name);
        out.push(step);
    }
    Ok(out)
}

/// A node of the whole pipeline, before it is cut.
struct Draft {
    node: Node,
    /// Key may have changed since the last partitioning.
    dirty: bool,
    /// Keys have a window.
    windowed: bool,
    /// Their windows are sessions.
    sessions: bool,
    /// An aggregate, or a join of tables, lies between it and the inputs.
    derived: bool,
    /// Its results are changes of a table.
    table: bool,
    /// They are those of a table that is grouped anew.
    grouped: bool,
    /// Of a table with history, for how long rows can be looked up as they were, milliseconds.
    history: Option<i64>,
    /// For source nodes: topic, and step that writes it.
    input: Option<DraftInput>,
}

struct DraftInput {
    topic: usize,
    on_error: OnError,
    timestamp: Option<usize>,
    writer: Option<usize>,
}

struct Planner<'a> {
    spec: &'a Spec,
    partitions: &'a dyn Fn(&str) -> Option<u32>,
    topics: Vec<Topic>,
    drafts: Vec<Draft>,
    names: BTreeMap<String, usize>,
    outputs: BTreeMap<(String, String), u32>,
    globals: Vec<GlobalTable>,
}

impl<'a> Planner<'a> {
    fn new(spec: &'a Spec, partitions: &'a dyn Fn(&str) -> Option<u32>) -> Self {
        let (topics, drafts, globals) = (Vec::new(), Vec::new(), Vec::new());
        Self { spec, partitions, topics, drafts, names: BTreeMap::new(), outputs: BTreeMap::new(), globals }
    }

    fn topic(&mut self, name: &str) -> Result<usize, PlanError> {
        if let Some(at) = self.topics.iter().position(|t| t.name == name) {
            return Ok(at);
        }
        let partitions = (self.partitions)(name).ok_or_else(|| PlanError::NoTopic(name.to_string()))?;
        self.topics.push(Topic { name: name.to_string(), partitions, internal: false, limits: Limits::default() });
        Ok(self.topics.len() - 1)
    }

    fn function(&self, step: &str, name: &str) -> Result<usize, PlanError> {
        self.spec
            .functions
            .iter()
            .position(|f| f.name == name)
            .ok_or_else(|| PlanError::Unknown { step: step.to_string(), name: name.to_string() })
    }

    fn draft(&mut self, name: &str, operator: NodeOperator, parents: Vec<(usize, u32)>, on_error: OnError) -> usize {
        let any = |f: fn(&Draft) -> bool| parents.iter().any(|p| f(&self.drafts[p.0]));
        let (dirty, windowed, derived) = (any(|d| d.dirty), any(|d| d.windowed), any(|d| d.derived));
        let sessions = any(|d| d.sessions);
        let node = Node { name: name.to_string(), operator, parents, ports: 1, on_error, inputs: 0 };
        let (table, grouped, history, input) = (false, false, None, None);
        self.drafts.push(Draft { node, dirty, windowed, sessions, derived, table, grouped, history, input });
        self.drafts.len() - 1
    }

    fn parents(&self, step: &str, from: &[spec::From]) -> Result<Vec<(usize, u32)>, PlanError> {
        from.iter()
            .map(|f| {
                let unknown = || PlanError::Unknown { step: step.to_string(), name: f.name.clone() };
                let node = *self.names.get(&f.name).ok_or_else(unknown)?;
                let port = match &f.output {
                    None => 0,
                    Some(output) => *self.outputs.get(&(f.name.clone(), output.clone())).ok_or_else(unknown)?,
                };
                Ok((node, port))
            })
            .collect()
    }

    /// Where a step takes its records: its one parent, or a merge of several.
    fn joined(&mut self, step: &str, from: &[spec::From]) -> Result<(usize, u32), PlanError> {
        let parents = self.parents(step, from)?;
        if parents.len() > 1 && parents.iter().any(|p| self.drafts[p.0].grouped) {
            return Err(PlanError::GroupedTable(step.to_string()));
        }
        Ok(match parents[..] {
            [one] => one,
            _ => (self.draft(step, NodeOperator::Merge, parents, OnError::Fail), 0),
        })
    }

    fn step(&mut self, step: &spec::StepSpec) -> Result<(), PlanError> {
        let mut parent = match self.cogrouped(step)? {
            Some(merged) => merged,
            None => self.joined(&step.name, &step.from)?,
        };
        if self.drafts[parent.0].grouped && !matches!(step.operator, Operator::Aggregate(_)) {
            return Err(PlanError::GroupedTable(step.name.clone()));
        }
        if let Some(at) = self.table_step(step, parent)? {
            self.names.insert(step.name.clone(), at);
            return Ok(());
        }
        let function = |planner: &Self, name: &str| planner.function(&step.name, name);
        let mut ports = 1;
        let operator = match &step.operator {
            Operator::Filter { function: f, negate } => {
                NodeOperator::Filter { function: function(self, f)?, negate: *negate }
            }
            Operator::Map { function: f, form } => NodeOperator::Map { function: function(self, f)?, form: *form },
            Operator::Peek { function: f } => NodeOperator::Peek { function: function(self, f)? },
            Operator::Merge => NodeOperator::Merge,
            Operator::Branch { function: f, outputs, otherwise } => {
                let all = outputs.iter().chain(otherwise.iter());
                for (port, output) in all.enumerate() {
                    self.outputs.insert((step.name.clone(), output.clone()), port as u32);
                }
                ports = (outputs.len() + usize::from(otherwise.is_some())) as u32;
                let otherwise = otherwise.as_ref().map(|_| outputs.len() as u32);
                NodeOperator::Branch { function: function(self, f)?, otherwise }
            }
            Operator::Repartition { partitions } => {
                let at = self.repartition(step, parent, *partitions);
                self.names.insert(step.name.clone(), at);
                return Ok(());
            }
            Operator::Aggregate(aggregate) => {
                if self.drafts[parent.0].dirty {
                    parent = (self.repartition(step, parent, aggregate.partitions), 0);
                }
                self.aggregate(step, aggregate, parent)?
            }
            Operator::GlobalTable
            | Operator::Table { .. }
            | Operator::Join(_)
            | Operator::StreamJoin(_)
            | Operator::Regroup { .. } => {
                unreachable!("planned as a table's step")
            }
            Operator::Deduplicate(deduplicate) => self.deduplicate(step, deduplicate, &mut parent)?,
            Operator::Process(process) => {
                ports = process.outputs.len().max(1) as u32;
                self.process(step, process, &mut parent)?
            }
        };
        let at = self.draft(&step.name, operator, vec![parent], step.on_error.clone());
        self.drafts[at].node.ports = ports;
        self.mark_keys(at);
        self.names.insert(step.name.clone(), at);
        Ok(())
    }

    /// Whose time a step goes by that reads this draft, if a repartition topic feeds it.
    fn time_rule(&self, step: &spec::StepSpec, parent: usize) -> TimeRule {
        match step.lateness {
            Lateness::OwnTask if !self.drafts[parent].derived => TimeRule::Upstream,
            _ => TimeRule::Observed,
        }
    }

    /// Puts a repartition topic behind `parent`; gives the node that reads it.
    fn repartition(&mut self, step: &spec::StepSpec, parent: (usize, u32), partitions: Option<u32>) -> usize {
        self.repartition_after(&step.name, step, parent, partitions)
    }

    /// The same, with a topic that is named after something else than the step.
    fn repartition_after(
        &mut self,
        after: &str,
        step: &spec::StepSpec,
        parent: (usize, u32),
        partitions: Option<u32>,
    ) -> usize {
        let name = repartition_topic(&self.spec.pipeline, after);
        let (partitions, limits) = (partitions.unwrap_or(0), Limits::default());
        self.topics.push(Topic { name, partitions, internal: true, limits });
        let topic = self.topics.len() - 1;
        let writer = NodeOperator::Repartition { topic, after: after.to_string(), idle: step.idle };
        let writer = self.draft(&step.name, writer, vec![parent], step.on_error.clone());
        let (windowed, sessions) = (self.drafts[parent.0].windowed, self.drafts[parent.0].sessions);
        let at = self.draft(&step.name, NodeOperator::Source, vec![], OnError::Fail);
        (self.drafts[at].windowed, self.drafts[at].sessions) = (windowed, sessions);
        self.drafts[at].grouped = self.drafts[parent.0].grouped;
        self.drafts[at].input =
            Some(DraftInput { topic, on_error: OnError::Fail, timestamp: None, writer: Some(writer) });
        at
    }

    /// Numbers connected nodes as sub-topologies and settles partition counts along the repartition topics.
    fn cut(mut self) -> Result<Topology, PlanError> {
        self.tell_tables_everything();
        let component = components(&self.drafts);
        let mut order: Vec<usize> = Vec::new();
        component.iter().for_each(|c| {
            if !order.contains(c) {
                order.push(*c);
            }
        });
        let tasks = self.settle_partitions(&component, &order)?;
        let mut subs = Vec::new();
        for (number, c) in order.iter().enumerate() {
            subs.push(self.sub(&component, *c, tasks[number], &order, &tasks)?);
        }
        Ok(Topology {
            formats: Assigned::default(),
            pipeline: self.spec.pipeline.clone(),
            functions: self.spec.functions.iter().map(|f| f.name.clone()).collect(),
            topics: self.topics,
            globals: self.globals,
            subs,
        })
    }

    fn sub(
        &self,
        component: &[usize],
        c: usize,
        tasks: u32,
        order: &[usize],
        all_tasks: &[u32],
    ) -> Result<SubTopology, PlanError> {
        let members: Vec<usize> = (0..self.drafts.len()).filter(|i| component[*i] == c).collect();
        let local = |global: usize| members.iter().position(|m| *m == global).unwrap_or_default();
        let max_idle = self.max_idle(&members);
        let mut sub = SubTopology { inputs: vec![], nodes: vec![], stores: vec![], tasks, max_idle };
        for (at, global) in members.iter().enumerate() {
            let draft = &self.drafts[*global];
            let mut node = draft.node.clone();
            node.parents.iter_mut().for_each(|p| p.0 = local(p.0));
            let triggers = match &node.operator {
                // A change of the table sets nothing off, so that its inputs say nothing of the time of the results.
                NodeOperator::Join(JoinNode { store: None, .. }) => &node.parents[..1],
                _ => &node.parents[..],
            };
            node.inputs = triggers.iter().fold(0, |bits, p| bits | sub_inputs(&sub, p.0));
            if let Some(input) = &draft.input {
                if sub.inputs.len() == INPUTS_MAX {
                    return Err(PlanError::TooManyInputs(INPUTS_MAX + 1));
                }
                node.inputs = 1 << sub.inputs.len();
                let kind = match input.writer {
                    None => InputKind::Source { on_error: input.on_error.clone(), timestamp: input.timestamp },
                    Some(writer) => {
                        let upstream = order.iter().position(|c| *c == component[writer]).unwrap_or(0);
                        InputKind::Repartition { upstream_tasks: all_tasks[upstream] }
                    }
                };
                sub.inputs.push(Input { topic: input.topic, node: at, kind });
            }
            let repartitioned = (0..sub.inputs.len())
                .any(|i| node.inputs >> i & 1 == 1 && matches!(sub.inputs[i].kind, InputKind::Repartition { .. }));
            if let Some(time) = node.operator.time().filter(|_| !repartitioned) {
                *time = TimeRule::Observed;
            }
            if let NodeOperator::Regroup(regroup) = &mut node.operator {
                regroup.topics = self.topics_behind(*global);
            }
            sub.place_stores(&mut node);
            sub.nodes.push(node);
        }
        Ok(sub)
    }
}

fn sub_inputs(sub: &SubTopology, node: usize) -> u64 {
    sub.nodes[node].inputs
}

/// For each draft, the smallest number of a draft that it is connected with.
fn components(drafts: &[Draft]) -> Vec<usize> {
    let mut component: Vec<usize> = (0..drafts.len()).collect();
    loop {
        let before = component.clone();
        for (i, draft) in drafts.iter().enumerate() {
            for (parent, _) in &draft.node.parents {
                let least = component[i].min(component[*parent]);
                component[i] = least;
                component[*parent] = least;
            }
        }
        if component == before {
            return component;
        }
    }
}
