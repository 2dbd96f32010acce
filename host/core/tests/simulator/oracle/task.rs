//! The oracle's task: takes its inputs in record by record, one walk through the graph for each, and says what an interval
//! must have written, dropped and counted.

pub mod ends;
mod joins;

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_core::operator::Active;
use millstream_core::partition::partition_for_key;
use millstream_core::topology::spec::*;

use super::super::case::Case;
use super::super::native::FUNCTIONS_MAX;
use super::super::roles::{Mark, Rec, Running, keeps, mark};
use super::deduplicate::Passed;
use super::fold::{Clock, Event, FoldState};
use super::foreign::{self, Answers, Asks};
use super::history::{Versions, Waiting};
use super::plan::{Kind, Node, Plan};
use super::process::{self, ProcState};
use super::stream::StreamState;
use super::table::{Joined, Regrouped, Table};
use super::wire::{self, Failure, Opened};
use super::{Item, NEVER, Row};

/// What an interval must have done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// By topic and partition, in order.
    pub outputs: BTreeMap<(String, u32), Vec<Rec>>,
    /// By step and reason.
    pub dropped: BTreeMap<(String, String), u64>,
    pub dead_letters: u64,
    pub records: u64,
}

pub struct OracleTask {
    case: Arc<Case>,
    plan: Arc<Plan>,
    pub sub: usize,
    pub partition: u32,
    /// By topic, in the order of the inputs.
    pub positions: Vec<(String, i64)>,
    /// Versions of the functions that it runs, by number.
    pub active: BTreeMap<usize, Active>,
    folds: BTreeMap<usize, FoldState>,
    tables: BTreeMap<usize, Table>,
    joins: BTreeMap<usize, Joined>,
    asks: BTreeMap<usize, Asks>,
    answers: BTreeMap<usize, Answers>,
    regrouped: BTreeMap<usize, Regrouped>,
    processors: BTreeMap<usize, ProcState>,
    streams: BTreeMap<usize, StreamState>,
    passed: BTreeMap<usize, Passed>,
    versions: BTreeMap<usize, Versions>,
    waiting: BTreeMap<usize, Waiting>,
    /// Stream times of steps and of what is written to repartition topics, by node.
    times: BTreeMap<usize, i64>,
    /// Which writers wrote since this was looked at.
    pub wrote: BTreeMap<usize, bool>,
    done: Done,
    /// Wall time.
    pub wall: i64,
}

impl OracleTask {
    pub fn new(case: &Arc<Case>, plan: &Arc<Plan>, sub: usize, partition: u32) -> Self {
        let (mut folds, mut processors) = (BTreeMap::new(), BTreeMap::new());
        let (mut streams, mut passed) = (BTreeMap::new(), BTreeMap::new());
        let (mut versions, mut waiting) = (BTreeMap::new(), BTreeMap::new());
        for (at, node) in plan.nodes.iter().enumerate().filter(|(_, n)| n.sub == sub) {
            if let Kind::Fold { own_task, .. }
            | Kind::Process { own_task, .. }
            | Kind::StreamJoin { own_task, .. }
            | Kind::Table { own_task, .. }
            | Kind::Join { own_task, .. }
            | Kind::Deduplicate { own_task, .. } = &node.kind
            {
                let clock = own_task.then(|| clock(plan, node, partition));
                match &node.kind {
                    Kind::Fold { fold, by_window, of_table, .. } => {
                        let mut state = FoldState::new(fold.clone(), *by_window, clock);
                        state.of_table = *of_table;
                        folds.insert(at, state);
                    }
                    Kind::Deduplicate { spec, by_window, .. } => {
                        drop(passed.insert(at, Passed::new(spec.clone(), *by_window, clock)))
                    }
                    Kind::Process { process, .. } => {
                        drop(processors.insert(at, ProcState::new(process.clone(), clock)))
                    }
                    Kind::StreamJoin { join, .. } => {
                        drop(streams.insert(at, StreamState::new(join.clone(), node.windowed, clock)))
                    }
                    Kind::Table { .. } => {
                        versions.extend(node.history.map(|history_ms| (at, Versions::new(history_ms, clock))));
                    }
                    Kind::Join { join, .. } => {
                        waiting.extend(join.grace_ms.map(|grace_ms| (at, Waiting::new(grace_ms, clock))));
                    }
                    _ => unreachable!("it is one of them"),
                }
            }
        }
        let positions = plan.inputs(sub).into_iter().map(|(topic, _)| (topic, 0)).collect();
        let (case, plan) = (case.clone(), plan.clone());
        let (active, times, wrote, tables, joins, regrouped) = Default::default();
        let (asks, answers) = Default::default();
        let (done, wall) = Default::default();
        Self {
            case,
            plan,
            sub,
            partition,
            positions,
            active,
            folds,
            processors,
            streams,
            passed,
            versions,
            waiting,
            tables,
            joins,
            asks,
            answers,
            regrouped,
            times,
            wrote,
            done,
            wall,
        }
    }

