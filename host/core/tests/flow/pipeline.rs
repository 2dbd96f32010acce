//! A pipeline of a transcript: one worker over topics in memory, told what to do line by line. Commits succeed at once, or when
//! they are let.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use millstream_core::calendar::Calendar;
use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::envelope::{self, Opened};
use millstream_core::formats::{Assigned, Pair};
use millstream_core::function::Prepared;
use millstream_core::globals::Globals;
use millstream_core::limits::Limits;
use millstream_core::operator::Active;
use millstream_core::record::{Batch, BatchBuilder, BytesColumn, Header};
use millstream_core::state::changelog::change_writes;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, StorageError, Write};
use millstream_core::state::memory::{Guard, Memory, Spaces};
use millstream_core::task::{TaskId, TaskPart};
use millstream_core::topology::graph::{Topology, plan};
use millstream_core::topology::spec::*;
use millstream_core::worker::{Effect, Grounds, Input, Settings, Worker, task_prefix};

use crate::formats::{BRACKETS, Brackets};
use crate::functions::{NAMES, Native, STRIDE};
use crate::script::{Words, show, time};

#[derive(Default)]
struct Locked(Mutex<Spaces>);

impl Guard for Locked {
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }
}

/// Global tables: what their topics hold last of each key.
struct Latest<'p> {
    topology: &'p Topology,
    log: &'p BTreeMap<(usize, u32), BatchBuilder>,
}

impl Globals for Latest<'_> {
    fn rows(&self, table: usize, keys: &[Option<&[u8]>]) -> Result<BytesColumn, StorageError> {
        let mut rows: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let topics = &self.topology.globals[table].topics;
        for ((_, _), batch) in self.log.iter().filter(|((topic, _), _)| topics.contains(topic)) {
            let batch = batch.clone().finish();
            let rows_of = (0..batch.len()).filter_map(|i| Some((batch.keys.get(i)?, batch.values.get(i))));
            rows.extend(rows_of.map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))));
        }
        Ok(keys.iter().map(|key| rows.get((*key)?)?.as_deref()).collect())
    }
}

/// See the module.
#[derive(Default)]
pub struct Pipeline {
    spec: Spec,
    partitions: BTreeMap<String, u32>,
    limits: BTreeMap<String, Limits>,
    assigned: Assigned,
    formats: Brackets,
    topology: Arc<Topology>,
    db: Memory<Locked>,
    spaces: Vec<Vec<Space>>,
    worker: Option<Worker>,
    log: BTreeMap<(usize, u32), BatchBuilder>,
    metas: BTreeMap<TaskId, Vec<u8>>,
    epochs: BTreeMap<usize, u64>,
    intervals: u64,
    /// Bytes of results with which an interval is full.
    interval_bytes: Option<usize>,
    /// Intervals whose commits take their time.
    stalled: Option<Vec<Arc<Interval>>>,
    now: i64,
    out: String,
}

/// Rounds in which everything that is there must have been taken.
const ROUNDS: usize = 50;

impl Pipeline {
    /// Performs a command; gives what came out.
    pub fn perform(&mut self, lines: &[String]) -> Result<String, String> {
        let lines: Vec<&str> = lines.iter().map(String::as_str).filter(|l| !l.trim_start().starts_with('#')).collect();
        let words = Words::new(lines[0]);
        match (words.plain[0], &words.plain[1..]) {
            ("topology", _) => {
                *self = Self::default();
                self.plan(&lines[1..])?;
            }
            ("replan", _) => self.replan(&lines[1..])?,
            ("forget-notes", []) => self.forget_notes()?,
            ("append", [place]) => self.append(place, &lines[1..])?,
            ("poll", [place]) => {
                self.append(place, &lines[1..])?;
                self.run(true)?;
            }
            ("hold", [place]) => {
                self.append(place, &lines[1..])?;
                self.run(false)?;
            }
            ("commit", []) => self.run(true)?,
            ("wait", [how_long]) => {
                self.now += time(how_long)?;
                self.run(true)?;
            }
            ("restart", []) => {
                self.start()?;
                self.run(true)?;
            }
            ("swap", [function]) => {
                let number = number_of(function)?;
                let epoch = self.epochs.entry(number).and_modify(|e| *e += 1).or_insert(2);
                let active = Active {
                    prepared: Prepared(*epoch as u32 * STRIDE + number as u32),
                    epoch: *epoch,
                    number: *epoch * 10,
                };
                self.step(Input::Activate { function: number, active })?;
                self.run(true)?;
            }
            ("formats", [state]) => {
                self.formats.is_down.set(*state == "down");
                self.run(true)?;
            }
            ("stall", []) => self.stalled = Some(Vec::new()),
            ("go-on", []) => {
                let held = self.stalled.take().ok_or("nothing is stalled")?;
                held.iter().try_for_each(|interval| self.decide(interval))?;
                self.run(true)?;
            }
            ("flush", []) => {
                self.step(Input::Flush)?;
                self.run(true)?;
            }
            (other, _) => return Err(format!("what is `{other}`?")),
        }
        Ok(std::mem::take(&mut self.out))
    }

