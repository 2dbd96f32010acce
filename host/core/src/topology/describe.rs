//! A planned pipeline as a drawing, and the drawing as Mermaid or DOT text. Pure and the same every time.
//!
//! Sub-topologies are frames; topics stand between them; a store hangs at its step. The internal nodes that write and read
//! a repartition topic are left out: the topic is drawn instead. Not here: positions and SVG, which the shell adds.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::graph::{
    AggregateNode, DeduplicateNode, ForeignNode, InputKind, Node, NodeOperator, ProcessNode, StreamJoinNode,
    SubTopology, TableOf, Topology,
};
use super::spec::{
    Aggregate, CountFormat, Emit, Fold, From, JoinKind, JoinWindow, MapForm, OnError, Operator, Process, Spec, Window,
    WindowForm,
};

/// A pipeline as boxes and arrows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// Boxes; arrows and frames name them by their place here.
    pub shapes: Vec<Shape>,
    /// One for each sub-topology, in their order.
    pub frames: Vec<Frame>,
    /// Arrows.
    pub arrows: Vec<Arrow>,
}

/// A box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it stands for.
    pub kind: ShapeKind,
    /// What is written in it: its name, then what else is to be said of it.
    pub lines: Vec<String>,
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShapeKind {
    /// A topic of the user's.
    Topic,
    /// A repartition topic.
    Internal,
    /// A source, step or sink.
    Step,
    /// The state of a step.
    Store,
}

/// A sub-topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What is written above it.
    pub title: String,
    /// The boxes inside.
    pub shapes: Vec<usize>,
}

/// An arrow between two boxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrow {
    /// Where it begins.
    pub from: usize,
    /// Where it ends.
    pub to: usize,
    /// What is written on it; often nothing.
    pub label: String,
    /// Not the way of ordinary records: late ones, dead letters, state.
    pub dashed: bool,
}

/// The drawing of a planned pipeline; `spec` is what it was planned from, and tells the names of outputs.
pub fn describe(topology: &Topology, spec: &Spec) -> Drawing {
    let mut drawing = Drawing::default();
    for topic in &topology.topics {
        let kind = if topic.internal { ShapeKind::Internal } else { ShapeKind::Topic };
        let lines = vec![topic.name.clone(), counted(topic.partitions, "partition")];
        drawing.shapes.push(Shape { kind, lines });
    }
    for table in &topology.globals {
        let lines = vec![table.name.clone(), "global table".to_string()];
        drawing.shapes.push(Shape { kind: ShapeKind::Store, lines });
        let at = drawing.shapes.len() - 1;
        table.topics.iter().for_each(|topic| drawing.arrow(*topic, at, "", false));
    }
    for (number, sub) in topology.subs.iter().enumerate() {
        let title = format!("sub-topology {number} · {}", counted(sub.tasks, "task"));
        drawing.frames.push(Frame { title, shapes: Vec::new() });
        drawing.sub(topology, spec, number, sub);
    }
    drawing
}

impl Drawing {
    fn sub(&mut self, topology: &Topology, spec: &Spec, number: usize, sub: &SubTopology) {
        // The box that stands for each node: topics stand for the nodes that write and read repartition topics, a step
        // for the merge of its inputs.
        let mut boxes = vec![usize::MAX; sub.nodes.len()];
        let joins = |at: usize| {
            let child = sub.nodes.iter().position(|n| n.parents.contains(&(at, 0)) && n.name == sub.nodes[at].name);
            child.filter(|_| sub.nodes[at].operator == NodeOperator::Merge)
        };
        for (at, node) in sub.nodes.iter().enumerate().filter(|(at, _)| joins(*at).is_none()) {
            let internal = sub.inputs.iter().find(|i| i.node == at && matches!(i.kind, InputKind::Repartition { .. }));
            boxes[at] = match (&node.operator, internal) {
                (NodeOperator::Repartition { topic, .. }, _) => *topic,
                (_, Some(input)) => input.topic,
                _ => {
                    self.shapes.push(Shape { kind: ShapeKind::Step, lines: node_lines(topology, node) });
                    self.frames[number].shapes.push(self.shapes.len() - 1);
                    self.shapes.len() - 1
                }
            };
        }
        for at in (0..boxes.len()).rev() {
            // Children stand behind their parents, so theirs is settled.
            boxes[at] = joins(at).map_or(boxes[at], |child| boxes[child]);
        }
        for input in sub.inputs.iter().filter(|i| boxes[i.node] != i.topic) {
            self.arrow(input.topic, boxes[input.node], "", false);
        }
        for (at, node) in sub.nodes.iter().enumerate() {
            for (parent, port) in node.parents.iter().filter(|(parent, _)| boxes[*parent] != boxes[at]) {
                let label = output_name(spec, &sub.nodes[*parent].name, *port);
                self.arrow(boxes[*parent], boxes[at], label, false);
            }
            self.sides(topology, sub, node, boxes[at], number);
        }
    }

