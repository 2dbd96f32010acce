//! The oracle's own plan of a pipeline: nodes, repartition topics where a key may have changed, sub-topologies, partitions.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::topology::spec::*;

use super::super::case::Case;
use super::task::ends::written_by;

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Records of a topic of the user's enter.
    Entry {
        topic: String,
        /// Gives event times.
        timestamp: Option<String>,
        on_error: OnError,
    },
    /// Several streams into one.
    Merge,
    /// A step that is none of the others.
    Step(StepSpec),
    Fold {
        step: StepSpec,
        fold: Aggregate,
        by_window: bool,
        own_task: bool,
        of_table: bool,
    },
    Process {
        step: StepSpec,
        process: Process,
        own_task: bool,
    },
    Deduplicate {
        step: StepSpec,
        spec: Deduplicate,
        by_window: bool,
        own_task: bool,
    },
    /// Records leave into a repartition topic.
    Cut {
        step: String,
        on_error: OnError,
        topic: String,
        idle: Idle,
    },
    /// And come in again.
    CutEntry {
        topic: String,
        writer: usize,
    },
    /// Of its router the topics that it may name, whatever was said of a pattern.
    Sink(SinkSpec),
    /// The latest value of each key of what comes, or, `over` a table, of what the step makes of its rows.
    Table {
        step: StepSpec,
        over: bool,
        own_task: bool,
    },
    /// The first parent joined with the second; `tables`: both are.
    Join {
        step: StepSpec,
        join: Join,
        tables: bool,
        own_task: bool,
    },
    /// Records look rows of a global table up.
    GlobalJoin {
        step: StepSpec,
        join: Join,
    },
    /// Two streams joined in windows.
    StreamJoin {
        step: StepSpec,
        join: StreamJoin,
        own_task: bool,
    },
    /// A table whose rows are given other keys.
    Regroup(StepSpec),
    /// Of each row of a table the key of the row that it is joined with; the step is a `select-key`.
    ForeignKeys(StepSpec),
    /// Where the left rows of a join by foreign key are: parents are the foreign keys, the rows and the answers.
    Asks {
        step: StepSpec,
        join: Join,
    },
    /// Where the right ones are: parents are the questions and the rows.
    Answers,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    /// Nodes and their outputs.
    pub parents: Vec<(usize, u32)>,
    pub sub: usize,
    /// The key may have changed.
    dirty: bool,
    pub windowed: bool,
    /// Windows are sessions.
    pub sessions: bool,
    derived: bool,
    pub table: bool,
    /// Changes are of a table that is grouped anew.
    pub grouped: bool,
    /// How long rows of the table are known as they were.
    pub history: Option<i64>,
    /// Entries that reach it, by node.
    pub entries: BTreeSet<usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub nodes: Vec<Node>,
    pub partitions: BTreeMap<String, u32>,
    /// By sub-topology: how many tasks.
    pub tasks: Vec<u32>,
    /// By sub-topology: how long one of several inputs is waited for.
    pub max_idle: Vec<MaxIdle>,
    given: BTreeMap<String, u32>,
    /// By node: how long its step says that one of its inputs is waited for.
    waits: BTreeMap<usize, MaxIdle>,
}

