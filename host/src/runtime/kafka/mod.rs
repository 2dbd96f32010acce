//! A running pipeline on Kafka: one member of the group, workers with a committer each, states on this host.
//!
//! ```text
//!  coordinator (member.rs) ── open, give ──▶ worker (worker.rs) ── intervals ──▶ committer (committer.rs)
//!     │  group events, offsets                 │ reads, steps                      │ transactions, then states
//!     └── restorer (restore.rs): changelogs    └── engine                          └── directory.rs
//! ```
//!
//! `layout` says which partition is whose, `topics` what must be at the brokers, `metadata` what stands beside the offsets, `way` what differs
//! with the guarantee (`transactions`, or `plain` with `repair`), `heir`
//! ends what dead hosts left open, `ledger` is where versions of functions are agreed on, `growth` looks at partition counts, `ends` at where logs end, `owners` at who has which task, `quiet` at the ends of silent partitions, `watchdog` at the workers; `reset` starts a pipeline over.

pub mod changelog;
pub mod committer;
pub mod directory;
pub mod ends;
pub mod growth;
pub mod heir;
pub mod layout;
pub mod ledger;
pub mod member;
pub mod metadata;
pub mod owners;
pub mod past;
mod plain;
pub mod purge;
mod quiet;
pub mod repair;
pub mod reset;
pub mod restore;
pub mod starts;
pub mod topics;
pub mod transactions;
pub mod watchdog;
pub mod way;
pub mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use millstream_core::globals::{Globals, NoGlobals};
use millstream_core::operator::Active;
use millstream_core::record::Batch;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::Settings;
use millstream_kafka::admin::Admin;
use millstream_kafka::config::Properties;
use millstream_kafka::consumer::{self, Leave, Member};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::Producer;
use millstream_kafka::producer::plain::PlainProducer;
use millstream_kafka::replay::{Replay, Stretch};
use millstream_wasm::{Registry, WORKER_STACK_BYTES, WorkerFunctions};
use tracing::{error, info};

use super::fleet::{self, Fleet, Wanted};
use super::formats;
use super::globals::{self, Rows};
use super::pause::{Mark, Pause};
use super::plan::{Guarantee, Pipeline};
use super::probation::{Past, Tap};
use super::replay::Ground;
use super::status::Status;
use committer::{Committer, Job};
use directory::{Directory, lock};
use ends::Ends;
use growth::Growth;
use heir::Heir;
use layout::Layout;
use member::{Coordinator, Request};
use owners::Owners;
use plain::Plain;
use purge::Purge;
use quiet::Quiet;
use restore::Restorer;
use starts::Starts;
use transactions::Transactions;
use watchdog::Watchdog;
use way::Way;
use worker::{Command, Loop};

/// How long one request to the brokers may take.
const ADMIN_WAIT: Duration = Duration::from_secs(10);

/// How long a start waits for brokers that do not answer.
const START_TRIES: u32 = 6;

/// Bytes of fetched records that wait inside of the client, for all workers together.
const FETCH_BYTES_MAX: usize = 64 << 20;

/// Bytes of results of one worker that wait to be sent.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A running pipeline.
pub struct KafkaHost {
    /// What runs.
    pub pipeline: Pipeline,
    /// Its plan.
    pub topology: Arc<Topology>,
    /// How it stands.
    pub status: Arc<Status>,
    /// Its prepared functions.
    pub registry: Arc<Registry>,
    /// What topics hold.
    formats: formats::Shared,
    /// Global tables, where the pipeline has any.
    globals: Option<globals::kafka::Follower>,
    /// The tasks' databases.
    pub directory: Arc<Directory>,
    /// The brokers, for questions.
    pub admin: Arc<Admin>,
    /// How clients of its own reach them.
    properties: Properties,
    /// Which versions of its functions run.
    pub fleet: Arc<Fleet>,
    /// Whether it takes records.
    pub pause: Arc<Pause>,
    /// Where logs end.
    pub ends: Ends,
    /// Who has the tasks that this host has not.
    pub owners: Owners,
    /// Where others reach this host.
    address: Option<String>,
    watchdog: Mutex<Option<Watchdog>>,
    requests: Sender<Request>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    ending: Arc<AtomicBool>,
    failed: Arc<Mutex<Option<String>>>,
}

/// Fetched records that may wait in the client while one is looked for, bytes.
const RECORD_QUEUE_BYTES: usize = 1 << 20;

/// How long one look for it waits.
const LOOK_WAIT: Duration = Duration::from_millis(200);

/// What a host is started with.
pub struct Start {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Properties of the client.
    pub properties: BTreeMap<String, String>,
    /// Its state directory.
    pub directory: Directory,
    /// Its functions.
    pub registry: Arc<Registry>,
    /// Number of workers.
    pub workers: usize,
    /// The host keeps its place in the group over a restart.
    pub is_static: bool,
    /// Where others reach its HTTP API, as `http://host:port`; `None`: nowhere.
    pub address: Option<String>,
}

