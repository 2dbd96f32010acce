//! A random case: a graph of steps, the records that enter, and what goes wrong. All from one seed.

mod ends;
mod foreign;

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::calendar::Calendar;
use millstream_core::limits::Limits;
use millstream_core::topology::spec::*;

use super::processors::STORES;
use super::rng::Rng;
use super::roles::{MARKS, MINDERS, Proc, Rec, Role, Sum};

/// What is left out when a failing case is made smaller.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Records of each partition.
    pub records: usize,
    pub steps: usize,
    pub faults: bool,
    pub swaps: bool,
}

/// Wall time at the beginning; event times are near 0.
pub const STARTS_AT: i64 = 1_000_000;

pub const FULL: Size = Size { records: 60, steps: 6, faults: true, swaps: true };

#[derive(Clone, Debug)]
pub struct Case {
    pub spec: Spec,
    /// By number of the function.
    pub roles: Vec<Role>,
    pub partitions: BTreeMap<String, u32>,
    pub input: BTreeMap<(String, u32), Vec<Rec>>,
    pub workers: usize,
    /// Functions and storage fail now and then.
    pub flaky: bool,
    pub swaps: bool,
    /// Commits fail, hosts die, tasks move.
    pub faults: bool,
    /// Records are deleted before they are read.
    pub gaps: bool,
    /// The wall clock jumps.
    pub jumps: bool,
    /// What topics take.
    pub limits: BTreeMap<String, Limits>,
}

/// A stream that a step may read.
#[derive(Clone, Debug)]
struct Stream {
    from: From,
    windowed: bool,
    used: bool,
    table: bool,
    /// The key may have changed.
    dirty: bool,
    /// Topics that it comes from, without another in between.
    topics: BTreeSet<String>,
    /// How long rows of the table are known as they were.
    history: Option<i64>,
}

/// Most joins by foreign key in one case: each multiplies what the one before gives by the rows that belong to one.
const FOREIGN_MAX: usize = 2;

/// The step that makes a global table.
const GLOBAL: &str = "global";

struct Builder<'r> {
    rng: &'r mut Rng,
    case: Case,
    streams: Vec<Stream>,
    removes: bool,
    /// Topics that joins bring together.
    alike: Vec<BTreeSet<String>>,
    /// Joins by foreign key so far.
    foreign: usize,
    /// There is a processor: what it sends comes at other times.
    processes: bool,
}

impl Case {
    pub fn new(seed: u64, size: Size) -> Self {
        let mut rng = Rng::new(seed, 1);
        let case = Case {
            spec: Spec { pipeline: "sim".into(), ..Spec::default() },
            roles: Vec::new(),
            partitions: BTreeMap::from([("dead".into(), 2), ("late".into(), 2)]),
            input: BTreeMap::new(),
            workers: 1 + rng.below(3) as usize,
            flaky: rng.one_in(2),
            swaps: size.swaps & rng.one_in(2),
            faults: size.faults & !rng.one_in(4),
            gaps: size.faults & rng.one_in(8),
            jumps: size.faults & rng.one_in(4),
            limits: BTreeMap::new(),
        };
        let (streams, alike) = Default::default();
        let mut builder = Builder { rng: &mut rng, case, streams, removes: false, alike, foreign: 0, processes: false };
        builder.sources();
        let steps = builder.rng.below(7) as usize;
        (0..steps.min(size.steps)).for_each(|_| builder.step());
        builder.sinks();
        let (mut case, removes) = (builder.case, builder.removes);
        if removes {
            case.roles
                .iter_mut()
                .filter(|r| matches!(r, Role::Rekey { .. }))
                .for_each(|r| *r = Role::Rekey { shift: false });
        }
        case.ends(&mut Rng::new(seed, 7), removes);
        case.limits(&mut Rng::new(seed, 5));
        case.records(&mut Rng::new(seed, 2), size, removes);
        case
    }

