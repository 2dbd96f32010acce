//! Pipelines in memory with real functions, most as `millstream test` drives them: what becomes of records whose function
//! breaks the pledge, and what a function is told. What is refused before a pipeline runs, and what a single call comes to,
//! is tested where functions are run.

mod fuzz;
mod isolation;
mod misbehaving;
mod named;
mod wall_clock;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream::config;
use millstream::runtime::driver::{Driver, Fed};
use millstream::runtime::plan::Pipeline;
use millstream_core::record::BatchBuilder;
use millstream_core::state::keyspace::Durability;
use millstream_local::Append;
use millstream_wasm::{Compiler, Config, Registry, WORKER_STACK_BYTES};

/// A sample function that `./x guests` built.
fn function(name: &str) -> PathBuf {
    let folder = std::env::var_os("MILLSTREAM_UDFS").expect("MILLSTREAM_UDFS names no folder: run ./x test");
    let path = Path::new(&folder).join(format!("{name}.wasm"));
    assert!(path.exists(), "{} is not there: run ./x test", path.display());
    path
}

/// Functions with a compiling child that is the program itself.
fn registry() -> Arc<Registry> {
    let program = env!("CARGO_BIN_EXE_millstream").into();
    let compiler = Compiler { program, args: vec![millstream::runtime::functions::COMPILE_COMMAND.into()] };
    Arc::new(Registry::new(Config::new(compiler, 1)).unwrap())
}

/// A pipeline of one step, whose text names the function `bad`; its results go to `out`, and its records come from `in`.
fn pipeline(name: &str, step: &str) -> Pipeline {
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("pipeline.yaml");
    let (component, from) = (function(name), if step.contains("branch") { "step.one" } else { "step" });
    let text = format!(
        "pipeline: guests\nfunctions: {{ bad: {{ component: {} }} }}\nsources: {{ in: {{ topic: in }} }}\nsteps: {{ step: \
         {{ from: in, {step} }} }}\nsinks: {{ out: {{ from: {from}, topic: out }} }}\n",
        component.display()
    );
    std::fs::write(&manifest, text).unwrap();
    let loaded = config::load(&manifest, true, &config::pipeline::remarks).unwrap();
    let Some(manifest) = loaded.manifest else { panic!("{}", loaded.report.summary()) };
    config::pipeline::pipeline(manifest)
}

/// The same in memory, with nothing in it yet.
fn driver(registry: &Arc<Registry>, name: &str, step: &str) -> Driver {
    Driver::new(&pipeline(name, step), registry).unwrap()
}

/// Feeds all records at once, each with its value as its key too; the pipeline's own end, when it stops.
fn feed(driver: &mut Driver, values: &[&str]) -> Result<(), String> {
    let (last, before) = values.split_last().unwrap();
    let mut batch = BatchBuilder::default();
    for value in before {
        batch.push(Some(value.as_bytes()), Some(value.as_bytes()), 0, []);
    }
    let append = Append { topic: "in".into(), partition: 0, batch: batch.finish() };
    driver.log.append(vec![append], Vec::new(), Durability::Process).unwrap();
    let last =
        Fed { topic: "in", partition: Some(0), key: Some(last.as_bytes()), value: Some(last.as_bytes()), timestamp: 0 };
    driver.feed(last, []).and_then(|()| driver.finish(true)).map_err(|stopped| format!("{stopped:#}"))
}

/// Feeds one record; the pipeline's own end, when it stops.
fn feed_bytes(driver: &mut Driver, key: &[u8], value: &[u8]) -> Result<(), String> {
    let one = Fed { topic: "in", partition: Some(0), key: Some(key), value: Some(value), timestamp: 0 };
    driver.feed(one, []).and_then(|()| driver.finish(true)).map_err(|stopped| format!("{stopped:#}"))
}

/// Values in a topic.
fn values(driver: &Driver, topic: &str) -> Vec<String> {
    let Ok(fetched) = driver.log.read(topic, 0, 0, 64 << 20) else { return Vec::new() };
    let batch = fetched.batch;
    (0..batch.len()).map(|i| String::from_utf8_lossy(batch.values.get(i).unwrap_or(b"-")).into_owned()).collect()
}

/// Runs on a thread with a worker's stack.
fn worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn_scoped(scope, f).unwrap();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