    /// Functions that its steps call.
    pub fn functions(&self) -> Vec<usize> {
        let mine = self.plan.nodes.iter().filter(|n| n.sub == self.sub);
        let of = |n: &Node| function_of(&n.kind).into_iter().chain(adders_of(&n.kind));
        let mut all: Vec<usize> = mine.flat_map(of).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Whether a window is open in one of its steps, or a timer set by event time.
    pub fn holds(&self) -> bool {
        self.folds.values().any(FoldState::holds)
            || self.processors.values().any(ProcState::holds)
            || self.streams.values().any(StreamState::holds)
            || self.waiting.values().any(Waiting::holds)
    }

    /// Nodes of sessions and of joins that got a record which lay further behind its own task's time than the grace: which session it is in
    /// may depend on how tasks interleave.
    pub fn strayed(&self) -> impl Iterator<Item = usize> + use<'_> {
        let streams = self.streams.iter().filter(|(_, join)| join.strayed).map(|(at, _)| *at);
        self.folds.iter().filter(|(_, fold)| fold.strayed).map(|(at, _)| *at).chain(streams)
    }

    /// The stream time of a writer; [`NEVER`] before it wrote.
    pub fn written(&self, node: usize) -> i64 {
        self.times.get(&node).copied().unwrap_or(NEVER)
    }

    /// Writers of repartition topics: node, topic, idle.
    pub fn writers(&self) -> Vec<(usize, String, Idle)> {
        let nodes = self.plan.nodes.iter().enumerate().filter(|(_, n)| n.sub == self.sub);
        nodes
            .filter_map(|(at, n)| match &n.kind {
                Kind::Cut { topic, idle, .. } => Some((at, topic.clone(), *idle)),
                _ => None,
            })
            .collect()
    }

    fn running(&self, function: usize) -> Running {
        let version = self.active.get(&function).map_or(0, |active| u64::from(active.prepared.0 / FUNCTIONS_MAX));
        Running { function, role: self.case.roles[function], version }
    }

    /// Takes in records up to these positions, oldest head first, by event time. `log`: by input, topic and offset; some offsets have none.
    pub fn poll(&mut self, to: &[i64], log: &dyn Fn(usize, &str, i64) -> Option<Rec>) {
        loop {
            let mut heads = Vec::new();
            for (i, (topic, at)) in self.positions.iter_mut().enumerate() {
                while *at < to[i] {
                    if let Some(rec) = log(i, topic, *at) {
                        heads.push((i, rec));
                        break;
                    }
                    *at += 1;
                }
            }
            let turns = heads.iter().map(|(i, rec)| (self.when(*i, rec).turn, *i));
            let Some((_, input)) = turns.min() else { return };
            let (topic, offset) = self.positions[input].clone();
            self.positions[input].1 += 1;
            let rec = log(input, &topic, offset).expect("it was just seen");
            self.row(input, topic, offset, rec);
        }
    }

