//! Lines of functions as records of a topic, for pipelines whose manifest names one: as soon as may be, and without holding up anybody.
//! What cannot be written is tried again while the lines are kept; what was lost meanwhile is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::topology::graph::Topology;
use millstream_wasm::LogLevel;
use tracing::warn;

use super::inside::told;
use crate::runtime::fleet::Fleet;
use crate::runtime::lines::Lines;
use crate::runtime::plan::LogTopic;

/// Lines that are written at once.
const LINES_MAX: usize = 500;

/// How long a look for new lines waits.
const LOOK: Duration = Duration::from_millis(200);

/// Pause after lines could not be written.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Writes records to the topic: its partition 0, so that the lines of a host stay in their order.
pub type Write = Box<dyn FnMut(Batch) -> anyhow::Result<()> + Send>;

/// What writes the lines of a host.
pub struct Parts {
    /// The lines.
    pub lines: Arc<Lines>,
    /// Whose they are.
    pub fleet: Arc<Fleet>,
    /// What their records are of.
    pub topology: Arc<Topology>,
    /// The host's name in each record.
    pub host: String,
    /// Where they go.
    pub topic: LogTopic,
    /// How.
    pub write: Write,
}

/// A thread that writes; it ends, with what is there, when this goes.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Begins with the next line.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(parts: Parts) -> anyhow::Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("function-logs".into()).spawn(move || run(parts, &stopped));
        Ok(Self { stop, thread: Some(thread.context("start to write the functions' lines")?) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed.
            let _panicked = thread.join();
        }
    }
}

fn run(mut parts: Parts, stop: &AtomicBool) {
    let mut next = 0;
    loop {
        let is_last = stop.load(Ordering::Relaxed);
        match some(&mut parts, next) {
            Ok(read) if read > next => next = read,
            Ok(_) if is_last => return,
            Ok(_) => parts.lines.wait(next, LOOK),
            Err(why) => {
                let topic = &parts.topic.topic;
                warn!(topic, error = format!("{why:#}"), "lines of functions could not be written, trying again");
                if is_last {
                    return;
                }
                // The end of the host does not wait for it.
                let until = Instant::now() + RETRY_PAUSE;
                while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(LOOK);
                }
            }
        }
    }
}

/// Writes some of the lines behind a place; the place behind them.
fn some(parts: &mut Parts, after: u64) -> anyhow::Result<u64> {
    let level: LogLevel = parts.topic.level;
    let read = parts.lines.read(Some(after), LINES_MAX, |line| line.level >= level);
    if read.lost > 0 {
        warn!(lines = read.lost, "lines of functions were not kept until they could be written to their topic");
    }
    if read.lines.is_empty() {
        return Ok(read.next);
    }
    let seen = parts.fleet.seen();
    let mut batch = BatchBuilder::default();
    for line in read.lines {
        let line = told(line, &seen, &parts.topology);
        let mut value = serde_json::to_value(&line)?;
        value["host"] = parts.host.clone().into();
        let key = line.by.first().map(|speaker| speaker.function.as_bytes());
        batch.push(key, Some(value.to_string().as_bytes()), line.time, []);
    }
    (parts.write)(batch.finish())?;
    Ok(read.next)
}