impl KafkaHost {
    /// Starts a pipeline. `wanted`: whether to go on with what takes long, the reading of global tables.
    ///
    /// # Errors
    /// What is wrong, in words for the user: properties, topics, functions, permissions.
    pub fn start(start: Start, wanted: &dyn Fn() -> bool) -> anyhow::Result<Arc<Self>> {
        let Start { pipeline, mut properties, directory, registry, workers, is_static, address } = start;
        properties.entry("client.id".into()).or_insert_with(|| heir::client_id(directory.host_id()));
        let properties = Properties::new(properties).map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            anyhow!("under `kafka:` of the manifest: {}", all.join("\n  "))
        })?;
        let admin = Arc::new(Admin::new(&properties, ADMIN_WAIT)?);
        let formats = formats::open(&pipeline.formats)?;
        let topics::Prepared { topology, changelogs } = patiently(|| topics::prepare(&pipeline, &admin))?;
        let directory = Arc::new(directory);
        end_dangling(&properties, &pipeline, &directory, workers)?;
        let pause = Pause::open(Mark::file(directory.path()))?;
        let ends = Ends::new(&properties)?;
        let parts = globals::kafka::Parts {
            topology: topology.clone(),
            spec: pipeline.spec.clone(),
            formats: formats.clone(),
            properties: properties.clone(),
            folder: directory.path().join("globals"),
        };
        let globals = globals::kafka::Follower::start(parts, &admin, wanted)?;
        let owners = Owners::new(owners::Parts {
            admin: admin.clone(),
            topology: topology.clone(),
            host: directory.host_id().to_string(),
            address: address.clone(),
        });
        let status: Arc<Status> = Arc::default();
        let sweeps = fleet::Sweeps { status: status.clone(), topology: topology.clone() };
        let fleet = start_fleet(&pipeline, sweeps, (&properties, &admin), &directory, &registry, wanted)?;
        let (requests, asked) = channel();
        let host = Arc::new(Self {
            pipeline,
            topology,
            status,
            registry,
            formats,
            globals,
            directory,
            admin,
            properties: properties.clone(),
            fleet,
            pause,
            ends,
            owners,
            address,
            watchdog: Mutex::default(),
            requests,
            threads: Mutex::default(),
            ending: Arc::default(),
            failed: Arc::default(),
        });
        let past: Arc<dyn Past> = host.clone();
        host.fleet.trials().remember(Arc::downgrade(&past));
        let restorer = Restorer::start(restore::Parts {
            topology: host.topology.clone(),
            changelogs,
            directory: host.directory.clone(),
            properties: properties.clone(),
            status: host.status.clone(),
        })?;
        host.join(&properties, workers, is_static, restorer, asked)?;
        Ok(host)
    }

    fn join(
        self: &Arc<Self>,
        properties: &Properties,
        workers: usize,
        is_static: bool,
        restorer: Restorer,
        asked: std::sync::mpsc::Receiver<Request>,
    ) -> anyhow::Result<()> {
        let layout = Arc::new(Layout::new(self.topology.clone(), workers));
        let settings = consumer::Settings {
            group: self.topology.pipeline.clone(),
            instance: is_static.then(|| self.directory.host_id().to_string()),
            topics: layout.topics().map(str::to_string).collect(),
            workers,
            fetch_bytes_max: FETCH_BYTES_MAX,
            buffer_bytes_max: worker::WAITING_BYTES_MAX,
        };
        let (member, readers) = Member::join(properties, &settings).context("join the group")?;
        *lock(&self.watchdog) = Some(Watchdog::start(member.watch())?);
        let mut told = Vec::new();
        for reader in readers {
            let (commands, to_obey) = channel();
            let waker = reader.waker();
            told.push((commands.clone(), waker.clone()));
            let active = self.fleet.enlist(Box::new(move |function, active| {
                // One that has ended needs no telling.
                let _ended = commands.send(Command::Activate { function, active });
                waker.wake();
            }));
            self.start_worker(properties, &layout, &member, reader, (to_obey, active))?;
        }
        let parts = member::Parts {
            member,
            protocol: properties.group_protocol(),
            topology: self.topology.clone(),
            guarantee: self.pipeline.guarantee,
            layout,
            workers: told.clone(),
            restorer,
            starts: Starts::new(self.admin.clone(), self.pipeline.starts.clone()),
            heir: Heir::start(heir::Parts {
                admin: self.admin.clone(),
                properties: properties.clone(),
                pipeline: self.topology.pipeline.clone(),
                host: self.directory.host_id().to_string(),
            })?,
            growth: Growth::start(self.topology.clone(), self.admin.clone(), properties)?,
            purge: Purge::start(self.topology.clone(), self.admin.clone())?,
            status: self.status.clone(),
            requests: asked,
        };
        let (failed, ending) = (self.failed.clone(), self.ending.clone());
        let thread = std::thread::Builder::new().name("coordinator".into()).spawn(move || {
            let workers = told;
            if let Err(why) = Coordinator::new(parts).run() {
                error!(error = %why, "the host cannot go on");
                *lock(&failed) = Some(why.to_string());
            }
            ending.store(true, Ordering::Relaxed);
            for (commands, waker) in workers {
                // One that has ended needs no telling.
                let _ = commands.send(Command::Stop);
                waker.wake();
            }
        })?;
        lock(&self.threads).push(thread);
        info!(workers, host = self.directory.host_id(), group = self.topology.pipeline, "joining");
        Ok(())
    }

    fn start_worker(
        self: &Arc<Self>,
        properties: &Properties,
        layout: &Arc<Layout>,
        member: &Member,
        reader: consumer::Reader,
        (commands, active): (std::sync::mpsc::Receiver<Command>, Vec<Active>),
    ) -> anyhow::Result<()> {
        let number = reader.worker();
        let ((jobs, to_do), (answers, answered)) = (channel::<Job>(), channel());
        let (admin, group) = (Arc::new(Admin::new(properties, ADMIN_WAIT)?), self.topology.pipeline.clone());
        let lookup = move |of: &[TopicPartition]| {
            Ok(admin.committed(&group, of)?.into_values().map(|committed| committed.metadata).collect())
        };
        let id = transactional_id(&self.topology.pipeline, self.directory.host_id(), number);
        let committer = Committer::new(committer::Parts {
            owner: owners::owner(&id, &session()?, self.address.as_deref()),
            way: self.way(properties, id),
            topology: self.topology.clone(),
            layout: layout.clone(),
            directory: self.directory.clone(),
            ownership: member.ownership(),
            lookup: Box::new(lookup),
            jobs: to_do,
            answers,
            waker: reader.waker(),
        });
        let parts = worker::Parts {
            topology: self.topology.clone(),
            layout: layout.clone(),
            directory: self.directory.clone(),
            status: self.status.clone(),
            functions: Box::new(Tap::new(WorkerFunctions::new(self.registry.clone()), self.fleet.trials().clone())),
            formats: self.formats.clone(),
            globals: self.globals(),
            reader,
            jobs,
            answers: answered,
            commands,
            member: self.requests.clone(),
            active,
            fleet: self.fleet.clone(),
            settings: Settings {
                commit_interval_ms: self.pipeline.commit_interval_ms,
                ends_ms_max: Some(quiet::ENDS_MS_MAX),
                ..Settings::default()
            },
            pause: self.pause.part(),
            quiet: Quiet::start(self.admin.clone())?,
        };
        let thread = std::thread::Builder::new().name(format!("commit-{number}")).spawn(move || committer.run())?;
        lock(&self.threads).push(thread);
        let name = format!("worker-{number}");
        let thread = std::thread::Builder::new().name(name).stack_size(WORKER_STACK_BYTES);
        let thread = thread.spawn(move || Loop::new(parts).run())?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    fn globals(&self) -> Arc<dyn Globals + Send + Sync> {
        match &self.globals {
            Some(follower) => follower.rows.clone(),
            None => Arc::new(NoGlobals),
        }
    }

    /// How intervals get to the brokers.
    fn way(&self, properties: &Properties, id: String) -> Box<dyn Way> {
        let (properties, queue_bytes, ending) = (properties.clone(), QUEUE_BYTES_MAX, self.ending.clone());
        match self.pipeline.guarantee {
            Guarantee::ExactlyOnce => {
                let member = self.requests.clone();
                Box::new(Transactions::new(transactions::Parts { properties, id, queue_bytes, member, ending }))
            }
            Guarantee::AtLeastOnce => {
                let changelogs = changelog::topics(&self.topology);
                Box::new(Plain::new(plain::Parts { properties, queue_bytes, changelogs, ending }))
            }
        }
    }

    /// Why the host had to end, if it had.
    pub fn failed(&self) -> Option<String> {
        lock(&self.failed).clone()
    }

    /// Why the pipeline is not doing its work, a reason each; none when it is.
    pub fn not_ready(&self) -> Vec<String> {
        if let Some(why) = self.failed() {
            return vec![why];
        }
        let stuck = lock(&self.watchdog).as_ref().map(Watchdog::stuck).unwrap_or_default();
        let stopped = self.global_rows().and_then(|rows| rows.failed());
        let late = self.fleet.not_ready();
        stopped.into_iter().chain(late).chain(stuck).chain(self.status.not_ready_of(0)).collect()
    }

    /// Rows of global tables; `None`: the pipeline has none.
    pub fn global_rows(&self) -> Option<&Rows> {
        self.globals.as_ref().map(|follower| follower.rows.as_ref())
    }

    /// What a replay looks at.
    pub fn replay_ground(&self) -> Ground<'_> {
        Ground {
            pipeline: &self.pipeline,
            topology: &self.topology,
            registry: &self.registry,
            formats: self.formats.clone(),
            globals: self.globals.as_ref().map(|follower| follower.rows.clone()),
        }
    }

    /// A producer without transactions for what is written beside the tasks.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn plain_producer(&self, queue_bytes: usize) -> anyhow::Result<PlainProducer> {
        Ok(PlainProducer::new(&self.properties, queue_bytes)?)
    }

    /// One record of a topic; `None` where there is none at the offset.
    ///
    /// # Errors
    /// Those of the brokers; that it did not come in time.
    pub fn record(&self, topic: &str, partition: u32, offset: i64, wait: Duration) -> anyhow::Result<Option<Batch>> {
        let partition = TopicPartition::new(topic, partition as i32);
        let stretch = Stretch { partition: partition.clone(), from: Some(offset) };
        let mut replay = Replay::start(&self.properties, &self.topology.pipeline, &[stretch], RECORD_QUEUE_BYTES)?;
        let until = Instant::now() + wait;
        while !replay.is_done() {
            if let Some(fetched) = replay.read(1, LOOK_WAIT)?.into_iter().find(|fetched| !fetched.batch.is_empty()) {
                let is_it = fetched.offsets.get(0) == offset;
                return Ok(is_it.then(|| fetched.batch.slice(0, 1)));
            }
            if Instant::now() > until {
                bail!("{partition} could not be read at offset {offset} within {} s", wait.as_secs());
            }
        }
        Ok(None)
    }

    /// Commits what is done, gives everything up and ends.
    pub fn stop(&self, leave: Leave) {
        *lock(&self.watchdog) = None;
        self.fleet.stop();
        // A coordinator that has ended has told the others.
        let _ = self.requests.send(Request::Stop(leave));
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
}

