//! The running host in embedded mode: storage, functions, workers, and what can be asked of them.
//!
//! `plan` says what is needed of a manifest, `storage` and `versions` are what lasts, `worker` is the loop, `status` what
//! others see. The order in which a host starts is [`Host::start`].

pub mod driver;
pub mod folder;
pub mod formats;
pub mod functions;
pub mod globals;
pub mod heap;
pub mod kafka;
pub mod memory;
pub mod pause;
pub mod plan;
pub mod query;
pub mod reset;
pub mod status;
pub mod storage;
pub mod versions;
pub mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use millstream_core::function::Prepared;
use millstream_core::operator::Active;
use millstream_core::state::keyspace::Keyspaces;
use millstream_core::swap::{Activation, Version};
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::worker::Settings;
use millstream_local::Log;
use millstream_wasm::{Registry, WORKER_STACK_BYTES, WorkerFunctions};
use tracing::{info, warn};

use pause::{Mark, Pause};
use plan::{Pipeline, Start};
use status::Status;
use storage::Storage;
use versions::Versions;
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
    /// What topics hold.
    formats: formats::Shared,
    /// The rows of its global tables.
    /// Rows of global tables.
    pub globals: Arc<globals::Rows>,
    /// Whether it takes records.
    pub pause: Arc<Pause>,
    workers: Mutex<Vec<Sender<Command>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    dead: Arc<AtomicBool>,
    /// One deploy at a time is prepared on this host.
    deploying: Mutex<()>,
    /// For each function the version in force, and the one before, which stays prepared for going back.
    prepared: Mutex<Vec<(Prepared, Option<Prepared>)>>,
}

