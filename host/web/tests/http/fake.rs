//! A host that is made up: topics in memory, functions that are texts. It keeps the promises of the port and can be told to
//! break, so that both sides of the API can be tested without a pipeline.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, RwLock};
use std::time::Duration;

use millstream_web::api::inside::{AskedLogs, AskedProfile, AskedReplay, Inside};
use millstream_web::api::{Append, Deploy, Followed, NewRecord, Place, Question, Record, Sink, Totals, Trying, What};
use millstream_web::types::inside::{Call, Item, LogLine, Logs, Profile, RecordAt, Records, Replayed, Speaker, Stack};
use millstream_web::types::trials::Probation;
use millstream_web::types::{
    Appended, AppendedTo, AsOf, At, Bytes as Told, Deployed, Function, History, NotRead, Other, Partition, Past,
    Pipeline, Position, Progress, Rejected, Row, Rows, Standing, Store, StoredValue, Sweep, Switch, Task, TaskState,
    Together, Topic, Version, Work,
};
use millstream_web::{Api, Kind, Problem};

/// Bytes of key and value that this host takes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

type Bytes = Option<Vec<u8>>;

/// A record that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub key: Bytes,
    pub value: Bytes,
    pub timestamp: i64,
    pub headers: Vec<(Vec<u8>, Bytes)>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Vec<Kept>>>,
    history: Vec<Past>,
    rejected: Vec<Rejected>,
    producers: BTreeMap<String, (u64, u64)>,
    generation: u64,
    keyless: u32,
}

/// The host.
pub struct Fake {
    state: Mutex<State>,
    written: Condvar,
    /// Who holds it for writing makes `tasks` and deploys wait.
    pub gate: RwLock<()>,
    /// How many have come to it.
    pub at_gate: AtomicUsize,
    /// Why it is not ready.
    pub reasons: Mutex<Vec<String>>,
    /// Problems that the next calls of `append` answer with; `true`: after it has written.
    pub append_fails: Mutex<Vec<(bool, Problem)>>,
    /// Offsets below it are gone.
    pub start: Mutex<i64>,
    /// Whether it was paused.
    pub standing: Mutex<Standing>,
    /// What it was asked of its stores.
    pub questions: Mutex<Vec<Question>>,
    /// How the last deploy wanted to be tried.
    pub trying: Mutex<Trying>,
    /// How many records from before it is given first.
    pub replay: Mutex<u64>,
}

impl Default for Fake {
    fn default() -> Self {
        let topics = [("in", 2), ("out", 1), ("pipe-counts-repartition", 2)];
        let topics = topics.map(|(name, partitions)| (name.to_string(), vec![Vec::new(); partitions])).into();
        let fake = Self {
            state: Mutex::new(State { topics, ..State::default() }),
            written: Condvar::new(),
            gate: RwLock::default(),
            at_gate: AtomicUsize::default(),
            reasons: Mutex::default(),
            append_fails: Mutex::default(),
            start: Mutex::default(),
            standing: Mutex::default(),
            questions: Mutex::default(),
            trying: Mutex::default(),
            replay: Mutex::default(),
        };
        fake.activate(version("first.wasm", "{}"), [("in", 0)]);
        fake
    }
}

fn version(origin: &str, settings: &str) -> Version {
    let settings = serde_json::from_str(settings).unwrap();
    Version {
        number: 0,
        epoch: 0,
        digest: format!("{:064x}", origin.len()),
        origin: origin.into(),
        proposed_at: 5,
        settings,
    }
}

fn unknown(what: &str, kind: Kind) -> Problem {
    Problem::new(kind, format!("there is no `{what}`"))
}

impl Fake {
    fn activate(&self, mut version: Version, offsets: [(&str, i64); 1]) -> Version {
        let mut state = self.state.lock().unwrap();
        version.number = state.history.len() as u64 + 1;
        version.epoch = 10 * version.number;
        let offsets: BTreeMap<String, i64> = offsets.iter().map(|(t, o)| (t.to_string(), *o)).collect();
        let switches =
            (0..2).map(|partition| Switch { sub_topology: 0, partition, offsets: offsets.clone() }).collect();
        state.history.push(Past { version: version.clone(), failed: None, back_from: None, collected: None, switches });
        version
    }