    fn row(&mut self, input: usize, topic: String, offset: i64, rec: Rec) {
        let entry = self.plan.inputs(self.sub)[input].1;
        let mut row = Row { topic, partition: self.partition, offset, rec, window: None, upstream: None };
        let mut entering = Vec::new();
        match self.plan.nodes[entry].kind.clone() {
            Kind::CutEntry { .. } => match wire::open(&row.rec) {
                Opened::Marker { upstream, time, idle, .. } => self.hear(entry, &row.topic, upstream, time, idle),
                Opened::Record { upstream, lag, window, old, value } => {
                    let time = row.rec.time.saturating_add(lag);
                    (row.rec.value, row.window, row.upstream) = (value, window, Some((upstream, time)));
                    self.done.records += 1;
                    self.hear(entry, &row.topic, upstream, Some(time), false);
                    entering.push(Item { rec: row.rec.clone(), window, derived: false, old, behind: false });
                }
            },
            Kind::Entry { on_error, .. } => {
                self.done.records += 1;
                entering.extend(self.entering(input, &on_error, &row));
            }
            _ => unreachable!("an input is an entry"),
        }
        self.walk(Some(&row), Some((entry, entering)));
    }

    fn source_name(&self, topic: &str) -> String {
        let reads = |s: &&SourceSpec| s.topics.iter().any(|t| t == topic);
        self.case.spec.sources.iter().find(reads).expect("it is read").name.clone()
    }

    /// A word of an upstream task's time moves the clocks of the folds that it reaches.
    fn hear(&mut self, entry: usize, topic: &str, upstream: u32, time: Option<i64>, idle: bool) {
        let folds = self.folds.iter_mut().map(|(at, fold)| (at, &mut fold.clock));
        let processors = self.processors.iter_mut().map(|(at, p)| (at, &mut p.clock));
        let streams = self.streams.iter_mut().map(|(at, join)| (at, &mut join.clock));
        let passed = self.passed.iter_mut().map(|(at, p)| (at, &mut p.clock));
        let versions = self.versions.iter_mut().map(|(at, v)| (at, &mut v.time.clock));
        let waiting = self.waiting.iter_mut().map(|(at, w)| (at, &mut w.time.clock));
        for (at, clock) in folds.chain(processors).chain(streams).chain(passed).chain(versions).chain(waiting) {
            if let (true, Some(clock)) = (self.plan.nodes[*at].entries.contains(&entry), clock) {
                clock.hear(topic, upstream, time, idle);
            }
        }
    }