/// What a deploy did.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// The version in force now.
    pub activation: Activation,
    /// What the check of the component said.
    pub inspection: millstream_wasm::Inspection,
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
        let versions = Arc::new(Versions::open(db.clone())?);
        let active = start_versions(&pipeline, &versions, &registry)?;
        for (function, active) in pipeline.functions.iter().zip(&active) {
            tell_time(&versions, &registry, &function.name, active.prepared);
        }
        let pause = Pause::open(Mark::key(db.clone())?)?;
        let globals = Arc::new(globals::Rows::open(db.clone(), &topology, &pipeline.spec, formats.clone())?);
        let storage = Arc::new(Storage::open(db, log, versions, &topology, pipeline.durability)?);
        globals::local::catch_up(&globals, &storage.log)?;
        let host = Arc::new(Self {
            pipeline,
            topology,
            storage,
            status: Arc::default(),
            registry,
            formats,
            globals,
            pause,
            workers: Mutex::default(),
            threads: Mutex::default(),
            dead: Arc::default(),
            deploying: Mutex::new(()),
            prepared: Mutex::new(active.iter().map(|a| (a.prepared, None)).collect()),
        });
        host.start_workers(workers, &active)?;
        if !host.globals.is_empty() {
            let (rows, log) = (host.globals.clone(), host.storage.log.clone());
            lock(&host.threads).push(globals::local::follow(rows, log, host.dead.clone())?);
        }
        host.start_retention()?;
        Ok(host)
    }

    fn start_workers(self: &Arc<Self>, workers: usize, active: &[Active]) -> anyhow::Result<()> {
        let tasks = self.tasks();
        let first_interval = self.storage.last_interval(&self.topology)? + 1;
        let workers = workers.clamp(1, tasks.len().max(1));
        for number in 0..workers {
            let (sender, commands) = std::sync::mpsc::channel();
            let starts = self.clone_starts();
            let parts = Parts {
                topology: self.topology.clone(),
                storage: self.storage.clone(),
                status: self.status.clone(),
                functions: Box::new(WorkerFunctions::new(self.registry.clone())),
                formats: self.formats.clone(),
                globals: self.globals.clone(),
                commands,
                active: active.to_vec(),
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

    fn tell(&self, command: &Command) {
        for worker in lock(&self.workers).iter() {
            // A worker that has ended needs no telling.
            let _ = worker.send(command.clone());
        }
    }

    /// Checks and prepares a component, puts it in force, and tells the workers, who take it on between two intervals.
    ///
    /// # Errors
    /// Why it was not taken, exactly; the old version runs on.
    pub fn deploy(
        &self,
        function: &str,
        component: &[u8],
        settings: Option<String>,
        origin: &str,
    ) -> anyhow::Result<Deployed> {
        let _one = lock(&self.deploying);
        let number = self.function_number(function)?;
        let settings = settings
            .or_else(|| self.storage.versions.in_force(function).map(|a| a.version.settings))
            .unwrap_or_else(|| self.pipeline.functions[number].settings.clone());
        let plan = &self.pipeline.functions[number];
        let version = Version {
            digest: functions::digest(component),
            settings: settings.clone(),
            origin: origin.to_string(),
            proposed_at: wall_ms(),
        };
        let inspection = self.registry.inspect(component);
        let proposal = self.storage.versions.propose(function, component, version)?;
        let prepared = prepare(&self.pipeline, &self.registry, plan, component, &settings);
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                self.storage.versions.void(proposal, &format!("{why:#}"))?;
                return Err(why);
            }
        };
        let activation = self.storage.versions.activate(proposal)?;
        tell_time(&self.storage.versions, &self.registry, function, prepared);
        let active = Active { prepared, epoch: activation.epoch, number: activation.number };
        // Before any worker has it: who asks of a state that the new version has made must find that.
        self.keep_prepared(number, prepared);
        self.tell(&Command::Activate { function: number, active });
        self.tell(&Command::Restart);
        info!(function, version = activation.number, digest = activation.version.digest, "in force");
        Ok(Deployed { activation, inspection })
    }

    /// The version of a function that is called now.
    pub fn prepared(&self, function: usize) -> Prepared {
        lock(&self.prepared)[function].0
    }

    /// Lets go of the version that is neither in force nor the one before, unless another function has it too.
    fn keep_prepared(&self, function: usize, now: Prepared) {
        let mut all = lock(&self.prepared);
        let (current, before) = all[function];
        if current == now {
            return;
        }
        all[function] = (now, Some(current));
        if let Some(old) = before.filter(|old| !all.iter().any(|(a, b)| a == old || *b == Some(*old))) {
            self.registry.release(old);
        }
    }

    /// Goes back to an earlier version: the one before, or the one with this number.
    ///
    /// # Errors
    /// When there is none; those of [`Host::deploy`].
    pub fn rollback(&self, function: &str, to: Option<u64>) -> anyhow::Result<Deployed> {
        self.function_number(function)?;
        let history = self.storage.versions.function(function).context("the function has no history")?;
        let in_force = history.in_force().context("the function has no version in force")?.clone();
        let earlier = |a: &&Activation| match to {
            Some(number) => a.number == number,
            None => {
                let same =
                    a.version.digest == in_force.version.digest && a.version.settings == in_force.version.settings;
                a.number < in_force.number && !same
            }
        };
        let target = history.activations.iter().rev().find(earlier).cloned().ok_or_else(|| match to {
            Some(number) => anyhow!("`{function}` has no version {number}; it has 1 to {}", in_force.number),
            None => anyhow!("`{function}` has no earlier version to go back to"),
        })?;
        if target.number == in_force.number {
            bail!("version {} of `{function}` is in force already", target.number);
        }
        let component = self.storage.versions.module(&target.version.digest)?;
        let origin = format!("rollback to version {}", target.number);
        self.deploy(function, &component, Some(target.version.settings), &origin)
    }

    fn function_number(&self, function: &str) -> anyhow::Result<usize> {
        self.topology.functions.iter().position(|f| f == function).with_context(|| {
            format!("there is no function `{function}`; there are: {}", self.topology.functions.join(", "))
        })
    }

    /// Commits what is done and ends the workers.
    pub fn stop(&self) {
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

/// Prepares a component for a function of the manifest.
fn prepare(
    pipeline: &Pipeline,
    registry: &Registry,
    function: &plan::Function,
    component: &[u8],
    settings: &str,
) -> anyhow::Result<Prepared> {
    let needed = plan::needed_interfaces(&pipeline.spec, &function.name);
    let settings = functions::settings(settings)?;
    let export = function.export.as_deref();
    let prepared = registry.prepare(component, export, &settings, &function.limits, &needed);
    prepared.with_context(|| format!("function `{}` was refused", function.name))
}

/// Sets what the version in force of a function reads from WASI's wall clock: when it was first deployed, so that it is the
/// same after a restart and after a rollback.
fn tell_time(versions: &Versions, registry: &Registry, function: &str, prepared: Prepared) {
    let Some(history) = versions.function(function) else { return };
    let Some(now) = history.in_force() else { return };
    let same = |a: &&Activation| a.version.digest == now.version.digest && a.version.settings == now.version.settings;
    let first = history.activations.iter().find(same).unwrap_or(now);
    registry.set_wall_clock(prepared, u64::try_from(first.version.proposed_at).unwrap_or(0));
}

fn read_component(function: &plan::Function) -> anyhow::Result<Vec<u8>> {
    let path = &function.component;
    std::fs::read(path).with_context(|| format!("function `{}`: read {}", function.name, path.display()))
}

/// The versions in force; the manifest's where a function has no history yet.
fn start_versions(pipeline: &Pipeline, versions: &Versions, registry: &Registry) -> anyhow::Result<Vec<Active>> {
    let mut active = Vec::new();
    for function in &pipeline.functions {
        if versions.in_force(&function.name).is_none() {
            let component = read_component(function)?;
            let prepared = prepare(pipeline, registry, function, &component, &function.settings)?;
            let version = Version {
                digest: functions::digest(&component),
                settings: function.settings.clone(),
                origin: function.component.display().to_string(),
                proposed_at: wall_ms(),
            };
            let proposal = versions.propose(&function.name, &component, version)?;
            let activation = versions.activate(proposal)?;
            active.push(Active { prepared, epoch: activation.epoch, number: activation.number });
            continue;
        }
        let activation = versions.in_force(&function.name).context("a version in force")?;
        let component = versions.module(&activation.version.digest)?;
        warn_of_difference(function, &activation);
        let prepared = prepare(pipeline, registry, function, &component, &activation.version.settings)?;
        active.push(Active { prepared, epoch: activation.epoch, number: activation.number });
    }
    Ok(active)
}

/// `component:` and `config:` count only while a function has no history.
fn warn_of_difference(function: &plan::Function, activation: &Activation) {
    let file = std::fs::read(&function.component).map(|bytes| functions::digest(&bytes));
    let same = file.as_ref().is_ok_and(|digest| *digest == activation.version.digest);
    if !same || function.settings != activation.version.settings {
        warn!(
            function = function.name,
            version = activation.number,
            "the deployed version stays in force; the manifest's file or settings differ (deploy them to change it)"
        );
    }
}