    /// The same folder, another manifest.
    fn replan(&mut self, lines: &[&str]) -> Result<(), String> {
        let before = std::mem::take(&mut self.topology);
        self.spaces.clear();
        self.plan(lines)?;
        let names = |t: &Topology| t.topics.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        if names(&before) != names(&self.topology) {
            return Err("a new plan has the topics of the old one, in their order".into());
        }
        self.run(true)
    }

    /// The folder is from before there were notes of what states were made with.
    fn forget_notes(&mut self) -> Result<(), String> {
        let mut writes = Vec::new();
        for (sub, plan) in self.topology.subs.iter().enumerate() {
            for partition in 0..plan.tasks {
                let key = [&task_prefix(TaskId { sub, partition })[..], &[0xef]].concat();
                writes.extend(self.spaces[sub].iter().map(|space| Write::Delete(*space, key.clone())));
            }
        }
        self.db.apply(writes, Durability::Process).map_err(|e| e.to_string())
    }

    fn plan(&mut self, lines: &[&str]) -> Result<(), String> {
        let functions = NAMES.iter().map(|(name, _)| FunctionSpec { name: name.to_string() }).collect();
        self.spec = Spec { pipeline: "p".into(), functions, ..Spec::default() };
        for topic in ["dead", "late"] {
            self.partitions.insert(topic.into(), 1);
        }
        lines.iter().try_for_each(|line| self.part(&Words::new(line)).map_err(|e| format!("{line}: {e}")))?;
        let mut topology = plan(&self.spec, &|topic| self.partitions.get(topic).copied()).map_err(|e| e.to_string())?;
        for (name, limits) in &self.limits {
            let topic = topology.topics.iter_mut().find(|t| t.name == *name).map(|t| &mut t.limits);
            let store = topology.subs.iter_mut().flat_map(|s| &mut s.stores).find(|s| s.name == *name);
            *topic.or(store.map(|s| &mut s.limits)).ok_or_else(|| format!("no {name}"))? = *limits;
        }
        topology.formats = self.assigned.clone();
        self.topology = Arc::new(topology);
        for sub in &self.topology.subs {
            let spaces = sub.stores.iter().map(|s| self.db.open_space(&s.name, SpaceKind::State));
            self.spaces.push(spaces.collect::<Result<_, _>>().map_err(|e| e.to_string())?);
            let inputs: Vec<&str> = sub.inputs.iter().map(|i| &self.topology.topics[i.topic].name[..]).collect();
            let _ = writeln!(self.out, "tasks {} over {}", sub.tasks, inputs.join(" "));
        }
        self.start()
    }