    fn pass(&self) -> impl Drop + '_ {
        self.at_gate.fetch_add(1, Ordering::SeqCst);
        self.gate.read().unwrap()
    }

    /// Everything in a partition.
    pub fn records(&self, topic: &str, partition: usize) -> Vec<Kept> {
        self.state.lock().unwrap().topics[topic][partition].clone()
    }

    fn write(state: &mut State, append: &Append<'_>) -> Result<Appended, Problem> {
        let count =
            state.topics.get(append.topic).ok_or_else(|| unknown(append.topic, Kind::UnknownTopic))?.len() as u32;
        let keyless = state.keyless % count;
        let mut places = Vec::new();
        for record in &append.records {
            let by_key = |key: &[u8]| key.iter().map(|b| u32::from(*b)).sum::<u32>() % count;
            let place = record.partition.unwrap_or_else(|| record.key.as_deref().map_or(keyless, by_key));
            if place >= count {
                let detail = format!("line {}: there are {count} partitions, none is {place}", record.line);
                return Err(Problem::new(Kind::UnknownPartition, detail).at_line(record.line));
            }
            let bytes = record.key.as_deref().map_or(0, <[u8]>::len) + record.value.as_deref().map_or(0, <[u8]>::len);
            if bytes > RECORD_BYTES_MAX {
                let detail = format!("line {}: {bytes} bytes, at most {RECORD_BYTES_MAX}", record.line);
                return Err(Problem::new(Kind::RecordTooLarge, detail).at_line(record.line));
            }
            places.push(place);
        }
        state.keyless += u32::from(append.records.iter().any(|r| r.key.is_none() && r.partition.is_none()));
        let mut partitions: BTreeMap<u32, AppendedTo> = BTreeMap::new();
        for (record, partition) in append.records.iter().zip(places) {
            let log = &mut state.topics.get_mut(append.topic).unwrap()[partition as usize];
            let first = log.len() as i64;
            partitions.entry(partition).or_insert(AppendedTo { partition, first, records: 0 }).records += 1;
            log.push(kept(record));
        }
        state.generation += 1;
        let partitions = partitions.into_values().collect();
        Ok(Appended { topic: append.topic.into(), records: append.records.len() as u64, partitions, repeated: false })
    }
}

fn kept(record: &NewRecord<'_>) -> Kept {
    let owned = |bytes: &Option<std::borrow::Cow<'_, [u8]>>| bytes.as_deref().map(<[u8]>::to_vec);
    Kept {
        key: owned(&record.key),
        value: owned(&record.value),
        timestamp: record.timestamp.unwrap_or(1_000),
        headers: record.headers.iter().map(|(name, value)| (name.to_vec(), owned(value))).collect(),
    }
}

impl Fake {
    fn deploy_one(&self, deploy: Deploy<'_>) -> Result<Deployed, Problem> {
        let history = self.history(deploy.function)?;
        let settings = deploy.settings.unwrap_or(r#"{"kept":true}"#);
        let version = version(deploy.origin, settings);
        if deploy.component.starts_with(b"bad") {
            let Version { digest, origin, proposed_at, .. } = version;
            let rejected = Rejected { digest, origin, proposed_at, reason: "it is bad".into() };
            self.state.lock().unwrap().rejected.push(rejected);
            let reasons = vec!["it imports `a`".into(), "it exports nothing".into()];
            return Err(Problem::new(Kind::ComponentRefused, "function `f` was refused").because(reasons));
        }
        let version = self.activate(version, [("in", 10 * history.versions.len() as i64)]);
        let inspection = serde_json::json!({ "bytes": deploy.component.len() });
        let held = deploy.probation == Trying::Hold;
        *self.trying.lock().unwrap() = deploy.probation;
        *self.replay.lock().unwrap() = deploy.replay;
        let (previous, version) = (Some(version.number - 1), (!held).then_some(version));
        Ok(Deployed { function: "f".into(), previous, version, inspection, trials: Vec::new() })
    }
}

impl Api for Fake {
    fn pipeline(&self) -> Pipeline {
        Pipeline {
            name: "pipe".into(),
            state: *self.standing.lock().unwrap(),
            host_version: "0.1.0".into(),
            mode: "local".into(),
            started_at: 1,
            commit_interval_ms: 100,
            tasks: 2,
            functions: vec!["f".into()],
            topics: vec!["in".into(), "out".into()],
        }
    }

    fn pause(&self) -> Result<Pipeline, Problem> {
        *self.standing.lock().unwrap() = Standing::Paused;
        Ok(self.pipeline())
    }

    fn resume(&self) -> Result<Pipeline, Problem> {
        *self.standing.lock().unwrap() = Standing::Running;
        Ok(self.pipeline())
    }

    fn not_ready(&self) -> Vec<String> {
        self.reasons.lock().unwrap().clone()
    }

