//! Global tables over the host's own log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_local::{Log, ReadError};
use tracing::{info, warn};

use super::{Fill, FillError, Position, Rows};
use crate::runtime::worker::{FETCH_BYTES_MAX, wall_ms};

/// How long it is waited for something new, before it is looked whether to end.
const WAIT: Duration = Duration::from_millis(100);

/// Pause after a failure that may pass.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// How often reading at the start says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Reads everything that is there into the tables.
///
/// # Errors
/// A bad record where `on-error` says `fail`; those of the storage.
pub fn catch_up(rows: &Rows, log: &Log) -> anyhow::Result<()> {
    let (mut told, mut records) = (Instant::now(), 0);
    for table in 0..rows.len() {
        for (number, topic) in rows.topics(table).iter().enumerate() {
            let partitions = log.topic(topic).map_or(0, |info| info.partitions);
            for partition in 0..partitions {
                while let Some(read) = step(rows, log, table, number, partition)? {
                    records += read;
                    if told.elapsed() > TELL_EVERY {
                        told = Instant::now();
                        info!(table = rows.name(table), partition, records, "reading the global table");
                    }
                }
            }
        }
    }
    Ok(())
}

/// Reads a piece; `None`: there is no more.
fn step(rows: &Rows, log: &Log, table: usize, number: usize, partition: u32) -> anyhow::Result<Option<usize>> {
    let (topic, build) = (&rows.topics(table)[number], rows.current(table));
    let before = rows.position(table, build, number, partition)?.map(|position| position.offset);
    let start = || log.start_offset(topic, partition).unwrap_or(0);
    let from = before.unwrap_or_else(start);
    let fetched = match log.read(topic, partition, from, FETCH_BYTES_MAX) {
        Ok(fetched) => fetched,
        // What retention has deleted will not come back; the rows that were read before stay.
        Err(ReadError::OffsetOutOfRange { start, end, .. }) if from < start => {
            warn!(
                table = rows.name(table),
                topic, partition, from, start, "retention has deleted records that were not read"
            );
            log.read(topic, partition, start, FETCH_BYTES_MAX)
                .with_context(|| format!("read {topic}-{partition} up to {end}"))?
        }
        Err(why) => {
            return Err(why)
                .with_context(|| format!("read {topic}-{partition} for the global table `{}`", rows.name(table)));
        }
    };
    if fetched.batch.is_empty() {
        return Ok(None);
    }
    let read = fetched.batch.len();
    let position = Position { offset: fetched.base_offset + read as i64, written_at: wall_ms() };
    let (from, batch) = (fetched.base_offset, &fetched.batch);
    rows.fill(&Fill { table, build, topic: number, partition, from, batch, position })?;
    Ok(Some(read))
}

/// Where the topics of all tables end.
fn ends(rows: &Rows, log: &Log) -> Vec<Option<i64>> {
    let topics = (0..rows.len()).flat_map(|table| rows.topics(table));
    let partitions = |topic: &String| log.topic(topic).map_or(0, |info| info.partitions);
    topics.flat_map(|topic| (0..partitions(topic)).map(|partition| log.end_offset(topic, partition))).collect()
}

/// Goes on reading until `dead`.
///
/// # Errors
/// When the system gives no thread.
pub fn follow(rows: Arc<Rows>, log: Arc<Log>, dead: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("globals".into()).spawn(move || {
        let mut seen = Vec::new();
        while !dead.load(Ordering::Relaxed) {
            let generation = log.generation();
            // Where topics end is known without asking the storage; most of what is written is written to others.
            let ends = ends(&rows, &log);
            if ends == seen {
                log.wait(generation, WAIT);
                continue;
            }
            match catch_up(&rows, &log) {
                Ok(()) => seen = ends,
                Err(why) if matches!(why.downcast_ref(), Some(FillError::Fatal(_))) => {
                    tracing::error!(error = format!("{why:#}"), "a global table has stopped");
                    // Which of them does not matter: joins with any wait until somebody has looked.
                    return (0..rows.len()).for_each(|table| rows.fail(table, format!("{why:#}")));
                }
                Err(why) => {
                    warn!(error = format!("{why:#}"), "reading global tables, trying again");
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    })
}