impl Plan {
    pub fn new(case: &Case) -> Self {
        let mut plan = Plan { partitions: case.partitions.clone(), ..Plan::default() };
        let mut names: BTreeMap<(String, Option<String>), (usize, u32)> = BTreeMap::new();
        for source in case.spec.sources.iter().filter(|source| !case.spec.is_global(&source.name)) {
            let (timestamp, on_error) = (&source.timestamp, &source.on_error);
            let entry = |topic: &String| Kind::Entry {
                topic: topic.clone(),
                timestamp: timestamp.clone(),
                on_error: on_error.clone(),
            };
            let entries: Vec<_> = source.topics.iter().map(|t| (plan.node(entry(t), vec![]), 0)).collect();
            let at = if let [one] = entries[..] { one } else { (plan.node(Kind::Merge, entries), 0) };
            names.insert((source.name.clone(), None), at);
        }
        for step in in_order(&case.spec) {
            if step.operator == Operator::GlobalTable {
                continue;
            }
            let (of, first) = (|f: &From| names[&(f.name.clone(), f.output.clone())], plan.nodes.len());
            let parents: Vec<_> = step.from.iter().map(of).collect();
            let made = match &step.operator {
                Operator::Join(join) if case.spec.global_table(&join.other.name).is_some() => {
                    let kind = Kind::GlobalJoin { step: step.clone(), join: join.clone() };
                    vec![(None, (plan.node(kind, parents), 0))]
                }
                Operator::Join(join) => vec![(None, (plan.join(step, join, parents, of(&join.other)), 0))],
                Operator::StreamJoin(join) => vec![(None, (plan.streams(step, join, parents, of(&join.other)), 0))],
                _ => plan.step(step, parents),
            };
            for (output, at) in made {
                names.insert((step.name.clone(), output), at);
            }
            // Wherever its inputs come together.
            let several = (first..plan.nodes.len()).filter(|at| plan.nodes[*at].parents.len() > 1);
            let asked: Vec<usize> = several.filter(|_| step.max_idle.is_some()).collect();
            plan.waits.extend(asked.into_iter().zip(std::iter::repeat(step.max_idle.unwrap_or_default())));
        }
        for sink in &case.spec.sinks {
            let parents = sink.from.iter().map(|f| names[&(f.name.clone(), f.output.clone())]).collect();
            plan.node(Kind::Sink(looked_up(case, sink)), parents);
        }
        (0..plan.nodes.len()).for_each(|at| plan.tell_everything(at));
        plan.subs(case);
        plan.max_idle = (0..plan.tasks.len()).map(|sub| plan.longest_wait(sub).unwrap_or(case.spec.max_idle)).collect();
        plan
    }

    /// The longest that a step of a sub-topology waits for one of several inputs, where any says it.
    fn longest_wait(&self, sub: usize) -> Option<MaxIdle> {
        let waits = self.waits.iter().filter(|(at, _)| self.nodes[**at].sub == sub).map(|(_, wait)| *wait);
        waits.max_by_key(|wait| if let MaxIdle::After(ms) = wait { *ms } else { -1 })
    }

    /// Aggregates that a table reads tell of each update.
    fn tell_everything(&mut self, table: usize) {
        if !matches!(self.nodes[table].kind, Kind::Table { over: false, .. }) {
            return;
        }
        let (mut left, mut seen) = (vec![table], BTreeSet::new());
        // Halves of a join by foreign key write to each other.
        while let Some(at) = left.pop() {
            if !seen.insert(at) {
                continue;
            }
            let above = if let Kind::CutEntry { writer, .. } = self.nodes[at].kind { Some(writer) } else { None };
            for parent in self.nodes[at].parents.clone().into_iter().map(|p| p.0).chain(above) {
                match &mut self.nodes[parent].kind {
                    Kind::Fold { fold, .. } => fold.emit_every_update = fold.emit == Emit::OnUpdate,
                    _ => left.push(parent),
                }
            }
        }
    }

    /// A join by foreign key: two halves that write to each other.
    fn foreign(&mut self, step: &StepSpec, join: &Join, left: (usize, u32), right: (usize, u32)) -> usize {
        let part = |part: &str| StepSpec { name: format!("{}-{part}", step.name), ..step.clone() };
        let (asked, answered) = (part("subscriptions"), part("answers"));
        let function = join.key.clone().expect("it is one by foreign key");
        let selects = Operator::Map { function, form: MapForm::SelectKey };
        let keys = self.node(Kind::ForeignKeys(StepSpec { operator: selects, ..step.clone() }), vec![left]);
        let entry = |name: &str| format!("sim-{name}-repartition");
        let back = Kind::CutEntry { topic: entry(&answered.name), writer: 0 };
        let back = self.node(back, vec![]);
        let asks = Kind::Asks { step: step.clone(), join: join.clone() };
        let asks = self.node(asks, vec![(keys, 0), left, (back, 0)]);
        (self.nodes[asks].table, self.nodes[asks].derived) = (true, true);
        let there = self.cut(&asked, None, vec![(asks, 1)]);
        let answers = self.node(Kind::Answers, vec![(there, 0), right]);
        let topic = entry(&answered.name);
        let cut =
            Kind::Cut { step: answered.name, on_error: step.on_error.clone(), topic: topic.clone(), idle: step.idle };
        let writer = self.node(cut, vec![(answers, 0)]);
        self.nodes[back].kind = Kind::CutEntry { topic, writer };
        asks
    }