    fn tasks(&self) -> Result<Vec<Task>, Problem> {
        let _open = self.pass();
        let state = self.state.lock().unwrap();
        let task = |partition: u32| {
            let end = state.topics["in"][partition as usize].len() as i64;
            Task {
                sub_topology: 0,
                partition,
                worker: partition,
                state: if partition == 0 { TaskState::Running } else { TaskState::Restoring },
                reason: None,
                restored: (partition == 1).then_some(Progress { done: 30, of: 120 }),
                positions: vec![Position { topic: "in".into(), offset: end / 2, end }],
                records: end as u64 / 2,
                results: 0,
                dead_letters: 1,
                stream_time: Some(1_619_879_400_000),
                state_bytes: 64,
                sweeps: vec![Sweep { step: "s".into(), layout: 2, looked: 9, migrated: 3, done: false }],
            }
        };
        Ok((0..2).map(task).collect())
    }

    fn functions(&self) -> Result<Vec<Function>, Problem> {
        let version = self.state.lock().unwrap().history.last().map(|p| p.version.clone());
        let faults = [("trap".to_string(), 2)].into();
        let work = Work {
            calls: 3,
            records: 30,
            seconds: 0.5,
            cpu_seconds: 0.25,
            rejected: 4,
            dropped: [("poisoned".to_string(), 7)].into(),
            log_lines: 5,
            log_lines_dropped: 6,
            faults,
            memory_bytes: 65_536,
        };
        let others = vec![Other { version: None, standing: "on-trial".into(), work: Work::default() }];
        Ok(vec![Function {
            name: "f".into(),
            version,
            deploying: false,
            work: Some(work),
            others,
            layouts: vec![0, 2],
        }])
    }

    fn history(&self, function: &str) -> Result<History, Problem> {
        if function != "f" {
            return Err(unknown(function, Kind::UnknownFunction));
        }
        let state = self.state.lock().unwrap();
        Ok(History { function: "f".into(), versions: state.history.clone(), rejected: state.rejected.clone() })
    }

    fn component(&self, function: &str, version: Option<u64>) -> Result<Vec<u8>, Problem> {
        let last = self.history(function)?.versions.len() as u64;
        match version.unwrap_or(last) {
            number if (1..=last).contains(&number) => Ok(format!("component {number}").into_bytes()),
            other => Err(Problem::new(Kind::UnknownVersion, format!("`f` has no version {other}"))),
        }
    }

