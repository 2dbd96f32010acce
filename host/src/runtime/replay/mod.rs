//! One stored record, taken through a pipeline once more: in memory, with stores that are empty, beside the running tasks and
//! without effect on them. What goes into one function and comes out of it is written down.
//!
//! It has an engine of its own, so that what it does, and what it is given of the machine, is not taken from the functions that run.

mod calls;
mod items;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use millstream_core::operator::Active;
use millstream_core::record::Batch;
use millstream_core::topology::graph::Topology;
use millstream_wasm::dump::CORE_DUMP_SUFFIX;
use millstream_wasm::{LogLine, Registry, WORKER_STACK_BYTES, WorkerFunctions};
use millstream_web::types::inside::{Call, Item, Left};

use super::driver::{Driver, Given, Setting};
use super::fleet::{Wanted, random_id};
use super::formats::Shared;
use super::globals;
use super::plan::Pipeline;
use calls::Recorder;

/// Log lines that are told of one replay.
pub const LINES_MAX: usize = 1_000;

/// Calls that are told of one replay.
pub const CALLS_MAX: usize = 1_000;

/// Results that are told of one replay.
pub const RESULTS_MAX: usize = 1_000;

/// Which record is taken through what.
pub struct Asked {
    /// Number of the function that is watched.
    pub function: usize,
    /// Component and settings of each function.
    pub versions: Vec<(Vec<u8>, String)>,
    /// The record's topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
    /// The record alone.
    pub record: Batch,
    /// Whether a core dump is wanted where it traps.
    pub core_dump: bool,
}

/// The running pipeline, as far as a replay looks at it.
pub struct Ground<'a> {
    /// What runs.
    pub pipeline: &'a Pipeline,
    /// Its plan.
    pub topology: &'a Topology,
    /// Whose settings and compiled code are used.
    pub registry: &'a Registry,
    /// What topics hold.
    pub formats: Shared,
    /// Its global tables, as they are now.
    pub globals: Option<Arc<globals::Rows>>,
}

impl Ground<'_> {
    /// The pipeline, whose topics have as many partitions as those that are there.
    pub fn pipeline_as_it_is(&self) -> Pipeline {
        let topics = self.topology.topics.iter().filter(|topic| !topic.internal);
        let partitions = topics.map(|topic| (topic.name.clone(), topic.partitions)).collect();
        Pipeline { partitions, ..self.pipeline.clone() }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// The record.
    pub record: Item,
    /// The function's calls.
    pub calls: Vec<Call>,
    /// What it wrote.
    pub lines: Vec<String>,
    /// What left the pipeline.
    pub results: Vec<Left>,
    /// Why a task stopped.
    pub stopped: Option<String>,
    /// Its core dump.
    pub core_dump: Option<Vec<u8>>,
}

/// A folder that goes when it is let go.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // It may never have been made.
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Takes a record through. On a thread of its own, whose stack a function cannot overrun.
///
/// # Errors
/// In words for the user: a topic that no step reads; a component that is refused.
pub fn run(ground: &Ground<'_>, asked: Asked) -> anyhow::Result<Replayed> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("replay".into()).stack_size(WORKER_STACK_BYTES);
        match thread.spawn_scoped(scope, || replay(ground, asked))?.join() {
            Ok(replayed) => replayed,
            Err(_) => bail!("the replay broke off; the host's log says more"),
        }
    })
}

fn replay(ground: &Ground<'_>, asked: Asked) -> anyhow::Result<Replayed> {
    let reads = |topic: &str| {
        let inputs = ground.topology.subs.iter().flat_map(|sub| &sub.inputs);
        inputs.map(|input| &ground.topology.topics[input.topic]).find(|there| there.name == topic)
    };
    let Some(topic) = reads(&asked.topic) else {
        bail!("no step reads records of the topic `{}`", asked.topic);
    };
    if asked.partition >= topic.partitions {
        bail!("topic `{}` has {} partitions, there is no partition {}", topic.name, topic.partitions, asked.partition);
    }
    let folder = Passing(std::env::temp_dir().join(format!("millstream-replay-{}", random_id()?)));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = lines.clone();
    let log = move |line: &LogLine<'_>| {
        // Not in the host's own log: nothing has happened to it.
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        // Of components that are being checked nothing is told.
        if let (Some(function), true) = (line.function, heard.len() < LINES_MAX) {
            heard.push((function, format!("{}: {}", line.level.name(), line.message)));
        }
    };
    let dumps = asked.core_dump.then(|| folder.0.clone());
    let registry = Arc::new(ground.registry.another(Arc::new(log), dumps)?);
    let mut active = Vec::new();
    for (wanted, (component, settings)) in Wanted::all(ground.pipeline).iter().zip(&asked.versions) {
        let prepared = wanted.prepare(&registry, component, settings)?;
        active.push(Active { prepared, epoch: 1, number: 1 });
    }
    let watched = active.get(asked.function).context("the function is one of the pipeline's")?.prepared;
    let calls = Arc::default();
    let functions = Recorder::new(WorkerFunctions::new(registry), watched, &calls);
    let record = items::record(&asked.record, 0);
    let given = Given { topic: asked.topic, partition: asked.partition, offset: asked.offset };
    let setting = Setting {
        functions: Box::new(functions),
        active,
        formats: ground.formats.clone(),
        globals: ground.globals.clone(),
        given: vec![given.clone()],
    };
    let mut driver = Driver::with(&ground.pipeline_as_it_is(), setting)?;
    let stopped =
        driver.give(&given, asked.record).and_then(|()| driver.finish(true)).err().map(|why| format!("{why:#}"));
    let mut results = Vec::new();
    driver.results(&mut |topic, batch, row, _| {
        if results.len() < RESULTS_MAX {
            results.push(Left { topic: topic.to_string(), record: items::record(batch, row) });
        }
    })?;
    drop(driver);
    let calls = std::mem::take(&mut *lock(&calls));
    let lines =
        lock(&lines).iter().filter(|(function, _)| *function == watched).map(|(_, line)| line.clone()).collect();
    Ok(Replayed { record, calls, lines, results, stopped, core_dump: last_dump(&folder.0)? })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last core dump of a folder, where there is one.
fn last_dump(folder: &std::path::Path) -> anyhow::Result<Option<Vec<u8>>> {
    let Ok(there) = std::fs::read_dir(folder) else { return Ok(None) };
    let mut paths: Vec<PathBuf> = there.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(CORE_DUMP_SUFFIX));
    paths.sort();
    paths.pop().map(|path| std::fs::read(&path).with_context(|| format!("read {}", path.display()))).transpose()
}