    fn part(&mut self, words: &Words<'_>) -> Result<(), String> {
        let (kind, name) = (words.plain[0], words.plain[1].to_string());
        let on_error = match words.option("on-error") {
            None => OnError::Fail,
            Some("skip") => OnError::Skip,
            Some(topic) => OnError::DeadLetter(topic.into()),
        };
        let froms = words.list("from").into_iter().map(|f| match f.split_once('.') {
            Some((step, output)) => From { name: step.into(), output: Some(output.into()) },
            None => From { name: f, output: None },
        });
        let from: Vec<From> = froms.collect();
        let partitions = words.number("partitions")?;
        let format = |part| words.list("brackets").contains(&part).then_some(BRACKETS);
        let pair = Pair { key: format("key".to_string()), value: format("value".to_string()) };
        match kind {
            "pipeline" => {
                self.spec.max_idle = max_idle(words.option("max-idle").unwrap_or("0"))?;
                self.interval_bytes = words.number("interval-bytes")?.map(|bytes| bytes as usize);
            }
            "source" => {
                self.assigned.sources.insert(name.clone(), pair);
                let mut topics = words.list("topics");
                if topics.is_empty() {
                    topics.push(name.clone());
                }
                self.partitions.extend(topics.iter().map(|t| (t.clone(), partitions.unwrap_or(1))));
                let timestamp = words.option("timestamp").map(str::to_string);
                self.spec.sources.push(SourceSpec { name, topics, timestamp, on_error });
            }
            "sink" => {
                self.assigned.sinks.insert(name.clone(), pair);
                let key_format = match words.option("keys") {
                    Some("json") => KeyFormat::Json,
                    Some("kafka") => KeyFormat::Kafka,
                    _ => KeyFormat::Plain,
                };
                self.partitions.insert(name.clone(), partitions.unwrap_or(1));
                let (topic, window_headers) = (name.clone(), words.has("headers"));
                let route = self.route(words);
                self.spec.sinks.push(SinkSpec { name, from, topic, key_format, window_headers, on_error, route });
            }
            "limit" | "limit-store" => {
                let at = |name: &str| words.option(name).map(time).transpose();
                let bytes = |name: &str| words.number(name).map(|n| n.map(|n| n as usize));
                let limits = Limits {
                    record_bytes_max: bytes("bytes")?,
                    record_overhead_bytes: bytes("record")?.unwrap_or(0),
                    header_overhead_bytes: bytes("header")?.unwrap_or(0),
                    ahead_ms_max: at("ahead")?,
                    behind_ms_max: at("behind")?,
                };
                self.limits.insert(name, limits);
            }
            _ => {
                let operator = operator(kind, words)?;
                let late = words.option("late").map(str::to_string);
                let idle = match words.option("idle") {
                    None => Idle::Never,
                    Some(text) => Idle::After(time(text)?),
                };
                let own = words.option("lateness") != Some("kafka-streams");
                let lateness = if own { Lateness::OwnTask } else { Lateness::KafkaStreams };
                let max_idle = words.option("max-idle").map(max_idle).transpose()?;
                self.spec.steps.push(StepSpec { name, from, operator, on_error, late, idle, lateness, max_idle });
            }
        }
        Ok(())
    }

    /// A sink's router. A routed topic has as many partitions as a number behind a colon says.
    fn route(&mut self, words: &Words<'_>) -> Option<Route> {
        let routed = words.list("topics").into_iter().map(|topic| match topic.split_once(':') {
            Some((name, partitions)) => (name.to_string(), partitions.parse().unwrap_or(1)),
            None => (topic, 1),
        });
        let routed: Vec<(String, u32)> = routed.collect();
        self.partitions.extend(routed.iter().cloned());
        let topics = routed.into_iter().map(|(topic, _)| topic).collect();
        words.option("route").map(|function| Route { function: function.to_string(), topics, pattern: None })
    }

    fn start(&mut self) -> Result<(), String> {
        let mut settings = Settings { commit_interval_ms: 100, ..Settings::default() };
        settings.interval_bytes_max = self.interval_bytes.unwrap_or(settings.interval_bytes_max);
        let epoch = |f: usize| self.epochs.get(&f).copied().unwrap_or(1);
        let active = |f: usize| Active {
            prepared: Prepared(epoch(f) as u32 * STRIDE + f as u32),
            epoch: epoch(f),
            number: epoch(f) * 10,
        };
        self.intervals += 1_000;
        let active = (0..NAMES.len()).map(active).collect();
        self.worker = Some(Worker::new(self.topology.clone(), settings, active, self.intervals));
        for (sub, plan) in self.topology.clone().subs.iter().enumerate() {
            for partition in 0..plan.tasks {
                let task = TaskId { sub, partition };
                let (meta, start) = (self.metas.get(&task).cloned(), vec![0; plan.inputs.len()]);
                self.step(Input::Open { task, meta, start })?;
            }
        }
        Ok(())
    }