    fn deploy(&self, deploys: &[Deploy<'_>]) -> Result<Together, Problem> {
        let _open = self.pass();
        let functions = deploys.iter().map(|deploy| self.deploy_one(*deploy)).collect::<Result<_, _>>()?;
        let notes = if deploys.len() > 1 { vec!["they run apart".into()] } else { Vec::new() };
        Ok(Together { functions, notes })
    }

    fn probation(&self, function: &str) -> Result<Probation, Problem> {
        self.history(function)?;
        let held = *self.trying.lock().unwrap() == Trying::Hold;
        let (digest, origin) = ("d".to_string(), "o".to_string());
        Ok(Probation { function: "f".into(), digest, origin, open: held, held, hosts: [].into() })
    }

    fn promote(&self, function: &str) -> Result<Deployed, Problem> {
        self.abandon(function)?;
        let version = self.history(function)?.versions.last().map(|past| past.version.clone());
        let inspection = serde_json::Value::Null;
        Ok(Deployed { function: "f".into(), previous: None, version, inspection, trials: Vec::new() })
    }

    fn abandon(&self, function: &str) -> Result<(), Problem> {
        self.history(function)?;
        match std::mem::take(&mut *self.trying.lock().unwrap()) {
            Trying::Hold => Ok(()),
            _ => Err(Problem::new(Kind::NotOnTrial, "no version of `f` is held")),
        }
    }

    fn rollback(&self, function: &str, to: Option<u64>) -> Result<Deployed, Problem> {
        let history = self.history(function)?;
        let last = history.versions.len() as u64;
        let to = to.unwrap_or(last - 1);
        let target = history.versions.iter().find(|p| p.version.number == to);
        let target = target.ok_or_else(|| Problem::new(Kind::UnknownVersion, format!("`f` has no version {to}")))?;
        let origin = format!("rollback to version {to}");
        let settings = target.version.settings.to_string();
        let probation = Trying::Not;
        self.deploy_one(Deploy {
            function,
            component: b"x",
            settings: Some(&settings),
            origin: &origin,
            signature: "",
            probation,
            replay: 0,
        })
    }

    fn stores(&self) -> Vec<Store> {
        let store = |name: &str, answers: &[&str], reason: Option<&str>| Store {
            name: name.into(),
            step: name.into(),
            sub_topology: 0,
            partitions: 2,
            kind: "aggregates".into(),
            values: "counts".into(),
            windowed: false,
            answers: answers.iter().map(|a| a.to_string()).collect(),
            results: false,
            reason: reason.map(str::to_string),
        };
        vec![store("counts", &["key", "keys", "windows"], None), store("timers", &[], Some("they are no rows"))]
    }

    /// Has the key `a` in partition 0, and `elsewhere` at another host.
    fn rows(&self, question: &Question) -> Result<Rows, Problem> {
        let _passed = self.pass();
        self.questions.lock().unwrap().push(question.clone());
        match &question.what {
            _ if question.store != "counts" => return Err(unknown(&question.store, Kind::UnknownStore)),
            What::Key { key, .. } if key == b"elsewhere" => {
                let problem = Problem::new(Kind::Elsewhere, "partition 1 is at http://127.0.0.2:7071");
                return Err(problem.of_partition(1).ask("http://127.0.0.2:7071/".into()));
            }
            What::Key { key, .. } if key == b"restoring" => {
                return Err(Problem::new(Kind::Restoring, "1 of 5 offsets").of_partition(1));
            }
            _ => {}
        }
        let row = |key: &[u8], value, window| {
            let (key, timestamp) = (Told(key.to_vec()), Some(7));
            Row { partition: 0, key, window, value, timestamp }
        };
        let window = millstream_web::record::Window { start: 0, end: Some(10) };
        Ok(Rows {
            store: question.store.clone(),
            as_of: vec![AsOf {
                partition: 0,
                positions: vec![At { topic: "in".into(), offset: 5 }],
                stream_time: Some(7),
            }],
            rows: vec![
                row(b"a", StoredValue::Count(3), None),
                row(&[0xff], StoredValue::Bytes(Told(vec![0xfe])), Some(window)),
            ],
            next: Some(millstream_web::place_text(&Place { partition: 0, at: b"b".to_vec() })),
            not_read: vec![NotRead {
                partition: 1,
                host: Some("http://127.0.0.2:7071".into()),
                reason: "another host has it".into(),
            }],
        })
    }

    fn topics(&self) -> Result<Vec<Topic>, Problem> {
        let names: Vec<String> = self.state.lock().unwrap().topics.keys().cloned().collect();
        names.iter().map(|name| self.topic(name)).collect()
    }

    fn topic(&self, topic: &str) -> Result<Topic, Problem> {
        let state = self.state.lock().unwrap();
        let logs = state.topics.get(topic).ok_or_else(|| unknown(topic, Kind::UnknownTopic))?;
        let start = *self.start.lock().unwrap();
        let partition = |(i, log): (usize, &Vec<Kept>)| {
            let end = log.len() as i64;
            Partition { partition: i as u32, start: start.min(end), end, bytes: 10 * end as u64 }
        };
        Ok(Topic {
            name: topic.into(),
            internal: topic.starts_with("pipe-"),
            retention_ms: Some(86_400_000),
            retention_bytes: None,
            partitions: logs.iter().enumerate().map(partition).collect(),
        })
    }

    fn append(&self, append: Append<'_>) -> Result<Appended, Problem> {
        if append.topic.starts_with("pipe-") {
            return Err(Problem::new(Kind::InternalTopic, format!("`{}` belongs to the pipeline", append.topic)));
        }
        let fails = self.append_fails.lock().unwrap().pop();
        if let Some((false, problem)) = fails {
            return Err(problem);
        }
        let mut state = self.state.lock().unwrap();
        if let Some(mark) = append.mark {
            let last = state.producers.get(mark.producer);
            let sequence = last.map_or(0, |(sequence, _)| *sequence);
            if let Some((_, records)) = last.filter(|(last, _)| *last == mark.sequence) {
                let topic = append.topic.to_string();
                return Ok(Appended { topic, records: *records, partitions: Vec::new(), repeated: true });
            }
            if mark.sequence != sequence + 1 {
                let detail = format!("request {} follows {sequence}", mark.sequence);
                return Err(Problem::new(Kind::OutOfStep, detail));
            }
        }
        let answer = Self::write(&mut state, &append)?;
        if let Some(mark) = append.mark {
            state.producers.insert(mark.producer.into(), (mark.sequence, answer.records));
        }
        self.written.notify_all();
        match fails {
            Some((true, problem)) => Err(problem),
            _ => Ok(answer),
        }
    }

    fn read(&self, topic: &str, partition: u32, from: i64, sink: Sink<'_>) -> Result<i64, Problem> {
        let shape = self.topic(topic)?.partitions[partition as usize];
        if from < shape.start || from > shape.end {
            let detail = format!("offset {from} is not in {} to {}", shape.start, shape.end);
            return Err(Problem::new(Kind::OffsetOutOfRange, detail).between(shape.start, shape.end));
        }
        let mut next = from;
        for kept in self.records(topic, partition as usize).iter().skip(from as usize) {
            let headers: Vec<_> = kept.headers.iter().map(|(n, v)| (n.as_slice(), v.as_deref())).collect();
            let (key, value) = (kept.key.as_deref(), kept.value.as_deref());
            let more = sink(Record { offset: next, key, value, timestamp: kept.timestamp, headers: &headers });
            next += 1;
            if !more {
                break;
            }
        }
        Ok(next)
    }

    fn generation(&self) -> u64 {
        self.state.lock().unwrap().generation
    }

    fn wait(&self, generation: u64, longest: Duration) {
        let state = self.state.lock().unwrap();
        drop(self.written.wait_timeout_while(state, longest, |state| state.generation == generation).unwrap());
    }

    fn totals(&self) -> Totals {
        let dropped = vec![("counts".to_string(), "late".to_string(), 4)];
        Totals {
            uptime_seconds: 12.5,
            commits: 7,
            commit_seconds: 0.25,
            outcomes: vec![("committed", 7), ("aborted", 2)],
            rebalances: vec![("assigned", 3)],
            restored_records: 40,
            restored_bytes: 4_000,
            waiting_bytes: 512,
            memory_bytes: vec![("state-caches", 1_024)],
            ends_age_seconds: Some(1.5),
            lost_records: 9,
            dropped,
            followed: vec![Followed { table: "rates".into(), topic: "fx".into(), partition: 1, offset: 5, end: 8 }],
        }
    }
}

impl Inside for Fake {
    fn logs(&self, asked: &AskedLogs) -> Result<Logs, Problem> {
        if asked.function.as_deref().is_some_and(|function| function != "f") {
            return Err(unknown(asked.function.as_deref().unwrap_or_default(), Kind::UnknownFunction));
        }
        let at = |offset| RecordAt { topic: "in".into(), offset };
        // What was asked, so that tests see how it came.
        let line = LogLine {
            sequence: asked.after.map_or(1, |after| after + 1),
            time: 5,
            by: vec![Speaker { function: "f".into(), version: asked.version }],
            component: "d".into(),
            level: asked.level.clone().unwrap_or("info".into()),
            message: format!("{} at the most", asked.limit),
            dropped: 2,
            records: Some(Records { sub_topology: 0, partition: 1, first: at(3), last: at(7) }),
        };
        Ok(Logs { next: line.sequence, lines: vec![line], lost: 0 })
    }

