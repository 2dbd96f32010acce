//! The running host in embedded mode: storage, functions, workers, and what can be asked of them.
//!
//! `plan` says what is needed of a manifest, `storage` is what lasts, `fleet` says which versions of functions run, `worker` is the
//! loop, `status` what others see. The order in which a host starts is [`Host::start`].

pub mod driver;
pub mod fleet;
pub mod folder;
pub mod formats;
pub mod functions;
pub mod globals;
pub mod heap;
pub mod kafka;
pub mod lines;
pub mod memory;
mod past;
pub mod pause;
pub mod plan;
pub mod probation;
pub mod query;
pub mod replay;
pub mod reset;
pub mod status;
pub mod storage;
pub mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use millstream_core::state::keyspace::Keyspaces;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::Settings;
use millstream_local::Log;
use millstream_wasm::{Registry, WORKER_STACK_BYTES, WorkerFunctions};
use tracing::{info, warn};

use fleet::local::{HOST, LocalLedger};
use fleet::{Fleet, Wanted};
use pause::{Mark, Pause};
use plan::{Pipeline, Start};
use probation::{Past, Tap};
use status::Status;
use storage::Storage;
use worker::{Command, Loop, Parts, Starts, wall_ms};

/// How often retention is enforced.
const RETENTION_EVERY: Duration = Duration::from_secs(10);

/// A running pipeline.
pub struct Host {
    /// What runs.
    pub pipeline: Pipeline,
    /// Its plan.
    pub topology: Arc<Topology>,
    /// What lasts.
    pub storage: Arc<Storage>,
    /// How it stands.
    pub status: Arc<Status>,
    /// Its prepared functions.
    pub registry: Arc<Registry>,
    /// Which versions of them run.
    pub fleet: Arc<Fleet>,
    /// What topics hold.
    formats: formats::Shared,
    /// Rows of its global tables.
    pub globals: Arc<globals::Rows>,
    /// Whether it takes records.
    pub pause: Arc<Pause>,
    workers: Mutex<Vec<Sender<Command>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    dead: Arc<AtomicBool>,
}

impl Host {
    /// Starts a pipeline on a database.
    ///
    /// # Errors
    /// What is wrong, in words for the user: topics, functions, storage.
    pub fn start(
        pipeline: Pipeline,
        db: Arc<dyn Keyspaces>,
        registry: Arc<Registry>,
        workers: usize,
    ) -> anyhow::Result<Arc<Self>> {
        reset::refuse_half_done(db.as_ref())?;
        let log = Arc::new(Log::open(db.clone()).context("open the topics")?);
        let topology = plan::prepare(&pipeline, &log)?;
        let formats = formats::open(&pipeline.formats)?;
        let storage = Arc::new(Storage::open(db.clone(), log, &topology, pipeline.durability)?);
        let pause = Pause::open(Mark::key(db.clone())?)?;
        let globals = Arc::new(globals::Rows::open(db.clone(), &topology, &pipeline.spec, formats.clone())?);
        globals::local::catch_up(&globals, &storage.log)?;
        let status: Arc<Status> = Arc::default();
        let sweeps = fleet::Sweeps { status: status.clone(), topology: topology.clone() };
        let fleet = start_fleet(&pipeline, sweeps, db, &registry)?;
        let host = Arc::new(Self {
            pipeline,
            topology,
            storage,
            status,
            registry,
            fleet,
            formats,
            globals,
            pause,
            workers: Mutex::default(),
            threads: Mutex::default(),
            dead: Arc::default(),
        });
        let past: Arc<dyn Past> = host.clone();
        host.fleet.trials().remember(Arc::downgrade(&past));
        host.start_workers(workers)?;
        if !host.globals.is_empty() {
            let (rows, log) = (host.globals.clone(), host.storage.log.clone());
            lock(&host.threads).push(globals::local::follow(rows, log, host.dead.clone())?);
        }
        host.start_retention()?;
        Ok(host)
    }