    /// Small limits of some topics, within which many results fall and many do not.
    fn limits(&mut self, rng: &mut Rng) {
        if !rng.one_in(3) {
            return;
        }
        let routed = |s: &SinkSpec| s.route.iter().flat_map(|r| r.topics.clone()).collect::<Vec<_>>();
        let written = self.spec.sinks.iter().flat_map(|s| [vec![s.topic.clone()], routed(s)].concat());
        let cuts = self.spec.steps.iter().flat_map(cuts);
        let topics: Vec<String> = written.chain(cuts).chain(["late".into(), "dead".into()]).collect();
        for topic in topics {
            if rng.one_in(2) {
                continue;
            }
            // How large a dead letter is depends on its message, which the oracle leaves to people.
            let bytes = (topic != "dead" && rng.one_in(2)).then(|| 8 + rng.below(40) as usize);
            let mut limits = Limits {
                record_bytes_max: bytes,
                record_overhead_bytes: rng.below(6) as usize,
                header_overhead_bytes: rng.below(4) as usize,
                ..Limits::default()
            };
            match rng.below(6) {
                0 => limits.ahead_ms_max = Some(rng.below(150) as i64 - STARTS_AT),
                1 => limits.behind_ms_max = Some(STARTS_AT + rng.below(3_000) as i64 - 100),
                2 => limits.ahead_ms_max = Some(rng.below(1_000) as i64),
                _ => {}
            }
            self.limits.insert(topic, limits);
        }
    }

    fn records(&mut self, rng: &mut Rng, size: Size, removes: bool) {
        let spread = *rng.pick(&[1, 5, 40, 200]);
        let poison = rng.one_in(2);
        // Poison at one place, at the ends, or everywhere.
        let everywhere = poison && rng.one_in(12);
        // What is removed forgets its time, which only matters where times differ.
        let still = removes.then_some(100);
        for topic in self.spec.sources.iter().flat_map(|s| &s.topics) {
            for partition in 0..self.partitions[topic] {
                let count = (rng.below(60) as usize).min(size.records);
                let mut records: Vec<Rec> = (0..count).map(|i| record(rng, partition, i, spread, poison)).collect();
                if let Some(time) = still {
                    records.iter_mut().filter(|r| r.time >= 0).for_each(|r| r.time = time);
                }
                let ends = [0, count.saturating_sub(1)];
                let marked = (0..count).filter(|i| everywhere || poison && rng.one_in(2) && ends.contains(i));
                for i in marked.collect::<Vec<_>>() {
                    records[i].value = Some(format!("{i}{}", any_mark(rng)).into_bytes());
                }
                self.input.insert((topic.clone(), partition), records);
            }
        }
    }
}

fn any_mark(rng: &mut Rng) -> String {
    let (letter, _) = *rng.pick(&MARKS);
    format!("{}{}", letter as char, rng.below(MINDERS as u64))
}

fn record(rng: &mut Rng, partition: u32, i: usize, spread: u64, poison: bool) -> Rec {
    let mut value = format!("{}.{partition}.{i}", rng.below(9));
    if poison && rng.one_in(8) {
        value += &any_mark(rng);
    }
    let time = (i as i64 * 2 + rng.below(spread) as i64 - spread as i64 / 2).max(0);
    let time = match rng.below(40) {
        0 => -1,
        1 if rng.one_in(20) => i64::MAX - rng.below(9) as i64,
        _ => time,
    };
    Rec {
        key: (!rng.one_in(10)).then(|| format!("k{}", rng.below(5)).into_bytes()),
        value: (!rng.one_in(10)).then(|| value.into_bytes()),
        time,
        headers: if rng.one_in(6) { vec![(b"h".to_vec(), Some(vec![i as u8]))] } else { Vec::new() },
    }
}