    fn append(&mut self, place: &str, lines: &[&str]) -> Result<(), String> {
        let (topic, partition) = place.split_once('/').ok_or("a place is topic/partition")?;
        let topic = self.topology.topics.iter().position(|t| t.name == topic).ok_or("no such topic")?;
        let partition = partition.parse().map_err(|e| format!("{place}: {e}"))?;
        for line in lines {
            let words = Words::new(line);
            let bytes = |name: &str, default: Option<&str>| {
                words.option(name).or(default).filter(|v| *v != "-").map(str::to_string)
            };
            let (key, value) = (bytes("key", None), bytes("value", Some("v")));
            let at = time(words.option("time").unwrap_or("0"))?;
            let headers =
                words.options.iter().filter_map(|(n, v)| Some((n.strip_prefix("h.")?.as_bytes(), Some(v.as_bytes()))));
            let headers: Vec<Header<'_>> = headers.collect();
            let (key, value) = (key.as_deref().map(str::as_bytes), value.as_deref().map(str::as_bytes));
            self.log.entry((topic, partition)).or_default().push(key, value, at, headers);
        }
        Ok(())
    }

    /// Everything that is there is taken; `commit`: intervals end.
    fn run(&mut self, commit: bool) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let wants = self.worker.as_ref().ok_or("no topology yet")?.wants();
            for (task, input, offset) in wants {
                let topic = self.topology.subs[task.sub].inputs[input].topic;
                if task.partition >= self.topology.topics[topic].partitions {
                    continue;
                }
                let all = self.log.get(&(topic, task.partition)).cloned().unwrap_or_default().finish();
                let (batch, end) = (all.slice(offset as usize, all.len()), all.len() as i64);
                self.step(Input::Fetched { task, input, base_offset: offset, batch, end })?;
            }
            self.step(Input::Tick)?;
            if commit {
                self.step(Input::Drain)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, input: Input) -> Result<(), String> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let (formats, db, spaces) = (&self.formats, &self.db, &self.spaces);
            let globals = &Latest { topology: &self.topology, log: &self.log };
            let mut grounds = Grounds { functions: &mut Native, formats, globals, db, spaces };
            let worker = self.worker.as_mut().ok_or("no topology yet")?;
            for effect in worker.step(self.now, input, &mut grounds) {
                match effect {
                    Effect::Commit(interval) => match &mut self.stalled {
                        Some(held) => held.push(interval),
                        None => {
                            self.commit(&interval)?;
                            inputs.push(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
                        }
                    },
                    Effect::Stopped { task, verdict, .. } => {
                        let _ = writeln!(self.out, "stopped {}_{}: {verdict}", task.sub, task.partition);
                    }
                    Effect::Committed(_) | Effect::Resolve(_) => {}
                }
            }
        }
        Ok(())
    }

    /// A commit that was held up succeeds.
    fn decide(&mut self, interval: &Interval) -> Result<(), String> {
        self.commit(interval)?;
        self.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed })
    }

    fn commit(&mut self, interval: &Interval) -> Result<(), String> {
        let topology = self.topology.clone();
        for part in &interval.parts {
            for out in &part.outputs {
                let topic = &topology.topics[out.topic];
                let place = format!("{}/{}", topic.name, out.partition);
                for i in 0..out.batch.len() {
                    let line = if topic.internal { repartitioned(&out.batch, i) } else { result(&out.batch, i) };
                    let _ = writeln!(self.out, "{place} {line}");
                }
                self.log.entry((out.topic, out.partition)).or_default().extend(&out.batch);
            }
            for ((step, reason), count) in &part.dropped {
                let _ = writeln!(self.out, "dropped {step} {} {count}", reason.word());
            }
            for switch in part.switches.iter().filter(|s| s.epoch > 1) {
                let positions: Vec<_> = switch.positions.iter().map(|(t, p)| format!("{t}@{p}")).collect();
                let name = &topology.functions[switch.function];
                let _ = writeln!(self.out, "switch {name} to epoch {} at {}", switch.epoch, positions.join(" "));
            }
            self.metas.insert(part.task, part.meta.clone());
            self.apply(part)?;
        }
        Ok(())
    }

    fn apply(&self, part: &TaskPart) -> Result<(), String> {
        let prefix = task_prefix(part.task);
        let stores = self.spaces[part.task.sub].iter().zip(&part.changes);
        let writes = stores.flat_map(|(space, changes)| change_writes(*space, &prefix, changes)).collect();
        self.db.apply(writes, Durability::Process).map_err(|e| e.to_string())
    }
}