    /// What else a node is connected with: the topic it writes, its store, late records, dead letters.
    fn sides(&mut self, topology: &Topology, sub: &SubTopology, node: &Node, shape: usize, number: usize) {
        if let NodeOperator::Sink { topic, route, .. } = &node.operator {
            self.arrow(shape, *topic, "", false);
            let routed = route.iter().flat_map(|route| &route.topics).filter(|routed| *routed != topic);
            routed.for_each(|routed| self.arrow(shape, *routed, "route", false));
        }
        let mut store = |store: usize, what: &str| {
            let lines = vec![sub.stores[store].name.clone(), what.to_string()];
            self.shapes.push(Shape { kind: ShapeKind::Store, lines });
            let at = self.shapes.len() - 1;
            self.frames[number].shapes.push(at);
            self.arrow(shape, at, "", true);
        };
        match &node.operator {
            NodeOperator::Aggregate(AggregateNode { store: at, late, .. }) => {
                store(*at, "store");
                late.iter().for_each(|topic| self.arrow(shape, *topic, "late", true));
            }
            NodeOperator::Deduplicate(deduplicate) => {
                store(deduplicate.store, "ids");
                deduplicate.late.iter().for_each(|topic| self.arrow(shape, *topic, "late", true));
            }
            NodeOperator::Process(ProcessNode { store: first, spec, .. }) => {
                (*first..).zip(&spec.stores).for_each(|(at, spec)| match spec.ttl_ms {
                    Some(ttl_ms) => store(at, &format!("store, ttl {}", duration(ttl_ms))),
                    None => store(at, "store"),
                });
                store(first + spec.stores.len(), "timers");
            }
            NodeOperator::Table(table) => {
                store(table.store, if table.history.is_some() { "store, with history" } else { "store" });
                let late = table.history.iter().filter_map(|history| history.late);
                late.for_each(|topic| self.arrow(shape, topic, "late", true));
            }
            // Global tables stand behind the topics.
            NodeOperator::GlobalJoin(join) => self.arrow(topology.topics.len() + join.table, shape, "", true),
            NodeOperator::Join(join) | NodeOperator::Foreign(ForeignNode::Left(join)) => {
                join.store.iter().for_each(|at| store(*at, "store"));
                join.wait.iter().for_each(|wait| store(wait.store, "waiting records"));
            }
            NodeOperator::Foreign(ForeignNode::Right { store: at }) => store(*at, "subscriptions"),
            NodeOperator::Regroup(regroup) => store(regroup.store, "store"),
            NodeOperator::StreamJoin(StreamJoinNode { store: at, late, .. }) => {
                store(*at, "store");
                late.iter().for_each(|topic| self.arrow(shape, *topic, "late", true));
            }
            _ => {}
        }
        if let OnError::DeadLetter(name) = &node.on_error
            && let Some(topic) = topology.topics.iter().position(|t| t.name == *name)
        {
            self.arrow(shape, topic, "errors", true);
        }
    }

