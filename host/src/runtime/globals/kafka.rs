//! Global tables over the brokers' topics: all partitions, by a client of their own that is in no group, first to where they end
//! when the host starts, then on and on.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millstream_core::topology::graph::Topology;
use millstream_core::topology::spec::Spec;
use millstream_kafka::admin::{Admin, TopicInfo};
use millstream_kafka::config::Properties;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::{Fetched, TopicPartition};
use millstream_kafka::replay::{Replay, ReplayError, Stretch};
use millstream_rocksdb::{Database, OpenError, Options, SharedMemory};
use tracing::{error, info, warn};

use super::{Fill, FillError, Position, Rows};
use crate::runtime::formats::Shared;
use crate::runtime::worker::wall_ms;

/// Bytes that wait inside of the client.
const QUEUE_BYTES: usize = 16 << 20;

/// Messages of one read.
const MESSAGES_MAX: usize = 16_384;

/// How long one read waits.
const READ_WAIT: Duration = Duration::from_millis(200);

/// How often a long read says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Pause after a failure that may pass.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Bytes read after which they are written to files: what is in memory alone would be read again after a crash.
const FLUSH_BYTES: u64 = 64 << 20;

/// How often what little has come is written to files: positions that are older than the topic keeps tombstones are not gone on from.
const FLUSH_EVERY: Duration = Duration::from_secs(600);

/// What is taken off a topic's `delete.retention.ms`, for clocks that differ and cleaners that are early.
const TOMBSTONES_MARGIN_MS: i64 = 3_600 * 1_000;

/// What the tables are read with.
pub struct Parts {
    /// The plan.
    pub topology: Arc<Topology>,
    /// What it was planned from.
    pub spec: Spec,
    /// What topics hold.
    pub formats: Shared,
    /// Of the client.
    pub properties: Properties,
    /// Where rows are kept.
    pub folder: std::path::PathBuf,
}