fn max_idle(text: &str) -> Result<MaxIdle, String> {
    if text == "none" { Ok(MaxIdle::No) } else { time(text).map(MaxIdle::After) }
}

fn number_of(function: &str) -> Result<usize, String> {
    NAMES.iter().position(|(n, _)| *n == function).ok_or_else(|| format!("no function `{function}`"))
}

fn operator(kind: &str, words: &Words<'_>) -> Result<Operator, String> {
    let function = words.option("with").unwrap_or_default().to_string();
    let form = |form| Ok(Operator::Map { function: function.clone(), form });
    match kind {
        "filter" => Ok(Operator::Filter { function, negate: false }),
        "filter-not" => Ok(Operator::Filter { function, negate: true }),
        "peek" => Ok(Operator::Peek { function }),
        "map" => form(MapForm::Map),
        "map-values" => form(MapForm::MapValues),
        "flat-map" => form(MapForm::FlatMap),
        "flat-map-values" => form(MapForm::FlatMapValues),
        "select-key" => form(MapForm::SelectKey),
        "merge" => Ok(Operator::Merge),
        "branch" => {
            let otherwise = words.option("otherwise").map(str::to_string);
            Ok(Operator::Branch { function, outputs: words.list("outputs"), otherwise })
        }
        "global-table" => Ok(Operator::GlobalTable),
        "table" => {
            let history_ms = words.option("history").map(time).transpose()?;
            Ok(Operator::Table { partitions: words.number("partitions")?, history_ms })
        }
        "group-by" => Ok(Operator::Regroup { function }),
        "join" => join(function, words),
        "repartition" => Ok(Operator::Repartition { partitions: words.number("partitions")? }),
        "count" => fold(words, Fold::Count(if words.has("text") { CountFormat::Text } else { CountFormat::Long })),
        "reduce" => fold(words, Fold::Reduce { function }),
        "aggregate" => fold(words, Fold::Aggregate { function }),
        "scan" => fold(words, Fold::Scan { function }),
        "cogroup" => {
            let adders = words.list("with");
            let finisher = words.option("finish").map_or_else(|| adders[0].clone(), str::to_string);
            fold(words, Fold::Cogroup { adders, finisher })
        }
        "deduplicate" => {
            let at = |name: &str| words.option(name).map(time).transpose();
            let within_ms = at("within")?.unwrap_or(0);
            Ok(Operator::Deduplicate(Deduplicate {
                function: words.option("with").map(str::to_string),
                within_ms,
                grace_ms: at("grace")?.unwrap_or(within_ms),
                partitions: words.number("partitions")?,
            }))
        }
        "process" => {
            let stores = words.list("stores").into_iter().map(|store| match store.split_once(':') {
                Some((name, ttl)) => Ok(StoreSpec { name: name.into(), ttl_ms: Some(time(ttl)?) }),
                None => Ok(StoreSpec { name: store, ttl_ms: None }),
            });
            let (stores, partitions) = (stores.collect::<Result<_, String>>()?, words.number("partitions")?);
            Ok(Operator::Process(Process { function, stores, outputs: words.list("outputs"), partitions }))
        }
        other => Err(format!("what is `{other}`?")),
    }
}