    fn arrow(&mut self, from: usize, to: usize, label: &str, dashed: bool) {
        self.arrows.push(Arrow { from, to, label: label.to_string(), dashed });
    }

    /// Boxes that stand in no frame: the topics.
    fn outside(&self) -> impl Iterator<Item = usize> {
        (0..self.shapes.len()).filter(|i| !self.frames.iter().any(|f| f.shapes.contains(i)))
    }
}

/// The drawing in Mermaid's language, as GitHub and many editors show it.
pub fn mermaid(drawing: &Drawing) -> String {
    let mut out = String::from("flowchart TB\n");
    let shape = |i: usize| {
        let text = drawing.shapes[i].lines.iter().map(|l| l.replace('"', "#quot;")).collect::<Vec<_>>().join("<br/>");
        match drawing.shapes[i].kind {
            ShapeKind::Topic => format!("n{i}([\"{text}\"])"),
            ShapeKind::Internal => format!("n{i}([\"{text}\"]):::internal"),
            ShapeKind::Step => format!("n{i}[\"{text}\"]"),
            ShapeKind::Store => format!("n{i}[(\"{text}\")]"),
        }
    };
    drawing.outside().for_each(|i| out += &format!("  {}\n", shape(i)));
    for (number, frame) in drawing.frames.iter().enumerate() {
        out += &format!("  subgraph sub{number}[\"{}\"]\n", frame.title);
        frame.shapes.iter().for_each(|i| out += &format!("    {}\n", shape(*i)));
        out.push_str("  end\n");
    }
    for arrow in &drawing.arrows {
        let line = if arrow.dashed { "-.->" } else { "-->" };
        let label = if arrow.label.is_empty() {
            String::new()
        } else {
            format!("|\"{}\"|", arrow.label.replace('"', "#quot;"))
        };
        out += &format!("  n{} {line}{label} n{}\n", arrow.from, arrow.to);
    }
    out.push_str("  classDef internal stroke-dasharray: 5 5\n");
    out
}

/// The drawing in Graphviz' language.
pub fn dot(drawing: &Drawing) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let shape = |i: usize| {
        let text: Vec<String> =
            drawing.shapes[i].lines.iter().map(|l| l.replace('\\', "\\\\").replace('"', "\\\"")).collect();
        let look = match drawing.shapes[i].kind {
            ShapeKind::Topic => "shape=oval",
            ShapeKind::Internal => "shape=oval style=dashed",
            ShapeKind::Step => "shape=box style=rounded",
            ShapeKind::Store => "shape=cylinder",
        };
        format!("n{i} [label=\"{}\" {look}];", text.join("\\n"))
    };
    let mut out =
        String::from("digraph pipeline {\n  node [fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\"];\n");
    drawing.outside().for_each(|i| out += &format!("  {}\n", shape(i)));
    for (number, frame) in drawing.frames.iter().enumerate() {
        out += &format!("  subgraph cluster_{number} {{\n    label={};\n", quoted(&frame.title));
        frame.shapes.iter().for_each(|i| out += &format!("    {}\n", shape(*i)));
        out.push_str("  }\n");
    }
    for arrow in &drawing.arrows {
        let mut look = Vec::new();
        if !arrow.label.is_empty() {
            look.push(format!("label={}", quoted(&arrow.label)));
        }
        if arrow.dashed {
            look.push("style=dashed".to_string());
        }
        let look = if look.is_empty() { String::new() } else { format!(" [{}]", look.join(" ")) };
        out += &format!("  n{} -> n{}{look};\n", arrow.from, arrow.to);
    }
    out.push_str("}\n");
    out
}

/// The name of an output that has one, `""` for all else.
fn output_name<'a>(spec: &'a Spec, step: &str, port: u32) -> &'a str {
    match spec.steps.iter().find(|s| s.name == step).map(|s| &s.operator) {
        Some(Operator::Branch { outputs, otherwise, .. }) => {
            outputs.iter().chain(otherwise).nth(port as usize).map_or("", String::as_str)
        }
        Some(Operator::Process(Process { outputs, .. })) => outputs.get(port as usize).map_or("", String::as_str),
        _ => "",
    }
}