    fn join(&mut self, step: &StepSpec, join: &Join, mut left: Vec<(usize, u32)>, right: (usize, u32)) -> usize {
        if join.key.is_some() {
            return self.foreign(step, join, left[0], right);
        }
        let tables = left.len() == 1 && self.nodes[left[0].0].table;
        if left.iter().any(|p| self.nodes[p.0].dirty) {
            left = vec![(self.cut(step, None, left), 0)];
        }
        if left.len() > 1 {
            left = vec![(self.node(Kind::Merge, left), 0)];
        }
        let own_task = join.grace_ms.is_some() && self.goes_by_own_task(step, &left[..1]);
        let kind = Kind::Join { step: step.clone(), join: join.clone(), tables, own_task };
        let at = self.node(kind, vec![left[0], right]);
        self.nodes[at].table = tables;
        self.nodes[at].derived = tables || join.grace_ms.is_some() || self.nodes[left[0].0].derived;
        if !tables {
            // Changes of the table bring nothing about.
            self.nodes[at].entries = self.nodes[left[0].0].entries.clone();
        }
        at
    }

    fn streams(&mut self, step: &StepSpec, join: &StreamJoin, left: Vec<(usize, u32)>, right: (usize, u32)) -> usize {
        let side = |plan: &mut Self, parents: Vec<(usize, u32)>, name: &str| {
            if parents.iter().any(|p| plan.nodes[p.0].dirty) {
                let named = StepSpec { name: format!("{}-{name}", step.name), ..step.clone() };
                return (plan.cut(&named, None, parents), 0);
            }
            if let [one] = parents[..] { one } else { (plan.node(Kind::Merge, parents), 0) }
        };
        let itself = left == [right];
        let left = side(self, left, "left");
        let right = if itself { left } else { side(self, vec![right], "right") };
        let own_task = self.goes_by_own_task(step, &[left, right]);
        let at = self.node(Kind::StreamJoin { step: step.clone(), join: join.clone(), own_task }, vec![left, right]);
        self.nodes[at].derived = true;
        at
    }

    fn node(&mut self, kind: Kind, parents: Vec<(usize, u32)>) -> usize {
        let any = |f: fn(&Node) -> bool| parents.iter().any(|p| f(&self.nodes[p.0]));
        let (dirty, windowed, derived) = (any(|n| n.dirty), any(|n| n.windowed), any(|n| n.derived));
        let sessions = any(|n| n.sessions);
        let mut entries: BTreeSet<usize> = parents.iter().flat_map(|p| self.nodes[p.0].entries.clone()).collect();
        if matches!(kind, Kind::Entry { .. } | Kind::CutEntry { .. }) {
            entries.insert(self.nodes.len());
        }
        self.nodes.push(Node {
            kind,
            parents,
            sub: 0,
            dirty,
            windowed,
            sessions,
            derived,
            table: false,
            grouped: false,
            history: None,
            entries,
        });
        self.nodes.len() - 1
    }