/// A worker's id as a producer.
fn transactional_id(pipeline: &str, host: &str, worker: usize) -> String {
    format!("{pipeline}-{host}-{worker}")
}

/// Tells this process from others before and after it.
fn session() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).context("ask the system for random bytes")?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Tries again while the brokers do not answer.
fn patiently<T>(mut ask: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut tries = 1;
    loop {
        match ask() {
            Err(why) if tries < START_TRIES && matches!(why.downcast_ref(), Some(KafkaError::Retry(_))) => {
                info!(error = format!("{why:#}"), "the brokers do not answer yet");
                tries += 1;
            }
            other => return other,
        }
    }
}

/// Ends transactions that earlier hosts of this directory left open, of workers that there are not any more: each holds up all
/// readers until its time-out.
fn end_dangling(
    properties: &Properties,
    pipeline: &Pipeline,
    directory: &Directory,
    workers: usize,
) -> anyhow::Result<()> {
    // Without transactions there are those of before at the most.
    let workers = if pipeline.guarantee == Guarantee::ExactlyOnce { workers } else { 0 };
    let ever = directory.producers_ever(workers)?;
    for number in workers..ever {
        let id = transactional_id(&pipeline.spec.pipeline, directory.host_id(), number);
        let mut producer = Producer::new(properties, &id, 1 << 20)?;
        patiently(|| Ok(producer.init(ADMIN_WAIT)?))
            .with_context(|| format!("take over the transactional id `{id}`"))?;
    }
    Ok(())
}

/// The versions of a pipeline's functions, as the control log at the brokers says.
fn start_fleet(
    pipeline: &Pipeline,
    sweeps: fleet::Sweeps,
    (properties, admin): (&Properties, &Arc<Admin>),
    directory: &Directory,
    registry: &Arc<Registry>,
    wanted: &dyn Fn() -> bool,
) -> anyhow::Result<Arc<Fleet>> {
    let name = &pipeline.spec.pipeline;
    let (ledger, follow) = ledger::open(properties, name, admin.clone(), directory.path().join("modules"))?;
    let functions = Wanted::all(pipeline);
    if functions.len() != pipeline.spec.functions.len() {
        bail!("the manifest's functions and its graph's are not the same");
    }
    let parts = fleet::Parts {
        host: directory.host_id().to_string(),
        functions,
        registry: registry.clone(),
        ledger: Arc::new(ledger),
        follow: Box::new(follow),
        topics: fleet::topics(&sweeps.topology),
        trust: pipeline.trust.clone(),
        keep_ms: pipeline.keep_components_ms,
        sweeps,
    };
    Fleet::start(parts, wanted)
}