    /// One walk through the nodes: with a record, or, without, at the end of an interval.
    fn walk(&mut self, row: Option<&Row>, entering: Option<(usize, Vec<Item>)>) {
        let (plan, sub) = (self.plan.clone(), self.sub);
        let mut outputs: BTreeMap<(usize, u32), Vec<Item>> = BTreeMap::new();
        if let Some((entry, items)) = entering {
            outputs.insert((entry, 0), items);
        }
        for (at, node) in plan.nodes.iter().enumerate().filter(|(_, n)| n.sub == sub) {
            let of = |(n, p): (u32, &(usize, u32))| {
                outputs.get(p).into_iter().flatten().map(move |i| (n, i.clone())).collect::<Vec<_>>()
            };
            let mut numbered: Vec<(u32, Item)> = (0..).zip(&node.parents).flat_map(of).collect();
            if !plan.minds_old(node) {
                numbered.iter_mut().for_each(|(_, item)| item.old = None);
            }
            numbered.retain(|(parent, item)| !(item.behind && plan.reads_latest(node, *parent)));
            numbered.iter_mut().for_each(|(_, item)| item.behind = false);
            let several = node.parents.len() > 1;
            let items: Vec<Item> = numbered.iter().map(|(_, item)| item.clone()).collect();
            match &node.kind {
                Kind::Entry { .. } | Kind::CutEntry { .. } => {}
                Kind::Merge => drop(outputs.insert((at, 0), items)),
                Kind::Step(step) => {
                    for (input, item) in numbered {
                        for (port, result) in self.step(at, step, item, row, several.then_some(input)) {
                            outputs.entry((at, port)).or_default().push(result);
                        }
                    }
                }
                Kind::GlobalJoin { step, join } => {
                    let of = |(input, item)| self.look_up_global(at, (step, join), item, row, several.then_some(input));
                    outputs.insert((at, 0), numbered.into_iter().flat_map(of).collect());
                }
                Kind::Regroup(step) => {
                    let results = items.into_iter().flat_map(|item| self.regroup(at, step, item, row)).collect();
                    outputs.insert((at, 0), results);
                }
                Kind::Deduplicate { step, .. } => {
                    let of = |(input, item)| self.deduplicate(at, step, item, row, several.then_some(input));
                    let results = numbered.into_iter().filter_map(of).collect();
                    outputs.insert((at, 0), results);
                }
                Kind::Fold { step, .. } => {
                    let results = self.fold(at, step, numbered, row);
                    outputs.insert((at, 0), results);
                }
                Kind::Table { step, over, .. } => {
                    let of = |item| self.table(at, step, *over, item, row);
                    outputs.insert((at, 0), items.into_iter().filter_map(of).collect());
                }
                Kind::Join { .. }
                | Kind::ForeignKeys(_)
                | Kind::Asks { .. }
                | Kind::Answers
                | Kind::StreamJoin { .. } => {
                    let made = self.joined(at, &node.kind, numbered, row);
                    outputs.extend((0..).zip(made).map(|(port, results)| ((at, port), results)));
                }
                Kind::Process { step, .. } => {
                    for (port, result) in self.process(at, step, numbered, several, row) {
                        outputs.entry((at, port)).or_default().push(result);
                    }
                }
                Kind::Cut { step, on_error, topic, .. } => {
                    items.into_iter().for_each(|item| self.write(at, (step, on_error, topic), item, row));
                }
                Kind::Sink(sink) => items.into_iter().for_each(|item| self.sink(at, sink, item, row)),
            }
        }
    }

    fn partition_of(&self, rec: &Rec, topic: &str) -> u32 {
        let count = self.plan.partitions[topic];
        rec.key.as_ref().map_or(self.partition % count, |key| partition_for_key(key, count))
    }

    fn put(&mut self, topic: &str, partition: u32, rec: Rec) {
        self.done.outputs.entry((topic.to_string(), partition)).or_default().push(rec);
    }