/// Global tables that are read on and on. Dropping it ends that.
pub struct Follower {
    /// Their rows.
    pub rows: Arc<Rows>,
    dead: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Reads all tables to where their topics end now, and goes on in a thread. `wanted`: whether to go on waiting.
    ///
    /// # Errors
    /// In words for the user: a bad record where `on-error` says `fail`; what the brokers or the storage refuse.
    pub fn start(parts: Parts, admin: &Admin, wanted: &dyn Fn() -> bool) -> anyhow::Result<Option<Self>> {
        if parts.topology.globals.is_empty() {
            return Ok(None);
        }
        let db = Arc::new(open(&parts.folder)?);
        let rows = Arc::new(Rows::open(db.clone(), &parts.topology, &parts.spec, parts.formats.clone())?);
        let dead = Arc::<AtomicBool>::default();
        let mut reader =
            Reader { rows: rows.clone(), db, parts, sources: Vec::new(), replay: None, flushed: (0, Instant::now()) };
        reader.sources = reader.look_up(admin)?;
        let began = Instant::now();
        while !reader.bring_up(wanted)? {
            if !wanted() {
                bail!("asked to stop while global tables were being read");
            }
            std::thread::sleep(RETRY_PAUSE);
        }
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(tables = rows.len(), ms, "global tables are read");
        let stop = dead.clone();
        let thread = std::thread::Builder::new().name("globals".into()).spawn(move || reader.follow(&stop))?;
        Ok(Some(Self { rows, dead, thread: Some(thread) }))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.dead.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn open(folder: &Path) -> anyhow::Result<Database> {
    // What is not yet in files is read again.
    let options = Options { wal: false, ..Options::default() };
    let memory = Arc::new(SharedMemory::new(&options));
    match Database::open_sharing(folder, options, memory.clone()) {
        Ok(db) => Ok(db),
        Err(why @ (OpenError::Unavailable { .. } | OpenError::InUse(_))) => Err(why.into()),
        Err(why) => {
            let aside = crate::runtime::kafka::directory::set_aside(folder)?;
            warn!(error = %why, aside = %aside.display(), "global tables are read anew");
            Ok(Database::open_sharing(folder, options, memory)?)
        }
    }
}

/// A table's topics as the brokers have them.
struct Source {
    table: usize,
    topics: Vec<TopicInfo>,
    /// The build that is being filled.
    build: u32,
}

impl Source {
    /// What a table made of these topics is made from.
    fn made_from(&self) -> Vec<u8> {
        self.topics.iter().map(|topic| format!("{} {}\n", topic.name, topic.id)).collect::<String>().into_bytes()
    }

    /// After how many milliseconds a deletion may have gone from the log without having been read; `None`: never.
    fn tombstones_ms(&self) -> Option<i64> {
        let compacted = self.topics.iter().filter(|topic| topic.settings.compacted);
        compacted.map(|topic| (topic.settings.delete_retention_ms - TOMBSTONES_MARGIN_MS).max(0)).min()
    }
}

struct Reader {
    rows: Arc<Rows>,
    db: Arc<Database>,
    parts: Parts,
    sources: Vec<Source>,
    replay: Option<Replay>,
    /// Bytes and time of the last flush.
    flushed: (u64, Instant),
}

impl Reader {
    fn look_up(&self, admin: &Admin) -> anyhow::Result<Vec<Source>> {
        let mut out = Vec::new();
        for table in 0..self.rows.len() {
            let names: Vec<&str> = self.rows.topics(table).iter().map(String::as_str).collect();
            let mut found = admin.describe(&names).context("look up the topics of global tables")?;
            let info = |name: &&str| {
                let info = found.remove(*name).flatten();
                info.with_context(|| {
                    format!("topic `{name}` of the global table `{}` is not there", self.rows.name(table))
                })
            };
            let topics = names.iter().map(info).collect::<anyhow::Result<Vec<_>>>()?;
            let mut source = Source { table, topics, build: self.rows.current(table) };
            if let Some(why) = self.why_anew(&source)? {
                info!(table = self.rows.name(table), reason = why, "the global table is read from the beginning");
                source.build = self.rows.begin_build(table)?;
            }
            self.rows.note_made_from(table, source.build, &source.made_from())?;
            out.push(source);
        }
        Ok(out)
    }

    /// Why what is kept of a table is not gone on from.
    fn why_anew(&self, source: &Source) -> anyhow::Result<Option<&'static str>> {
        let Some(made_from) = self.rows.made_from(source.table, source.build)? else { return Ok(None) };
        if made_from != source.made_from() {
            return Ok(Some("it is made from other topics, or from one of that name that is gone"));
        }
        let Some(kept_ms) = source.tombstones_ms() else { return Ok(None) };
        for (number, topic) in source.topics.iter().enumerate() {
            for partition in 0..topic.partitions.unsigned_abs() {
                let position = self.rows.position(source.table, source.build, number, partition)?;
                if position.is_some_and(|position| wall_ms() - position.written_at > kept_ms) {
                    return Ok(Some("it is older than its topic keeps what was deleted"));
                }
            }
        }
        Ok(None)
    }

    /// Reads to where the topics end; `false`: not yet, and trying again may help.
    fn bring_up(&mut self, wanted: &dyn Fn() -> bool) -> anyhow::Result<bool> {
        match self.try_bring_up(wanted) {
            Ok(done) => Ok(done),
            Err(why) => {
                let why = self.passing(why)?;
                warn!(error = format!("{why:#}"), "reading global tables, trying again");
                self.replay = None;
                Ok(false)
            }
        }
    }

    /// An error that may pass, once what it asks for is done; the others are given back.
    fn passing(&mut self, why: anyhow::Error) -> anyhow::Result<anyhow::Error> {
        match (why.downcast_ref(), why.downcast_ref()) {
            (Some(ReplayError::OffsetGone { partition, .. }), _) => {
                let topic = &*partition.topic;
                for source in &mut self.sources {
                    if source.topics.iter().any(|info| info.name == topic) {
                        source.build = self.rows.begin_build(source.table)?;
                        self.rows.note_made_from(source.table, source.build, &source.made_from())?;
                    }
                }
                Ok(why)
            }
            (Some(ReplayError::Kafka(KafkaError::Retry(_))), _) | (_, Some(FillError::Retry(_))) => Ok(why),
            _ => Err(why),
        }
    }

    fn try_bring_up(&mut self, wanted: &dyn Fn() -> bool) -> anyhow::Result<bool> {
        let stretches = self.stretches()?;
        self.replay =
            Some(Replay::follow(&self.parts.properties, &self.parts.topology.pipeline, &stretches, QUEUE_BYTES)?);
        let mut told = Instant::now();
        while !self.replay.as_ref().is_none_or(Replay::is_done) {
            if !wanted() {
                return Ok(false);
            }
            self.read()?;
            if told.elapsed() > TELL_EVERY {
                told = Instant::now();
                let progress = self.replay.as_ref().map(Replay::progress).unwrap_or_default();
                let sum = |of: fn(&millstream_kafka::replay::Progress) -> i64| progress.iter().map(of).sum::<i64>();
                info!(done = sum(|p| p.next - p.from), of = sum(|p| (p.end - p.from).max(0)), "reading global tables");
            }
        }
        for source in &self.sources {
            self.rows.take_build(source.table, source.build)?;
        }
        self.flush();
        Ok(true)
    }

    /// Where to begin with each partition.
    fn stretches(&self) -> anyhow::Result<Vec<Stretch>> {
        let mut out = Vec::new();
        for source in &self.sources {
            for (number, topic) in source.topics.iter().enumerate() {
                for partition in 0..topic.partitions.unsigned_abs() {
                    let from = self.rows.position(source.table, source.build, number, partition)?.map(|p| p.offset);
                    let partition = TopicPartition::new(topic.name.as_str(), partition as i32);
                    out.push(Stretch { partition, from });
                }
            }
        }
        Ok(out)
    }

    /// Takes what has come into the tables.
    fn read(&mut self) -> anyhow::Result<()> {
        let Some(replay) = &mut self.replay else { return Ok(()) };
        for fetched in replay.read(MESSAGES_MAX, READ_WAIT)? {
            self.take(&fetched)?;
        }
        let bytes: u64 = self.replay.iter().flat_map(Replay::progress).map(|p| p.bytes).sum();
        if bytes.saturating_sub(self.flushed.0) > FLUSH_BYTES || self.flushed.1.elapsed() > FLUSH_EVERY {
            self.flushed = (bytes, Instant::now());
            self.flush();
        }
        Ok(())
    }

    fn take(&self, fetched: &Fetched) -> anyhow::Result<()> {
        let (topic, partition) = (&*fetched.partition.topic, fetched.partition.partition.unsigned_abs());
        let place = |source: &Source| {
            let number = source.topics.iter().position(|info| info.name == topic)?;
            Some((source.table, source.build, number))
        };
        for (table, build, number) in self.sources.iter().filter_map(place) {
            let position = Position { offset: fetched.next, written_at: wall_ms() };
            let (from, batch) = (fetched.from, &fetched.batch);
            let left_out = self.rows.fill(&Fill { table, build, topic: number, partition, from, batch, position })?;
            if left_out > 0 {
                warn!(
                    table = self.rows.name(table),
                    topic,
                    partition,
                    records = left_out,
                    "left out: without a key, or bad"
                );
            }
        }
        Ok(())
    }

    fn flush(&self) {
        if let Err(why) = self.db.flush() {
            warn!(error = %why, "global tables could not be flushed; if this process is killed more is read again");
        }
    }

    /// Goes on reading until `dead`.
    fn follow(mut self, dead: &AtomicBool) {
        let wanted = || !dead.load(Ordering::Relaxed);
        while wanted() {
            let gone_on = match &self.replay {
                Some(_) => self.read(),
                None => self.try_bring_up(&wanted).map(|_| ()),
            };
            let Err(why) = gone_on else { continue };
            self.replay = None;
            match self.passing(why) {
                Ok(why) => {
                    warn!(error = format!("{why:#}"), "reading global tables, trying again");
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(why) => {
                    error!(error = format!("{why:#}"), "global tables have stopped");
                    (0..self.rows.len()).for_each(|table| self.rows.fail(table, format!("{why:#}")));
                    break;
                }
            }
        }
        self.flush();
    }
}