    fn start_workers(self: &Arc<Self>, workers: usize) -> anyhow::Result<()> {
        let tasks = self.tasks();
        let first_interval = self.storage.last_interval(&self.topology)? + 1;
        let workers = workers.clamp(1, tasks.len().max(1));
        for number in 0..workers {
            let (sender, commands) = std::sync::mpsc::channel();
            let door = sender.clone();
            let active = self.fleet.enlist(Box::new(move |function, active| {
                // A worker that has ended needs no telling.
                let _ended = door.send(Command::Activate { function, active });
            }));
            let starts = self.clone_starts();
            let parts = Parts {
                topology: self.topology.clone(),
                storage: self.storage.clone(),
                status: self.status.clone(),
                functions: Box::new(Tap::new(WorkerFunctions::new(self.registry.clone()), self.fleet.trials().clone())),
                formats: self.formats.clone(),
                globals: self.globals.clone(),
                commands,
                active,
                fleet: self.fleet.clone(),
                number,
                tasks: tasks.iter().copied().skip(number).step_by(workers).collect(),
                settings: Settings { commit_interval_ms: self.pipeline.commit_interval_ms, ..Settings::default() },
                first_interval,
                starts,
                pause: self.pause.part(),
            };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{number}"))
                .stack_size(WORKER_STACK_BYTES)
                .spawn(move || Loop::new(parts).run())?;
            lock(&self.workers).push(sender);
            lock(&self.threads).push(thread);
        }
        info!(workers, tasks = tasks.len(), "started");
        Ok(())
    }

    /// All tasks of the plan.
    pub fn tasks(&self) -> Vec<TaskId> {
        let subs = self.topology.subs.iter().enumerate();
        subs.flat_map(|(sub, plan)| (0..plan.tasks).map(move |partition| TaskId { sub, partition })).collect()
    }

    /// Where a task that never ran begins.
    fn clone_starts(self: &Arc<Self>) -> Starts {
        let (topology, log) = (self.topology.clone(), self.storage.log.clone());
        let starts = self.pipeline.starts.clone();
        Arc::new(move |task| {
            let inputs = &topology.subs[task.sub].inputs;
            let offset = |topic: &str| {
                let start = starts.iter().find(|(t, _)| t == topic).map(|(_, s)| *s).unwrap_or_default();
                let end = || log.end_offset(topic, task.partition).unwrap_or(0);
                match start {
                    Start::Earliest => Ok(log.start_offset(topic, task.partition).unwrap_or(0)),
                    Start::Latest => Ok(end()),
                    // None is as late: it begins with what comes next.
                    Start::At(time) => {
                        log.offset_for_time(topic, task.partition, time).map(|found| found.unwrap_or_else(end))
                    }
                }
            };
            let offsets = inputs.iter().map(|i| offset(&topology.topics[i.topic].name));
            offsets.collect::<Result<_, _>>().context("find where the sources begin")
        })
    }

    fn start_retention(self: &Arc<Self>) -> anyhow::Result<()> {
        let (log, dead) = (self.storage.log.clone(), self.dead.clone());
        let thread = std::thread::Builder::new().name("retention".into()).spawn(move || {
            let mut generation = 0;
            while !dead.load(Ordering::Relaxed) {
                if let Err(why) = log.enforce_retention(wall_ms()) {
                    warn!(error = %why, "retention failed, trying again");
                }
                let until = std::time::Instant::now() + RETENTION_EVERY;
                while std::time::Instant::now() < until && !dead.load(Ordering::Relaxed) {
                    generation = log.wait(generation, Duration::from_millis(200));
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        })?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// What a replay looks at.
    pub fn replay_ground(&self) -> replay::Ground<'_> {
        replay::Ground {
            pipeline: &self.pipeline,
            topology: &self.topology,
            registry: &self.registry,
            formats: self.formats.clone(),
            globals: Some(self.globals.clone()),
        }
    }

    fn tell(&self, command: &Command) {
        for worker in lock(&self.workers).iter() {
            // A worker that has ended needs no telling.
            let _ = worker.send(command.clone());
        }
    }

    /// Commits what is done and ends the workers.
    pub fn stop(&self) {
        self.fleet.stop();
        self.tell(&Command::Stop);
        let threads = std::mem::take(&mut *lock(&self.threads));
        let (others, workers): (Vec<_>, Vec<_>) =
            threads.into_iter().partition(|t| !t.thread().name().is_some_and(|name| name.starts_with("worker")));
        workers.into_iter().for_each(|t| drop(t.join()));
        self.dead.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|t| drop(t.join()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The versions of a pipeline's functions, in a database.
fn start_fleet(
    pipeline: &Pipeline,
    sweeps: fleet::Sweeps,
    db: Arc<dyn Keyspaces>,
    registry: &Arc<Registry>,
) -> anyhow::Result<Arc<Fleet>> {
    let (ledger, follow) = LocalLedger::open(db)?;
    let parts = fleet::Parts {
        host: HOST.into(),
        functions: Wanted::all(pipeline),
        registry: registry.clone(),
        ledger: Arc::new(ledger),
        follow: Box::new(follow),
        topics: fleet::topics(&sweeps.topology),
        trust: pipeline.trust.clone(),
        keep_ms: pipeline.keep_components_ms,
        sweeps,
    };
    Fleet::start(parts, &|| true)
}