    /// Why a topic does not take a record, if it does not.
    fn refusal(&self, topic: &str, rec: &Rec) -> Option<&'static str> {
        let limits = self.case.limits.get(topic)?;
        let len = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize =
            rec.headers.iter().map(|(name, value)| name.len() + len(value) + limits.header_overhead_bytes).sum();
        let bytes = limits.record_overhead_bytes + len(&rec.key) + len(&rec.value) + headers;
        let ahead = i128::from(rec.time) - i128::from(self.wall);
        match limits {
            _ if limits.record_bytes_max.is_some_and(|max| bytes > max) => Some("too-large"),
            _ if limits.ahead_ms_max.is_some_and(|max| ahead > max.into()) => Some("timestamp-refused"),
            _ if limits.behind_ms_max.is_some_and(|max| -ahead > max.into()) => Some("timestamp-refused"),
            _ => None,
        }
    }

    fn write(&mut self, at: usize, to: (&str, &OnError, &str), item: Item, row: Option<&Row>) {
        let (step, on_error, topic) = to;
        let time = self.written(at).max(item.rec.time);
        let answers = self.plan.nodes[at].parents.iter().all(|p| matches!(self.plan.nodes[p.0].kind, Kind::Answers));
        let partition = if answers { foreign::partition_of(&item.rec) } else { self.partition_of(&item.rec, topic) };
        let value = wire::wrap(self.partition, time - item.rec.time, item.window, &item.old, item.rec.value.as_deref());
        let rec = Rec { value: Some(value), ..item.rec.clone() };
        if let Some(reason) = self.refusal(topic, &rec) {
            return self.refuse(step, None, on_error, &item, row, reason);
        }
        self.times.insert(at, time);
        self.wrote.insert(at, true);
        self.put(topic, partition, rec);
    }

    fn refuse(
        &mut self,
        step: &str,
        function: Option<usize>,
        on_error: &OnError,
        item: &Item,
        row: Option<&Row>,
        reason: &str,
    ) {
        *self.done.dropped.entry((step.into(), reason.into())).or_default() += 1;
        let OnError::DeadLetter(topic) = on_error else { return };
        // The record as it was read; a result that no single record made, as it is.
        let (rec, window, row) = match row.filter(|_| !item.derived) {
            Some(row) => (row.rec.clone(), row.window, Some(row)),
            None => (item.rec.clone(), item.window, None),
        };
        let name = function.map(|f| self.case.spec.functions[f].name.clone()).unwrap_or_default();
        let version = function.map_or(0, |f| self.active[&f].number);
        let at = row.map(|r| (r.topic.as_str(), r.partition, r.offset));
        let failure = Failure { reason, step, function: &name, version, at };
        let partition = self.partition_of(&rec, topic);
        let mut letter = wire::dead_letter(rec, window, &failure);
        if let Some(limits) = self.case.limits.get(topic) {
            // At the nearest time that the topic takes, with its own in a header.
            let (wall, was) = (i128::from(self.wall), letter.time);
            let latest = limits.ahead_ms_max.map_or(i128::MAX, |ms| wall + i128::from(ms));
            let earliest = limits.behind_ms_max.map_or(i128::MIN, |ms| wall - i128::from(ms));
            letter.time = i128::from(was).min(latest).max(earliest) as i64;
            if letter.time != was {
                letter.headers.push((b"__streams.errors.timestamp".to_vec(), Some(was.to_string().into_bytes())));
            }
        }
        self.done.dead_letters += 1;
        self.put(topic, partition, letter);
    }

    /// A step without state, for one record.
    fn step(
        &mut self,
        at: usize,
        step: &StepSpec,
        item: Item,
        row: Option<&Row>,
        input: Option<u32>,
    ) -> Vec<(u32, Item)> {
        let Some(function) = function_of(&Kind::Step(step.clone())) else { return vec![(0, item)] };
        // A peek's answer is ignored, also where it has none.
        let ignored = matches!(step.operator, Operator::Peek { .. }).then(|| vec![(0, item.clone())]);
        self.asked(at, (step, function), item, row, input).or(ignored).unwrap_or_default()
    }

    /// What a function answers about a record; `None`: it refuses it, or fails on it.
    fn asked(
        &mut self,
        at: usize,
        (step, function): (&StepSpec, usize),
        item: Item,
        row: Option<&Row>,
        input: Option<u32>,
    ) -> Option<Vec<(u32, Item)>> {
        let refusal = match mark(function, item.rec.value.as_deref()) {
            Some(Mark::Trap | Mark::Bad) => Some("poisoned"),
            Some(Mark::Reject) => Some("rejected"),
            _ => None,
        };
        if let Some(reason) = refusal {
            self.refuse(&step.name, Some(function), &step.on_error, &item, row, reason);
            return None;
        }
        let observed = self.written(at).max(item.rec.time);
        self.times.insert(at, observed);
        Some(match &step.operator {
            Operator::Filter { negate, .. } if keeps(function, &item.rec) == *negate => Vec::new(),
            Operator::Filter { .. } | Operator::Peek { .. } => vec![(0, item)],
            operator => {
                let upstream = row.and_then(|r| r.upstream).filter(|_| !item.derived);
                let stream = upstream.map_or(observed, |u| u.1);
                let results = self.running(function).map(&item.rec, stream, input);
                mapped(operator, &item, results)
            }
        })
    }

    /// A table's change, where a record makes one.
    fn table(&mut self, at: usize, step: &StepSpec, over: bool, item: Item, row: Option<&Row>) -> Option<Item> {
        if !over {
            if item.rec.key.is_none() {
                *self.done.dropped.entry((step.name.clone(), "null-key".into())).or_default() += 1;
                return None;
            }
            // Keys that a step may have changed have no windows, also where one happened to stay as it was.
            let window = item.window.filter(|_| self.plan.nodes[at].windowed);
            let item = Item { window, ..item };
            if self.versions.contains_key(&at) {
                return self.version(at, step, item, row);
            }
            let old = self.tables.entry(at).or_default().change(&item);
            return Some(Item { old, ..item });
        }
        let gone = Item { rec: Rec { value: None, ..item.rec.clone() }, ..item.clone() };
        let function = function_of(&Kind::Step(step.clone())).expect("a filter or a map");
        let is = match item.rec.value {
            None => gone,
            Some(_) => self.asked(at, (step, function), item, row, None)?.pop().map_or(gone, |(_, item)| item),
        };
        if self.versions.contains_key(&at) {
            return self.version(at, step, is, row);
        }
        let old = self.tables.entry(at).or_default().change(&is);
        (old.is_some() || is.rec.value.is_some()).then_some(Item { old, ..is })
    }

    /// A version of a row of a table with history.
    fn version(&mut self, at: usize, step: &StepSpec, item: Item, row: Option<&Row>) -> Option<Item> {
        match self.versions.get_mut(&at).expect("it has history").put(item.clone(), row) {
            Ok(change) => return Some(change),
            Err(reason) => self.drop_from(step, item, reason, row),
        }
        None
    }

    /// What is sent for a change of a table that is grouped anew.
    fn regroup(&mut self, at: usize, step: &StepSpec, item: Item, row: Option<&Row>) -> Vec<Item> {
        let function = function_of(&Kind::Step(step.clone())).expect("a mapper");
        let new = match item.rec.value {
            None => None,
            Some(_) => match self.asked(at, (step, function), item.clone(), row, None) {
                Some(mut results) => results.pop().map(|(_, item)| item),
                None => return Vec::new(),
            },
        };
        // Without a key or a value it is in no group.
        let new = new.filter(|n| n.rec.key.is_some() && n.rec.value.is_some());
        let sent = self.regrouped.entry(at).or_default().sending(&item, &new);
        if let Some(reason) = sent.iter().find_map(|piece| self.refusal_of_piece(at, piece)) {
            self.refuse(&step.name, None, &step.on_error, &item, row, reason);
            return Vec::new();
        }
        self.regrouped.entry(at).or_default().keep(&item, new);
        sent
    }

    /// Why one of the topics behind might not take what is sent for a row, with what may stand around a value there.
    fn refusal_of_piece(&self, at: usize, piece: &Item) -> Option<&'static str> {
        let mut rec = piece.rec.clone();
        let old = piece.old.as_ref().map_or(0, |(value, _)| 15 + value.len());
        rec.value.get_or_insert_default().extend(vec![0; 37 + old]);
        let behind = self.plan.nodes.iter().filter(|n| n.parents.iter().any(|p| p.0 == at));
        let topics = behind.filter_map(|n| if let Kind::Cut { topic, .. } = &n.kind { Some(topic) } else { None });
        topics.into_iter().find_map(|topic| self.refusal(topic, &rec))
    }

    fn fold(&mut self, at: usize, step: &StepSpec, items: Vec<(u32, Item)>, row: Option<&Row>) -> Vec<Item> {
        let function = function_of(&self.plan.nodes[at].kind);
        let running = function.map(|f| self.running(f));
        let mut fold = self.folds.remove(&at).expect("it was made");
        fold.function = running;
        let (mut events, adders) = (Vec::new(), adders_of(&self.plan.nodes[at].kind));
        for (input, item) in items {
            let adder = adders.get(input as usize).copied().or(function);
            fold.adder = adder.map(|f| self.running(f));
            let came = if fold.of_table { fold.change(item) } else { fold.take(item, row) };
            events.extend(came.into_iter().map(|event| (adder, event)));
        }
        events.extend(fold.close().into_iter().map(|event| (function, event)));
        if row.is_none() {
            events.extend(fold.end_interval().into_iter().map(|event| (function, event)));
        }
        self.folds.insert(at, fold);
        let mut results = Vec::new();
        for (whose, event) in events {
            match event {
                Event::Result(item) => results.push(item),
                Event::Refused(reason, item) => {
                    self.refuse(&step.name, whose, &step.on_error, &item, row, reason);
                }
                Event::Broken(item) => self.refuse(&step.name, function, &step.on_error, &item, row, "poisoned"),
                Event::Dropped(reason, item) => self.drop_from(step, item, reason, row),
            }
        }
        results
    }

    /// A step that deduplicates, for one record.
    fn deduplicate(
        &mut self,
        at: usize,
        step: &StepSpec,
        item: Item,
        row: Option<&Row>,
        input: Option<u32>,
    ) -> Option<Item> {
        let own = (item.rec.key.clone(), self.passed[&at].by_window);
        let window = item.window.filter(|_| own.1);
        let id = match function_of(&self.plan.nodes[at].kind) {
            None => own.0.map(|key| (window, key, None)),
            Some(function) => {
                let asked = self.asked(at, (step, function), item.clone(), row, input)?;
                let given = asked.into_iter().next().and_then(|(_, result)| result.rec.key);
                own.0.zip(given).map(|(key, id)| (window, key, Some(id)))
            }
        };
        match self.passed.get_mut(&at).expect("it was made").take(&item, id, row) {
            Ok(()) => return Some(item),
            Err(reason) => self.drop_from(step, item, reason, row),
        }
        None
    }

    /// Counts a record that leaves without a result; late ones may have a topic of their own.
    fn drop_from(&mut self, step: &StepSpec, item: Item, reason: &str, row: Option<&Row>) {
        *self.done.dropped.entry((step.name.clone(), reason.into())).or_default() += 1;
        if let (Some(topic), true) = (&step.late, reason.starts_with("late")) {
            let partition = self.partition_of(&item.rec, topic);
            match self.refusal(topic, &item.rec) {
                Some(reason) => self.refuse(&step.name, None, &step.on_error, &item, row, reason),
                None => self.put(topic, partition, item.rec),
            }
        }
    }

    /// A processor, for what one row brings it, or the end of an interval.
    fn process(
        &mut self,
        at: usize,
        step: &StepSpec,
        items: Vec<(u32, Item)>,
        several: bool,
        row: Option<&Row>,
    ) -> Vec<(u32, Item)> {
        let function = function_of(&self.plan.nodes[at].kind);
        let mut processor = self.processors.remove(&at).expect("it was made");
        processor.function = function.map(|f| self.running(f));
        let mut out = processor.fire_due();
        for (input, item) in items {
            out.extend(processor.take(item, row, several.then_some(input)));
        }
        if row.is_none() {
            out.extend(processor.fire_wall(self.wall));
        }
        self.processors.insert(at, processor);
        let mut results = Vec::new();
        for (port, event) in process::events(out) {
            match event {
                Event::Result(item) => results.push((port, item)),
                Event::Refused(reason, item) => {
                    self.refuse(&step.name, function, &step.on_error, &item, row, reason);
                }
                Event::Dropped(..) | Event::Broken(_) => unreachable!("a processor is given everything"),
            }
        }
        results
    }

    /// The end of an interval: what it must have done.
    pub fn end_interval(&mut self) -> Done {
        self.walk(None, None);
        std::mem::take(&mut self.done)
    }
}