    fn step(&mut self, step: &StepSpec, mut parents: Vec<(usize, u32)>) -> Vec<(Option<String>, (usize, u32))> {
        let one = |at: usize| vec![(None, (at, 0))];
        let dirty = parents.iter().any(|p| self.nodes[p.0].dirty);
        let over = parents.len() == 1 && self.nodes[parents[0].0].table;
        match &step.operator {
            Operator::Regroup { .. } => {
                let at = self.node(Kind::Regroup(step.clone()), parents);
                let node = &mut self.nodes[at];
                (node.grouped, node.dirty, node.windowed, node.sessions) = (true, true, false, false);
                one(at)
            }
            Operator::Table { partitions, history_ms } => {
                if dirty {
                    parents = vec![(self.cut(step, *partitions, parents), 0)];
                }
                one(self.table(step, false, *history_ms, parents))
            }
            Operator::Filter { .. } | Operator::Map { form: MapForm::MapValues, .. } if over => {
                let history = self.nodes[parents[0].0].history;
                one(self.table(step, true, history, parents))
            }
            Operator::Repartition { partitions } => one(self.cut(step, *partitions, parents)),
            Operator::Aggregate(fold) if !fold.fold.adders().is_empty() => one(self.cogroup(step, fold, parents)),
            Operator::Aggregate(fold) => {
                let of_table = over || parents.len() == 1 && self.nodes[parents[0].0].grouped;
                if dirty {
                    parents = vec![(self.cut(step, fold.partitions, parents), 0)];
                }
                one(self.fold(step, fold, parents, of_table))
            }
            Operator::Process(process) => {
                if dirty {
                    parents = vec![(self.cut(step, process.partitions, parents), 0)];
                }
                let own_task = self.goes_by_own_task(step, &parents);
                let at = self.node(Kind::Process { step: step.clone(), process: process.clone(), own_task }, parents);
                let node = &mut self.nodes[at];
                (node.derived, node.dirty, node.windowed, node.sessions) = (true, true, false, false);
                if process.outputs.is_empty() {
                    return one(at);
                }
                (0..).zip(&process.outputs).map(|(port, output)| (Some(output.clone()), (at, port))).collect()
            }
            Operator::Deduplicate(spec) => one(self.deduplicate(step, spec, parents)),
            Operator::Branch { outputs, otherwise, .. } => {
                let at = self.node(Kind::Step(step.clone()), parents);
                let all = outputs.iter().chain(otherwise).cloned();
                all.zip(0..).map(|(output, port)| (Some(output), (at, port))).collect()
            }
            Operator::Map { form, .. } => {
                let at = self.node(Kind::Step(step.clone()), parents);
                if matches!(form, MapForm::Map | MapForm::FlatMap | MapForm::SelectKey) {
                    (self.nodes[at].dirty, self.nodes[at].windowed, self.nodes[at].sessions) = (true, false, false);
                }
                one(at)
            }
            _ => one(self.node(Kind::Step(step.clone()), parents)),
        }
    }

    fn table(&mut self, step: &StepSpec, over: bool, history: Option<i64>, parents: Vec<(usize, u32)>) -> usize {
        let own_task = history.is_some() && self.goes_by_own_task(step, &parents);
        let at = self.node(Kind::Table { step: step.clone(), over, own_task }, parents);
        (self.nodes[at].table, self.nodes[at].history) = (true, history);
        at
    }

    /// Each input goes through a topic of its own, where its key may have changed.
    fn cogroup(&mut self, step: &StepSpec, fold: &Aggregate, mut parents: Vec<(usize, u32)>) -> usize {
        for (from, parent) in step.from.iter().zip(&mut parents) {
            if self.nodes[parent.0].dirty {
                let output = from.output.as_ref().map_or(String::new(), |output| format!("-{output}"));
                let name = format!("sim-{}-{}{output}-repartition", step.name, from.name);
                *parent = (self.cut_to(name, step, fold.partitions, vec![*parent]), 0);
            }
        }
        self.fold(step, fold, parents, false)
    }

    fn deduplicate(&mut self, step: &StepSpec, spec: &Deduplicate, mut parents: Vec<(usize, u32)>) -> usize {
        if parents.iter().any(|p| self.nodes[p.0].dirty) {
            parents = vec![(self.cut(step, spec.partitions, parents), 0)];
        }
        let by_window = parents.iter().any(|p| self.nodes[p.0].windowed);
        let own_task = self.goes_by_own_task(step, &parents);
        self.node(Kind::Deduplicate { step: step.clone(), spec: spec.clone(), by_window, own_task }, parents)
    }

    fn fold(&mut self, step: &StepSpec, fold: &Aggregate, parents: Vec<(usize, u32)>, of_table: bool) -> usize {
        let by_window = parents.iter().any(|p| self.nodes[p.0].windowed);
        let own_task = !of_table && self.goes_by_own_task(step, &parents);
        let kind = Kind::Fold { step: step.clone(), fold: fold.clone(), by_window, own_task, of_table };
        let at = self.node(kind, parents);
        self.nodes[at].derived = true;
        self.nodes[at].windowed |= fold.window.is_some();
        if let Some(window) = fold.window {
            self.nodes[at].sessions = matches!(window.form, WindowForm::Session { .. });
        }
        at
    }