fn node_lines(topology: &Topology, node: &Node) -> Vec<String> {
    let name = |function: &usize| topology.functions[*function].as_str();
    let mut lines = vec![node.name.clone()];
    lines.extend(match &node.operator {
        NodeOperator::Source => vec!["source".to_string()],
        NodeOperator::Filter { function, negate: false } => vec![format!("filter {}", name(function))],
        NodeOperator::Filter { function, negate: true } => vec![format!("filter-not {}", name(function))],
        NodeOperator::Map { function, form } => vec![format!("{} {}", map_word(*form), name(function))],
        NodeOperator::Branch { function, .. } => vec![format!("branch {}", name(function))],
        NodeOperator::Merge => vec!["merge".to_string()],
        NodeOperator::Peek { function } => vec![format!("peek {}", name(function))],
        NodeOperator::Aggregate(aggregate) => aggregate_lines(&aggregate.spec),
        NodeOperator::Repartition { .. } => vec!["repartition".to_string()],
        NodeOperator::Sink { route: Some(route), .. } => {
            vec!["sink".to_string(), format!("route {}", name(&route.function))]
        }
        NodeOperator::Sink { .. } => vec!["sink".to_string()],
        NodeOperator::Table(table) => {
            let what = match &table.of {
                TableOf::Stream => "table".to_string(),
                TableOf::Filter { function, negate: false } => format!("table, filter {}", name(function)),
                TableOf::Filter { function, negate: true } => format!("table, filter-not {}", name(function)),
                TableOf::MapValues { function } => format!("table, map-values {}", name(function)),
                TableOf::ForeignKey { function } => format!("table, foreign key {}", name(function)),
            };
            let history = table.history.iter().map(|history| format!("history {}", duration(history.history_ms)));
            [what].into_iter().chain(history).collect()
        }
        NodeOperator::Regroup(regroup) => vec![format!("group by {}", name(&regroup.function))],
        NodeOperator::Foreign(ForeignNode::Right { .. }) => vec!["answer by foreign key".to_string()],
        NodeOperator::Foreign(ForeignNode::Left(join)) => {
            let kind = if join.kind == JoinKind::Left { "left " } else { "" };
            vec![format!("table, {kind}join by foreign key with {}", name(&join.function))]
        }
        NodeOperator::Join(join) => {
            let what = if join.store.is_some() { "table, " } else { "" };
            let join_line = format!("{what}{}join with {}", kind_word(join.kind), name(&join.function));
            let wait = join.wait.iter().map(|wait| format!("grace {}", duration(wait.grace_ms)));
            [join_line].into_iter().chain(wait).collect()
        }
        NodeOperator::GlobalJoin(join) => {
            let (kind, with) = (kind_word(join.kind), name(&join.function));
            vec![format!("{kind}join with {with}"), format!("global table, by {}", name(&join.key))]
        }
        NodeOperator::StreamJoin(join) => {
            let with = join.function.as_ref().map_or(String::new(), |function| format!(" with {}", name(function)));
            let JoinWindow { before_ms, after_ms, grace_ms } = join.window;
            let within = match before_ms == after_ms {
                true => duration(before_ms),
                false => format!("{} before, {} after", duration(before_ms), duration(after_ms)),
            };
            let window = format!("within {within}, grace {}", duration(grace_ms));
            vec![format!("{}join of streams{with}", kind_word(join.kind)), window]
        }
        NodeOperator::Process(process) => vec![format!("process {}", name(&process.function))],
        NodeOperator::Deduplicate(DeduplicateNode { spec, .. }) => {
            let by = spec.function.as_ref().map_or("deduplicate".into(), |f| format!("deduplicate by {f}"));
            vec![by, format!("within {}, grace {}", duration(spec.within_ms), duration(spec.grace_ms))]
        }
    });
    lines
}

fn kind_word(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "",
        JoinKind::Left => "left ",
        JoinKind::Outer => "outer ",
    }
}