/// The clock of a node that goes by the upstream tasks whose records reach it.
fn clock(plan: &Plan, node: &Node, partition: u32) -> Clock {
    let cut = |e: &usize| match &plan.nodes[*e].kind {
        Kind::CutEntry { topic, .. } => Some((topic.clone(), plan.upstream_tasks(*e))),
        _ => None,
    };
    let topics: Vec<(String, u32)> = node.entries.iter().filter_map(cut).collect();
    let plain =
        |e: &usize| matches!(&plan.nodes[*e].kind, Kind::Entry { topic, .. } if partition < plan.partitions[topic]);
    Clock::new(&topics, node.entries.iter().any(plain))
}

/// Whether a stream's record takes part in a join.
fn joins_at_all(kind: JoinKind, item: &Item) -> bool {
    item.rec.value.is_some() && (item.rec.key.is_some() || kind == JoinKind::Left)
}

/// What a mapper's results become in a step of this form.
fn mapped(operator: &Operator, item: &Item, results: Vec<(u32, Rec)>) -> Vec<(u32, Item)> {
    match operator {
        Operator::Branch { outputs, otherwise, .. } => match results.first() {
            Some((port, _)) => vec![(*port, item.clone())],
            None if otherwise.is_some() => vec![(outputs.len() as u32, item.clone())],
            None => Vec::new(),
        },
        Operator::Map { .. } | Operator::Regroup { .. } | Operator::Deduplicate(_) => results
            .into_iter()
            .map(|(_, mut rec)| {
                if matches!(operator, Operator::Map { form: MapForm::SelectKey, .. }) {
                    rec = Rec { key: rec.key, ..item.rec.clone() };
                }
                let window = item.window.filter(|_| rec.key == item.rec.key);
                (0, Item { rec, window, ..item.clone() })
            })
            .collect(),
        _ => unreachable!("no mapper"),
    }
}