    fn goes_by_own_task(&self, step: &StepSpec, parents: &[(usize, u32)]) -> bool {
        let derived = parents.iter().any(|p| self.nodes[p.0].derived);
        let mut entries = parents.iter().flat_map(|p| &self.nodes[p.0].entries);
        let repartitioned = entries.any(|e| matches!(self.nodes[*e].kind, Kind::CutEntry { .. }));
        repartitioned && !derived && step.lateness == Lateness::OwnTask
    }

    fn cut(&mut self, step: &StepSpec, partitions: Option<u32>, parents: Vec<(usize, u32)>) -> usize {
        self.cut_to(format!("sim-{}-repartition", step.name), step, partitions, parents)
    }

    fn cut_to(&mut self, topic: String, step: &StepSpec, partitions: Option<u32>, parents: Vec<(usize, u32)>) -> usize {
        self.given.extend(partitions.map(|p| (topic.clone(), p)));
        let windowed = parents.iter().any(|p| self.nodes[p.0].windowed);
        let sessions = parents.iter().any(|p| self.nodes[p.0].sessions);
        let grouped = parents.iter().any(|p| self.nodes[p.0].grouped);
        let writer = self.node(
            Kind::Cut {
                step: step.name.clone(),
                on_error: step.on_error.clone(),
                topic: topic.clone(),
                idle: step.idle,
            },
            parents,
        );
        let at = self.node(Kind::CutEntry { topic, writer }, vec![]);
        (self.nodes[at].windowed, self.nodes[at].sessions) = (windowed, sessions);
        self.nodes[at].grouped = grouped;
        at
    }

    /// Connected nodes are a sub-topology; its tasks are as many as the most partitions that it reads.
    fn subs(&mut self, case: &Case) {
        let mut of: Vec<usize> = (0..self.nodes.len()).collect();
        for _ in 0..self.nodes.len() {
            for at in 0..self.nodes.len() {
                for (parent, _) in &self.nodes[at].parents {
                    let least = of[at].min(of[*parent]);
                    (of[at], of[*parent]) = (least, least);
                }
            }
        }
        let numbers: BTreeSet<usize> = of.iter().copied().collect();
        let numbers: Vec<usize> = numbers.into_iter().collect();
        for (node, of) in self.nodes.iter_mut().zip(&of) {
            node.sub = numbers.iter().position(|n| n == of).expect("it is one of them");
        }
        self.tasks = vec![0; numbers.len()];
        for _ in 0..=self.nodes.len() {
            for sub in 0..self.tasks.len() {
                let known = self.inputs(sub).into_iter().filter_map(|(topic, _)| self.partitions.get(&topic).copied());
                self.tasks[sub] = known.max().unwrap_or(0);
            }
            for node in &self.nodes {
                if let Kind::Cut { topic, .. } = &node.kind {
                    let count = self.given.get(topic).copied().unwrap_or(self.tasks[node.sub]);
                    self.partitions.insert(topic.clone(), count);
                }
            }
            self.spread_alike(case);
        }
    }

    /// Topics that joins bring together, directly or over others, have as many partitions as each other: those of which the number
    /// is not free, or else the most.
    fn spread_alike(&mut self, case: &Case) {
        let mut groups: Vec<BTreeSet<String>> = Vec::new();
        let meets = |n: &&Node| match &n.kind {
            Kind::Join { .. } | Kind::StreamJoin { .. } | Kind::Asks { .. } | Kind::Answers => true,
            Kind::Fold { fold, .. } => fold.fold.adders().len() > 1,
            _ => false,
        };
        for node in self.nodes.iter().filter(meets) {
            let entries = node.parents.iter().flat_map(|p| &self.nodes[p.0].entries);
            let mut group: BTreeSet<String> = entries.map(|e| self.topic_of(*e).clone()).collect();
            while let Some(at) = groups.iter().position(|g| !g.is_disjoint(&group)) {
                group.extend(groups.remove(at));
            }
            groups.push(group);
        }
        for group in groups {
            let bound = |t: &&String| case.partitions.contains_key(*t) || self.given.contains_key(*t);
            let bound = group.iter().filter(bound).map(|t| self.partitions[t]).max();
            let count = bound.or(group.iter().map(|t| self.partitions[t]).max()).expect("a join reads something");
            self.partitions.extend(group.into_iter().map(|t| (t, count)));
        }
    }