fn aggregate_lines(aggregate: &Aggregate) -> Vec<String> {
    let mut lines = vec![match &aggregate.fold {
        Fold::Count(CountFormat::Long) => "count".to_string(),
        Fold::Count(CountFormat::Text) => "count, as text".to_string(),
        Fold::Reduce { function } => format!("reduce {function}"),
        Fold::Aggregate { function } => format!("aggregate {function}"),
        Fold::Scan { function } => format!("scan {function}"),
        Fold::Cogroup { adders, finisher } => format!("cogroup {}, finish {finisher}", adders.join(", ")),
    }];
    if let Some(Window { form, grace_ms }) = aggregate.window {
        let form = match form {
            WindowForm::Hopping { size_ms, advance_ms } if size_ms == advance_ms => {
                format!("tumbling {}", duration(size_ms))
            }
            WindowForm::Hopping { size_ms, advance_ms } => {
                format!("hopping {}, advance {}", duration(size_ms), duration(advance_ms))
            }
            WindowForm::Cumulating { size_ms, step_ms } => {
                format!("cumulating {}, step {}", duration(size_ms), duration(step_ms))
            }
            WindowForm::Calendar(calendar) => calendar.name().to_string(),
            WindowForm::Session { gap_ms } => format!("session, gap {}", duration(gap_ms)),
            WindowForm::Sliding { difference_ms } => format!("sliding, difference {}", duration(difference_ms)),
            WindowForm::Panes { size_ms, advance_ms } => {
                format!("hopping {}, advance {}, in panes", duration(size_ms), duration(advance_ms))
            }
        };
        lines.push(format!("{form}, grace {}", duration(grace_ms)));
    }
    lines.push(match aggregate.emit {
        Emit::OnUpdate if aggregate.emit_every_update => "emit every update".to_string(),
        Emit::OnUpdate => "emit on-update".to_string(),
        Emit::OnClose => "emit on-close".to_string(),
    });
    lines
}

/// Milliseconds in the largest unit that divides them, as the manifest writes durations.
pub fn duration(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(size, _)| ms != 0 && ms % size == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(size, unit)| format!("{}{unit}", ms / size))
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// An operator's name in the manifest.
pub fn operator_word(operator: &Operator) -> &'static str {
    match operator {
        Operator::Filter { negate: false, .. } => "filter",
        Operator::Filter { negate: true, .. } => "filter-not",
        Operator::Map { form, .. } => map_word(*form),
        Operator::Branch { .. } => "branch",
        Operator::Merge => "merge",
        Operator::Peek { .. } => "peek",
        Operator::Repartition { .. } => "repartition",
        Operator::Aggregate(Aggregate { fold: Fold::Count(_), .. }) => "count",
        Operator::Aggregate(Aggregate { fold: Fold::Reduce { .. }, .. }) => "reduce",
        Operator::Aggregate(Aggregate { fold: Fold::Aggregate { .. }, .. }) => "aggregate",
        Operator::Aggregate(Aggregate { fold: Fold::Scan { .. }, .. }) => "scan",
        Operator::Aggregate(Aggregate { fold: Fold::Cogroup { .. }, .. }) => "cogroup",
        Operator::Table { .. } => "table",
        Operator::GlobalTable => "global-table",
        Operator::Join(_) | Operator::StreamJoin(_) => "join",
        Operator::Regroup { .. } => "group-by",
        Operator::Process(_) => "process",
        Operator::Deduplicate(_) => "deduplicate",
    }
}

fn map_word(form: MapForm) -> &'static str {
    match form {
        MapForm::Map => "map",
        MapForm::MapValues => "map-values",
        MapForm::FlatMap => "flat-map",
        MapForm::FlatMapValues => "flat-map-values",
        MapForm::SelectKey => "select-key",
    }
}

/// A name in `from` as the manifest writes it.
pub fn shown(from: &From) -> String {
    match &from.output {
        None => from.name.clone(),
        Some(output) => format!("{}.{output}", from.name),
    }
}