/// The number of the function that a node calls.
pub fn function_of(kind: &Kind) -> Option<usize> {
    let name = match kind {
        Kind::Entry { timestamp, .. } => timestamp.as_ref(),
        Kind::Sink(sink) => sink.route.as_ref().map(|route| &route.function),
        Kind::Step(step)
        | Kind::ForeignKeys(step)
        | Kind::Asks { step, .. }
        | Kind::Regroup(step)
        | Kind::Fold { step, .. }
        | Kind::Process { step, .. }
        | Kind::Deduplicate { step, .. }
        | Kind::Table { step, .. }
        | Kind::StreamJoin { step, .. }
        | Kind::GlobalJoin { step, .. }
        | Kind::Join { step, .. } => match &step.operator {
            Operator::Filter { function, .. }
            | Operator::Map { function, .. }
            | Operator::Branch { function, .. }
            | Operator::Peek { function } => Some(function),
            Operator::Aggregate(fold) => match &fold.fold {
                Fold::Cogroup { finisher, .. } => Some(finisher),
                Fold::Count(_) => None,
                Fold::Reduce { function } | Fold::Aggregate { function } | Fold::Scan { function } => Some(function),
            },
            Operator::Process(process) => Some(&process.function),
            Operator::Deduplicate(deduplicate) => deduplicate.function.as_ref(),
            Operator::Join(join) => Some(&join.function),
            Operator::StreamJoin(join) => join.function.as_ref(),
            Operator::Regroup { function } => Some(function),
            Operator::Merge | Operator::Repartition { .. } | Operator::Table { .. } | Operator::GlobalTable => None,
        },
        _ => None,
    };
    name.map(|n| number(n))
}

fn number(name: &str) -> usize {
    name[1..].parse().expect("functions are called f0, f1, …")
}

/// Numbers of the functions by which a node adds records of its several inputs.
fn adders_of(kind: &Kind) -> Vec<usize> {
    if let Kind::GlobalJoin { join, .. } = kind {
        return join.key.iter().map(|name| number(name)).collect();
    }
    let Kind::Fold { fold, .. } = kind else { return Vec::new() };
    fold.fold.adders().iter().map(|name| number(name)).collect()
}