/// Repartition topics that may be in front of a step.
fn cuts(step: &StepSpec) -> Vec<String> {
    let inputs = step.from.iter().map(|from| match &from.output {
        None => format!("sim-{}-{}-repartition", step.name, from.name),
        Some(output) => format!("sim-{}-{}-{output}-repartition", step.name, from.name),
    });
    if let Operator::StreamJoin(_) = &step.operator {
        return ["left", "right"].map(|side| format!("sim-{}-{side}-repartition", step.name)).into();
    }
    let cogroups = matches!(&step.operator, Operator::Aggregate(a) if !a.fold.adders().is_empty());
    if cogroups { inputs.collect() } else { vec![format!("sim-{}-repartition", step.name)] }
}

impl Builder<'_> {
    fn on_error(&mut self) -> OnError {
        if self.rng.one_in(2) { OnError::Skip } else { OnError::DeadLetter("dead".into()) }
    }

    fn sources(&mut self) {
        for s in 0..1 + self.rng.below(2) {
            let name = format!("src{s}");
            let topics: Vec<String> = (0..1 + self.rng.below(3) / 2).map(|t| format!("in{s}{t}")).collect();
            for topic in &topics {
                let count = 1 + self.rng.below(4) as u32;
                self.case.partitions.insert(topic.clone(), count);
            }
            let on_error = self.on_error();
            let from = From { name: name.clone(), output: None };
            self.case.spec.sources.push(SourceSpec { name, topics, timestamp: None, on_error });
            let topics = self.case.spec.sources[s as usize].topics.iter().cloned().collect();
            let history = None;
            self.streams.push(Stream {
                from,
                windowed: false,
                used: false,
                table: false,
                dirty: false,
                topics,
                history,
            });
        }
    }

    /// One stream or several; mostly the newest.
    fn inputs(&mut self, fits: impl Fn(&Stream) -> bool) -> Option<Vec<usize>> {
        let fits: Vec<usize> = (0..self.streams.len()).filter(|s| fits(&self.streams[*s])).collect();
        let newest = *fits.last()?;
        let count = if self.rng.one_in(4) { 2 } else { 1 };
        let mut chosen: Vec<usize> =
            (0..count).map(|_| if self.rng.one_in(3) { *self.rng.pick(&fits) } else { newest }).collect();
        chosen.dedup();
        chosen.iter().for_each(|s| self.streams[*s].used = true);
        Some(chosen)
    }

    fn function(&mut self, role: Role) -> String {
        let known = self.case.roles.iter().position(|r| *r == role).filter(|_| self.rng.one_in(4));
        let number = known.unwrap_or_else(|| {
            let name = format!("f{}", self.case.roles.len());
            self.case.spec.functions.push(FunctionSpec { name });
            self.case.roles.push(role);
            self.case.roles.len() - 1
        });
        format!("f{number}")
    }

    fn map(&mut self, role: Role, form: MapForm) -> Operator {
        Operator::Map { function: self.function(role), form }
    }

    fn operator(&mut self) -> Operator {
        let timed = self.rng.one_in(3);
        match self.rng.below(21) {
            19.. => Operator::Deduplicate(self.deduplicate()),
            17 | 18 => {
                let partitions = self.rng.one_in(3).then(|| 1 + self.rng.below(4) as u32);
                let history_ms = self.rng.one_in(2).then(|| *self.rng.pick(&[0, 1, 10, 40, 200]));
                Operator::Table { partitions, history_ms }
            }
            0 | 1 => {
                let (function, negate) = (self.function(Role::Keep), self.rng.one_in(3));
                Operator::Filter { function, negate }
            }
            2 => Operator::Peek { function: self.function(Role::Keep) },
            3 | 4 => self.map(Role::Stamp { timed }, MapForm::MapValues),
            5 => self.map(Role::Rekey { shift: true }, MapForm::Map),
            6 => self.map(Role::Fan { keys: true }, MapForm::FlatMap),
            7 => self.map(Role::Fan { keys: false }, MapForm::FlatMapValues),
            8 => self.map(Role::Key, MapForm::SelectKey),
            9 => {
                let outputs = 1 + self.rng.below(2) as u32;
                let function = self.function(Role::Route { outputs });
                let otherwise = self.rng.one_in(2).then(|| "rest".to_string());
                Operator::Branch { function, outputs: (0..outputs).map(|o| format!("o{o}")).collect(), otherwise }
            }
            10 => Operator::Merge,
            11 if self.rng.one_in(2) => {
                let partitions = self.rng.one_in(2).then(|| 1 + self.rng.below(4) as u32);
                Operator::Repartition { partitions }
            }
            12 | 13 if !self.removes => Operator::Process(self.processor(timed)),
            _ => Operator::Aggregate(self.fold_of_stream()),
        }
    }

    fn deduplicate(&mut self) -> Deduplicate {
        let function = self.rng.one_in(2).then(|| self.function(Role::Key));
        let (within_ms, grace_ms) = (self.rng.below(30) as i64, self.rng.below(3) as i64 * 15);
        let partitions = self.rng.one_in(3).then(|| 1 + self.rng.below(4) as u32);
        Deduplicate { function, within_ms, grace_ms, partitions }
    }

    fn processor(&mut self, timed: bool) -> Process {
        self.processes = true;
        let outputs = self.rng.below(3) as u32;
        let proc = Proc { outputs: outputs.max(1), wall: self.rng.one_in(3), timed };
        let ttl_ms = Some(*self.rng.pick(&[5, 20, 100]));
        let stores = STORES.map(|name| StoreSpec { name: name.into(), ttl_ms: ttl_ms.filter(|_| name == STORES[1]) });
        Process {
            function: self.function(Role::Proc(proc)),
            stores: stores.into(),
            outputs: (0..outputs).map(|o| format!("o{o}")).collect(),
            partitions: self.rng.one_in(3).then(|| 1 + self.rng.below(4) as u32),
        }
    }

    fn fold(&mut self) -> Aggregate {
        let window = (!self.rng.one_in(4)).then(|| self.window());
        let emit = if window.is_some() && !self.rng.one_in(3) { Emit::OnClose } else { Emit::OnUpdate };
        let (long, timed) = (self.rng.one_in(3), self.rng.one_in(4));
        let fold = match self.rng.below(4) {
            0 => Fold::Count(CountFormat::Text),
            1 => Fold::Count(CountFormat::Long),
            2 => {
                let sum = Sum { long, timed, removes: false, breaks: false, shared: false };
                Fold::Reduce { function: self.function(Role::Sum(sum)) }
            }
            _ => {
                let removes = self.rng.one_in(5) && !self.processes;
                let sum = Sum { long, timed, removes, breaks: self.rng.one_in(5), shared: false };
                self.removes |= sum.removes;
                Fold::Aggregate { function: self.function(Role::Sum(sum)) }
            }
        };
        let partitions = self.rng.one_in(3).then(|| 1 + self.rng.below(4) as u32);
        let emit_every_update = emit == Emit::OnUpdate && self.rng.one_in(2);
        Aggregate { fold, window, emit, emit_every_update, partitions }
    }

    /// A fold of a stream, which may be a scan.
    fn fold_of_stream(&mut self) -> Aggregate {
        let mut fold = self.fold();
        let scans = !fold.window.is_some_and(|w| w.form.merges()) && self.rng.one_in(2);
        if let (Fold::Aggregate { function }, true) = (&fold.fold, scans) {
            fold.fold = Fold::Scan { function: function.clone() };
            (fold.emit, fold.emit_every_update) = (Emit::OnUpdate, true);
        }
        fold
    }

    /// Boundaries at random, up to some time.
    fn calendar(&mut self, then_ms: i64) -> &'static Calendar {
        let (mut starts, mut at) = (vec![0], 0);
        for _ in 0..self.rng.below(8) {
            at += 1 + self.rng.below(30) as i64;
            starts.push(at);
        }
        Calendar::new("at random".into(), starts, then_ms).expect("they ascend")
    }

    fn window(&mut self) -> Window {
        let size_ms = 1 + self.rng.below(30) as i64;
        let advance_ms = if self.rng.one_in(2) { size_ms } else { 1 + self.rng.below(size_ms as u64) as i64 };
        let grace_ms = self.rng.below(3) as i64 * 7;
        let form = match self.rng.below(12) {
            11 => WindowForm::Calendar(self.calendar(size_ms)),
            8 | 9 => WindowForm::Sliding { difference_ms: self.rng.below(25) as i64 },
            10 => WindowForm::Panes { size_ms, advance_ms },
            0 => WindowForm::Cumulating { size_ms: advance_ms * (1 + self.rng.below(4) as i64), step_ms: advance_ms },
            1..4 => WindowForm::Session { gap_ms: 1 + self.rng.below(12) as i64 },
            _ => WindowForm::Hopping { size_ms, advance_ms },
        };
        Window { form, grace_ms }
    }

    fn step(&mut self) {
        let tables: Vec<usize> = (0..self.streams.len()).filter(|s| self.streams[*s].table).collect();
        if let Some(newest) = tables.last().filter(|_| self.rng.one_in(3)) {
            let table = if self.rng.one_in(3) { *self.rng.pick(&tables) } else { *newest };
            return self.join(table);
        }
        if let Some(table) = tables.last().filter(|_| self.rng.one_in(4)) {
            return self.group(*table);
        }
        // One at the most: what comes of a join of joins is the fourth power of what goes in.
        let joined = self.case.spec.steps.iter().any(|s| matches!(s.operator, Operator::StreamJoin(_)));
        if !joined && self.rng.one_in(4) {
            return self.join_streams();
        }
        if self.rng.one_in(10) {
            return self.cogroup();
        }
        if self.rng.one_in(12) {
            return self.join_global();
        }
        let operator = self.operator();
        let nests = matches!(&operator, Operator::Aggregate(a) if a.window.is_some());
        let scans = matches!(&operator, Operator::Aggregate(Aggregate { fold: Fold::Scan { .. }, .. }));
        let Some(inputs) = self.inputs(|s| !(nests && s.windowed || (nests || scans) && s.table)) else { return };
        let any = |f: fn(&Stream) -> bool| inputs.iter().any(|s| f(&self.streams[*s]));
        let (before, dirty) = (any(|s| s.windowed), any(|s| s.dirty));
        let process = matches!(operator, Operator::Process(_));
        let changes = process || matches!(&operator, Operator::Map { form, .. } if form.may_change_key());
        let windowed = match &operator {
            Operator::Aggregate(a) => before || a.window.is_some(),
            _ => before && !changes,
        };
        let of_table = inputs.len() == 1 && any(|s| s.table);
        let table = match &operator {
            Operator::Filter { .. } | Operator::Map { form: MapForm::MapValues, .. } => of_table,
            operator => matches!(operator, Operator::Table { .. }),
        };
        let cuts = match &operator {
            Operator::Aggregate(_) | Operator::Table { .. } | Operator::Process(_) | Operator::Deduplicate(_) => dirty,
            operator => matches!(operator, Operator::Repartition { .. }),
        };
        let topics = self.topics(&inputs, cuts);
        let history = match &operator {
            Operator::Table { history_ms, .. } => *history_ms,
            _ => self.streams[inputs[0]].history.filter(|_| table),
        };
        let dirty = changes || dirty && !cuts;
        let like = Stream { windowed, table, dirty, topics, history, ..self.streams[0].clone() };
        self.push(operator, &inputs, like);
    }

    /// Several streams, or one, into one state.
    fn cogroup(&mut self) {
        let mut fold = self.fold();
        let windowed = fold.window.is_some();
        let Some(mut inputs) = self.inputs(|s| !(windowed && s.windowed)) else { return };
        if self.rng.one_in(3) {
            let Some(more) = self.inputs(|s| !(windowed && s.windowed)) else { return };
            inputs.extend(more);
        }
        // An input is named once.
        inputs = (0..inputs.len()).filter(|i| !inputs[..*i].contains(&inputs[*i])).map(|i| inputs[i]).collect();
        let mut adder = || {
            let sum = Sum { long: false, removes: false, breaks: false, timed: self.rng.one_in(4), shared: true };
            self.function(Role::Sum(sum))
        };
        let adders: Vec<String> = inputs.iter().map(|_| adder()).collect();
        let breaks = self.rng.one_in(5);
        let finisher = if self.rng.one_in(2) {
            adders[0].clone()
        } else {
            let sum = Sum { long: false, removes: false, breaks, timed: false, shared: true };
            self.function(Role::Sum(sum))
        };
        fold.fold = Fold::Cogroup { adders, finisher };
        let (step, any) = (self.case.spec.steps.len(), inputs.iter().any(|s| self.streams[*s].windowed));
        let mut topics = BTreeSet::new();
        for at in &inputs {
            let stream = &self.streams[*at];
            let named = stream.from.output.as_ref().map_or(String::new(), |output| format!("-{output}"));
            match stream.dirty {
                true => drop(topics.insert(format!("sim-s{step}-{}{named}-repartition", stream.from.name))),
                false => topics.extend(stream.topics.clone()),
            }
        }
        let several = inputs.len() > 1;
        let windowed = windowed || any;
        let like = Stream { windowed, table: false, dirty: false, topics: topics.clone(), ..self.streams[0].clone() };
        self.push(Operator::Aggregate(fold), &inputs, like);
        if several {
            self.bring_together(topics);
        }
    }

    /// An aggregate over a table whose rows are given other keys.
    fn group(&mut self, table: usize) {
        let regroup = format!("s{}", self.case.spec.steps.len());
        let function = self.function(Role::Rekey { shift: true });
        let like = self.streams[table].clone();
        self.streams[table].used = true;
        self.push(Operator::Regroup { function }, &[table], like.clone());
        // Nothing else can read it.
        let grouped = self.streams.pop().expect("it was just pushed");
        self.streams.push(Stream { windowed: false, table: false, dirty: false, history: None, ..grouped });
        let at = self.streams.len() - 1;
        for _ in 0..1 + self.rng.below(3) / 2 {
            let mut fold = self.fold();
            (fold.window, fold.emit) = (None, Emit::OnUpdate);
            let topics = self.topics(&[table], true);
            let like = Stream { topics, ..self.streams[at].clone() };
            self.push(Operator::Aggregate(fold), &[at], like);
        }
        self.streams.retain(|s| s.from.name != regroup);
    }

    /// What a step comes from that reads these.
    fn topics(&self, inputs: &[usize], cuts: bool) -> BTreeSet<String> {
        if cuts {
            return BTreeSet::from([format!("sim-s{}-repartition", self.case.spec.steps.len())]);
        }
        inputs.iter().flat_map(|s| self.streams[*s].topics.clone()).collect()
    }

    /// Joins with a table: a stream or several, or a table, perhaps the same.
    fn join(&mut self, table: usize) {
        let windowed = self.streams[table].windowed;
        let Some(inputs) = self.inputs(|s| s.windowed == windowed) else { return };
        let of_tables = inputs.len() == 1 && self.streams[inputs[0]].table;
        if of_tables && !windowed && self.foreign < FOREIGN_MAX && self.rng.one_in(2) {
            let far = if self.rng.one_in(2) { self.far_table(table) } else { None };
            return self.join_by_foreign_key(far.unwrap_or(inputs[0]), table);
        }
        let kind = match self.rng.below(3) {
            0 => JoinKind::Inner,
            1 if of_tables => JoinKind::Outer,
            _ => JoinKind::Left,
        };
        self.streams[table].used = true;
        let cuts = inputs.iter().any(|s| self.streams[*s].dirty);
        let mut topics = self.topics(&inputs, cuts);
        topics.extend(self.streams[table].topics.clone());
        let function = self.function(Role::Pair);
        let other = self.streams[table].from.clone();
        let like =
            Stream { windowed, table: of_tables, dirty: false, topics: topics.clone(), ..self.streams[0].clone() };
        let history = self.streams[table].history.filter(|_| !of_tables && self.rng.one_in(2));
        let grace_ms = history.map(|ms| self.rng.below(ms.min(60) as u64 + 1) as i64);
        self.push(Operator::Join(Join { other, kind, function, key: None, grace_ms }), &inputs, like);
        self.bring_together(topics);
    }

    /// Joins a stream or several with another, or with itself.
    fn join_streams(&mut self) {
        let Some(inputs) = self.inputs(|s| !s.table) else { return };
        let windowed = inputs.iter().any(|s| self.streams[*s].windowed);
        let fits: Vec<usize> = (0..self.streams.len())
            .filter(|s| !self.streams[*s].table && self.streams[*s].windowed == windowed)
            .collect();
        let Some(other) = fits.get(self.rng.below(fits.len().max(1) as u64) as usize).copied() else { return };
        self.streams[other].used = true;
        let kind = *self.rng.pick(&[JoinKind::Inner, JoinKind::Left, JoinKind::Outer]);
        let mut ms = || *self.rng.pick(&[0, 1, 3, 10, 40]);
        let window = JoinWindow { before_ms: ms(), after_ms: ms(), grace_ms: ms() };
        let function = (!self.rng.one_in(4)).then(|| self.function(Role::Pair));
        let step = self.case.spec.steps.len();
        let side = |builder: &Self, sides: &[usize], name: &str| {
            if sides.iter().any(|s| builder.streams[*s].dirty) {
                return BTreeSet::from([format!("sim-s{step}-{name}-repartition")]);
            }
            sides.iter().flat_map(|s| builder.streams[*s].topics.clone()).collect()
        };
        let mut topics = side(self, &inputs, "left");
        if inputs != [other] {
            topics.extend(side(self, &[other], "right"));
        }
        let join = StreamJoin { other: self.streams[other].from.clone(), kind, function, window };
        let like = Stream { windowed, table: false, dirty: false, topics: topics.clone(), ..self.streams[0].clone() };
        self.push(Operator::StreamJoin(join), &inputs, like);
        self.bring_together(topics);
    }

    /// Joins a stream or several with a global table, whose rows do not change: nothing is promised of when a change is seen.
    fn join_global(&mut self) {
        let Some(inputs) = self.inputs(|s| !s.table) else { return };
        let table = From { name: GLOBAL.into(), output: None };
        if self.case.spec.global_table(GLOBAL).is_none() {
            let (name, topics) = ("rows".to_string(), vec!["rows".to_string()]);
            self.case.partitions.insert(name.clone(), 1 + self.rng.below(4) as u32);
            let from = From { name: name.clone(), output: None };
            self.case.spec.sources.push(SourceSpec { name, topics, timestamp: None, on_error: OnError::Skip });
            self.case.spec.steps.push(StepSpec {
                name: GLOBAL.into(),
                from: vec![from],
                operator: Operator::GlobalTable,
                on_error: OnError::Fail,
                late: None,
                idle: Idle::default(),
                lateness: Lateness::default(),
                max_idle: None,
            });
        }
        let kind = if self.rng.one_in(2) { JoinKind::Inner } else { JoinKind::Left };
        let (function, key) = (self.function(Role::Pair), Some(self.function(Role::Rekey { shift: true })));
        let any = |f: fn(&Stream) -> bool| inputs.iter().any(|s| f(&self.streams[*s]));
        let (windowed, dirty) = (any(|s| s.windowed), any(|s| s.dirty));
        let topics = self.topics(&inputs, false);
        let like = Stream { windowed, table: false, dirty, topics, ..self.streams[0].clone() };
        self.push(Operator::Join(Join { other: table, kind, function, key, grace_ms: None }), &inputs, like);
    }

    /// Gives topics the same number of partitions.
    fn bring_together(&mut self, mut topics: BTreeSet<String>) {
        let (met, apart) = std::mem::take(&mut self.alike).into_iter().partition(|a| !a.is_disjoint(&topics));
        self.alike = apart;
        let met: Vec<BTreeSet<String>> = met;
        topics.extend(met.into_iter().flatten());
        let case = &mut self.case;
        let mut count = topics.iter().find_map(|t| case.partitions.get(t).copied());
        for topic in &topics {
            if let Some(partitions) = case.partitions.get_mut(topic) {
                *partitions = count.unwrap_or(*partitions);
            }
            let cut = case.spec.steps.iter_mut().find(|s| cuts(s).contains(topic));
            let given = cut.and_then(|step| match &mut step.operator {
                Operator::Repartition { partitions } | Operator::Table { partitions, .. } => partitions.as_mut(),
                Operator::Aggregate(fold) => fold.partitions.as_mut(),
                Operator::Process(process) => process.partitions.as_mut(),
                Operator::Deduplicate(deduplicate) => deduplicate.partitions.as_mut(),
                _ => None,
            });
            if let Some(given) = given {
                *given = *count.get_or_insert(*given);
            }
        }
        self.alike.push(topics);
    }

    fn push(&mut self, operator: Operator, inputs: &[usize], like: Stream) {
        let name = format!("s{}", self.case.spec.steps.len());
        let from = inputs.iter().map(|s| self.streams[*s].from.clone()).collect();
        let outputs: Vec<Option<String>> = match &operator {
            Operator::Branch { outputs, otherwise, .. } => outputs.iter().chain(otherwise).cloned().map(Some).collect(),
            Operator::Process(p) if !p.outputs.is_empty() => p.outputs.iter().cloned().map(Some).collect(),
            _ => vec![None],
        };
        let is_fold = matches!(
            operator,
            Operator::Aggregate(_)
                | Operator::StreamJoin(_)
                | Operator::Deduplicate(_)
                | Operator::Table { history_ms: Some(_), .. }
        );
        let late = (is_fold && self.rng.one_in(2)).then(|| "late".to_string());
        let idle = if self.rng.one_in(2) { Idle::Never } else { Idle::After(50 + self.rng.below(300) as i64) };
        let lateness = if self.rng.one_in(6) { Lateness::KafkaStreams } else { Lateness::OwnTask };
        let on_error = self.on_error();
        self.case.spec.steps.push(StepSpec {
            name: name.clone(),
            from,
            operator,
            on_error,
            late,
            idle,
            lateness,
            max_idle: None,
        });
        let stream = |output| Stream { from: From { name: name.clone(), output }, used: false, ..like.clone() };
        self.streams.extend(outputs.into_iter().map(stream));
    }

    fn sinks(&mut self) {
        let last = self.streams.len() - 1;
        let mut chosen: Vec<usize> = (0..last).filter(|s| !self.streams[*s].used && self.rng.one_in(2)).collect();
        chosen.push(last);
        for (number, stream) in chosen.into_iter().enumerate() {
            let topic = format!("out{}", if self.rng.one_in(6) { 0 } else { number });
            let count = 1 + self.rng.below(3) as u32;
            self.case.partitions.entry(topic.clone()).or_insert(count);
            let mut from = vec![self.streams[stream].from.clone()];
            if self.rng.one_in(5) {
                from.push(self.rng.pick(&self.streams).from.clone());
            }
            let on_error = self.on_error();
            self.case.spec.sinks.push(SinkSpec {
                name: format!("sink{number}"),
                from,
                topic,
                key_format: *self.rng.pick(&[KeyFormat::Kafka, KeyFormat::Json, KeyFormat::Plain]),
                window_headers: self.rng.one_in(3),
                on_error,
                route: None,
            });
        }
    }
}