fn join(function: String, words: &Words<'_>) -> Result<Operator, String> {
    let name = words.option("stream").or(words.option("table")).unwrap_or_default();
    let other = From { name: name.into(), output: None };
    let kind = match (words.has("left"), words.has("outer")) {
        (true, _) => JoinKind::Left,
        (_, true) => JoinKind::Outer,
        _ => JoinKind::Inner,
    };
    if words.option("stream").is_none() {
        let key = words.option("key").map(str::to_string);
        let grace_ms = words.option("grace").map(time).transpose()?;
        return Ok(Operator::Join(Join { other, kind, function, key, grace_ms }));
    }
    let at = |name: &str| words.option(name).map_or(Ok(0), time);
    let within = words.option("within").map(time).transpose()?;
    let (before_ms, after_ms) = (within.map_or_else(|| at("before"), Ok)?, within.map_or_else(|| at("after"), Ok)?);
    let window = JoinWindow { before_ms, after_ms, grace_ms: at("grace")? };
    let function = Some(function).filter(|f| !f.is_empty());
    Ok(Operator::StreamJoin(StreamJoin { other, kind, function, window }))
}

fn fold(words: &Words<'_>, fold: Fold) -> Result<Operator, String> {
    let at = |name: &str| words.option(name).map(time).transpose();
    let grace_ms = at("grace")?.unwrap_or(0);
    let (size, step, gap) = (at("window")?, at("step")?, at("session")?);
    let (advance, sliding) = (at("advance")?, at("sliding")?);
    let panes = words.has("panes");
    let form = match (size, step, gap) {
        _ if sliding.is_some() => sliding.map(|difference_ms| WindowForm::Sliding { difference_ms }),
        (Some(size_ms), None, _) if panes => {
            Some(WindowForm::Panes { size_ms, advance_ms: advance.unwrap_or(size_ms) })
        }
        (None, _, gap) => gap.map(|gap_ms| WindowForm::Session { gap_ms }),
        (Some(size_ms), Some(step_ms), _) => Some(WindowForm::Cumulating { size_ms, step_ms }),
        (Some(size_ms), None, _) => Some(WindowForm::Hopping { size_ms, advance_ms: advance.unwrap_or(size_ms) }),
    };
    let starts = words.list("calendar").iter().map(|start| time(start)).collect::<Result<Vec<_>, _>>()?;
    let form = match starts.is_empty() {
        true => form,
        false => {
            let calendar = Calendar::new("of the test".into(), starts, at("then")?.unwrap_or(10));
            Some(WindowForm::Calendar(calendar.ok_or("no calendar")?))
        }
    };
    let window = form.map(|form| Window { form, grace_ms });
    let emit = if words.has("on-close") { Emit::OnClose } else { Emit::OnUpdate };
    let emit_every_update = words.has("every") || matches!(fold, Fold::Scan { .. });
    Ok(Operator::Aggregate(Aggregate {
        fold,
        window,
        emit,
        emit_every_update,
        partitions: words.number("partitions")?,
    }))
}

fn result(batch: &Batch, i: usize) -> String {
    let mut line =
        format!("key={} value={} time={}", show(batch.keys.get(i)), show(batch.values.get(i)), batch.timestamps[i]);
    for (name, value) in batch.headers.iter().flat_map(|h| h.of(i)) {
        let _ = write!(line, " {}={}", show(Some(name)), show(value));
    }
    line
}

fn repartitioned(batch: &Batch, i: usize) -> String {
    match batch.values.get(i).and_then(envelope::open) {
        Some(Opened::Record { upstream, lag, window, old, value }) => {
            let old = old.map_or(String::new(), |(time, old)| format!(" out={}@{time}", show(Some(old))));
            let window = window.map_or(String::new(), |(start, end)| format!(" window={start}..{end}"));
            let (key, time) = (show(batch.keys.get(i)), batch.timestamps[i]);
            format!("key={key} value={} time={time} upstream={upstream} lag={lag}{window}{old}", show(value))
        }
        Some(Opened::Marker(m)) => {
            let time = m.time.map_or("-".into(), |t| t.to_string());
            let (idle, at) = (if m.idle { " idle" } else { "" }, batch.timestamps[i]);
            let at = if at == m.time.unwrap_or(0) { String::new() } else { format!(" at={at}") };
            format!("marker upstream={}/{} time={time}{idle}{at}", m.upstream, m.upstream_tasks)
        }
        None => format!("not ours: {}", result(batch, i)),
    }
}