    /// Whether it matters to a node what a row was.
    pub fn minds_old(&self, node: &Node) -> bool {
        match &node.kind {
            Kind::Fold { of_table, .. } => *of_table,
            Kind::Cut { .. } => node.parents.iter().all(|p| self.nodes[p.0].grouped),
            _ => false,
        }
    }

    /// Whether a node looks past changes of its parent that came behind a newer version of their row.
    pub fn reads_latest(&self, node: &Node, parent: u32) -> bool {
        match &node.kind {
            Kind::Regroup(_) | Kind::ForeignKeys(_) => true,
            Kind::Fold { of_table, .. } => *of_table,
            Kind::Join { tables, .. } => *tables || parent == 1,
            Kind::Asks { .. } | Kind::Answers => true,
            _ => false,
        }
    }

    fn topic_of(&self, entry: usize) -> &String {
        match &self.nodes[entry].kind {
            Kind::Entry { topic, .. } | Kind::CutEntry { topic, .. } => topic,
            _ => unreachable!("an entry has a topic"),
        }
    }

    /// Topics that a sub-topology reads, with their entries, in order.
    pub fn inputs(&self, sub: usize) -> Vec<(String, usize)> {
        let topic = |at: usize| match &self.nodes[at].kind {
            Kind::Entry { topic, .. } | Kind::CutEntry { topic, .. } => Some((topic.clone(), at)),
            _ => None,
        };
        (0..self.nodes.len()).filter(|at| self.nodes[*at].sub == sub).filter_map(topic).collect()
    }

    /// Nodes of a sub-topology that write a topic; none is told apart of where any step may have late records or dead letters.
    pub fn writers(&self, sub: usize, topic: &str) -> usize {
        if ["late", "dead"].contains(&topic) {
            return 0;
        }
        let writes = |n: &&Node| match &n.kind {
            Kind::Cut { topic: t, .. } => t == topic,
            Kind::Sink(sink) => written_by(sink).any(|t| t == topic),
            _ => false,
        };
        self.nodes.iter().filter(|n| n.sub == sub).filter(writes).count()
    }

    /// How many tasks write a repartition topic.
    pub fn upstream_tasks(&self, entry: usize) -> u32 {
        match self.nodes[entry].kind {
            Kind::CutEntry { writer, .. } => self.tasks[self.nodes[writer].sub],
            _ => 1,
        }
    }
}

/// A sink with the topics that its pattern stands for: those that are there and are not read.
fn looked_up(case: &Case, sink: &SinkSpec) -> SinkSpec {
    let mut sink = sink.clone();
    if let Some(route) = &mut sink.route
        && let Some(pattern) = &route.pattern
    {
        let read: Vec<&String> = case.spec.sources.iter().flat_map(|s| &s.topics).collect();
        let fits = |topic: &&String| stands_for(pattern.as_bytes(), topic.as_bytes()) && !read.contains(topic);
        route.topics = case.partitions.keys().filter(fits).cloned().collect();
    }
    sink
}

/// Whether a name is one that a pattern stands for, letter by letter.
fn stands_for(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|taken| stands_for(rest, &name[taken..])),
        [letter, rest @ ..] => name.first() == Some(letter) && stands_for(rest, &name[1..]),
    }
}

/// Steps so that each comes after those it reads; among those that are ready, the first of the manifest.
fn in_order(spec: &Spec) -> Vec<&StepSpec> {
    let mut done: BTreeSet<&str> = spec.sources.iter().map(|s| s.name.as_str()).collect();
    let (mut left, mut out): (Vec<&StepSpec>, Vec<&StepSpec>) = (spec.steps.iter().collect(), Vec::new());
    while !left.is_empty() {
        let ready = left.iter().position(|s| s.reads().all(|f| done.contains(f.name.as_str())));
        let step = left.remove(ready.expect("cases have no circles"));
        done.insert(&step.name);
        out.push(step);
    }
    out
}