    fn profile(&self, asked: &AskedProfile) -> Result<Profile, Problem> {
        if asked.function != "f" {
            return Err(unknown(&asked.function, Kind::UnknownFunction));
        }
        let stacks = vec![Stack { frames: vec!["keep".into(), "parse".into()], samples: 3 }];
        let (function, version, seconds) = (asked.function.clone(), asked.version, f64::from(asked.seconds));
        Ok(Profile { function, version, component: "d".into(), seconds, sample_ms: 5, samples: 4, untold: 1, stacks })
    }

    fn replay(&self, asked: &AskedReplay) -> Result<Replayed, Problem> {
        if asked.function != "f" {
            return Err(unknown(&asked.function, Kind::UnknownFunction));
        }
        let item = |what: &str| Item { what: what.into(), value: Some(Told(b"v".to_vec())), ..Item::default() };
        let call = Call {
            name: "filter.keep".into(),
            given: vec![item("record")],
            answer: vec![item("kept")],
            ..Call::default()
        };
        Ok(Replayed {
            function: "f".into(),
            version: asked.version,
            component: asked.component.as_ref().map_or("d".into(), |component| format!("{} bytes", component.len())),
            record: item("record"),
            at: Some(RecordAt { topic: asked.topic.clone(), offset: asked.offset }),
            partition: asked.partition,
            calls: vec![call],
            core_dump: asked.core_dump.then(|| Told(b"dump".to_vec())),
            ..Replayed::default()
        })
    }
}
