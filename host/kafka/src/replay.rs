//! Replays logs from an offset to where they ended when it began: how state is rebuilt from its changelog. Or follows them from there
//! on: how a global table is kept. A client of its own that is in no group and commits nothing; what the records mean is the caller's.
//!
//! The end is the high watermark, asked for *read uncommitted*: the commit of a transaction is acknowledged before its
//! markers are written everywhere, so the last stable offset may lie before records that count. Reading is *read committed*,
//! and so waits for those markers. It is done when the client's *position* is at the end: the last record may be a
//! marker, aborted, or compacted away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::config::Properties;
use crate::consumer::context::{Context, Report};
use crate::consumer::native::{Client, Messages, Queue};
use crate::consumer::slots::Slots;
use crate::error::KafkaError;
use crate::fetch::{Fetched, Problem, TopicPartition};
use crate::native::Failure;

/// A broker ends a transaction whose time is over at its next look, which comes this much later by default.
pub const ABORT_DELAY_MS: u32 = 10_000;

/// How long a fetch waits for records that are not there: the end of a log that ends with compacted records is told with the next
/// fetch.
const FETCH_WAIT_MS: u32 = 50;

/// How long the ends of a log are asked for.
const ENDS_WAIT: Duration = Duration::from_secs(10);

/// Positions are looked at this often while no record comes: markers do not come, they only move the position.
const LOOK: Duration = Duration::from_millis(10);

/// What to replay of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the first record; `None`: the beginning of the log, wherever it is.
    pub from: Option<i64>,
}

/// How far the replay of a partition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// Where it began.
    pub from: i64,
    /// Offset of the next record.
    pub next: i64,
    /// Where it ends.
    pub end: i64,
    /// Records read so far.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl Progress {
    /// Whether it is through.
    pub fn is_done(&self) -> bool {
        self.next >= self.end
    }
}

/// Why a replay cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It was to begin outside of the log: what was built from the records before is not a basis to build on.
    #[error("{partition}: offset {asked} is outside of the log, which holds {start} to {end}")]
    OffsetGone {
        /// The partition.
        partition: TopicPartition,
        /// The offset to begin with.
        asked: i64,
        /// First offset of the log.
        start: i64,
        /// End of the log.
        end: i64,
    },
    /// The client's or broker's error. [`KafkaError::Retry`]: begin again, later.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A replay that goes on; dropping it ends it.
pub struct Replay {
    progress: Vec<Progress>,
    slots: Slots,
    messages: Messages,
    // Before the client, which must outlive the queue.
    queue: Queue,
    client: Arc<Client>,
    /// The last time that any position moved.
    moved: Instant,
    stall: Duration,
    /// It goes on behind the ends.
    follows: bool,
}

impl Replay {
    /// Asks for the ends and begins to fetch. `group`: the client names it and does not join. `queue_bytes`: fetched records that
    /// may wait inside of the client.
    ///
    /// # Errors
    /// [`ReplayError::OffsetGone`]; [`KafkaError::Retry`] where the ends cannot be asked for now.
    pub fn start(
        properties: &Properties,
        group: &str,
        stretches: &[Stretch],
        queue_bytes: usize,
    ) -> Result<Self, ReplayError> {
        Self::begin(properties, group, stretches, queue_bytes, false)
    }

    /// As [`Replay::start`], and goes on behind the ends: [`Replay::is_done`] says when it has come so far, and
    /// [`Replay::read`] gives what comes then, however long that takes.
    ///
    /// # Errors
    /// As for [`Replay::start`].
    pub fn follow(
        properties: &Properties,
        group: &str,
        stretches: &[Stretch],
        queue_bytes: usize,
    ) -> Result<Self, ReplayError> {
        Self::begin(properties, group, stretches, queue_bytes, true)
    }

    fn begin(
        properties: &Properties,
        group: &str,
        stretches: &[Stretch],
        queue_bytes: usize,
        follows: bool,
    ) -> Result<Self, ReplayError> {
        let progress = ends(properties, stretches)?;
        let mut config = properties.consumer(group, None);
        config.set("group.protocol", "classic").remove("group.remote.assignor");
        config.set("enable.partition.eof", "true");
        config.set("queued.max.messages.kbytes", (queue_bytes / 1024).max(1).to_string());
        if properties.get("fetch.wait.max.ms").is_none() {
            config.set("fetch.wait.max.ms", FETCH_WAIT_MS.to_string());
        }
        let client: Client = config.create_with_context(Context::default()).map_err(refused)?;
        let client = Arc::new(client);
        let (queue, mut slots) = (Queue::new(&client), Slots::default());
        let mut list = TopicPartitionList::new();
        for (tag, p) in progress.iter().enumerate().filter(|(_, p)| follows || !p.is_done()) {
            queue.forward(&p.partition);
            let (topic, number) = (&*p.partition.topic, p.partition.partition);
            list.add_partition_offset(topic, number, Offset::Offset(p.next)).map_err(refused)?;
            slots.add(p.partition.clone(), tag, p.next, if follows { i64::MAX } else { p.end });
        }
        client.assign(&list).map_err(refused)?;
        let stall = Duration::from_millis(u64::from(properties.transaction_timeout_ms() + ABORT_DELAY_MS));
        let messages = Messages::default();
        Ok(Self { progress, slots, messages, queue, client, moved: Instant::now(), stall, follows })
    }

    /// Instead of the time-out of the pipeline's transactions, and of what a broker takes longer to end them: how long
    /// no position may move.
    pub fn stall_after(mut self, stall: Duration) -> Self {
        self.stall = stall;
        self
    }

    /// How far it is, by partition, in the order in which they were given.
    pub fn progress(&self) -> &[Progress] {
        &self.progress
    }

    /// Whether all is read.
    pub fn is_done(&self) -> bool {
        self.progress.iter().all(Progress::is_done)
    }

    /// The next records, of at most `messages_max` messages; none after `timeout`. `tag` is the place in [`Replay::progress`].
    ///
    /// # Errors
    /// [`KafkaError::Retry`] when nothing has moved for the time that an open transaction may take: somebody's is open still, or
    /// the broker is away. [`ReplayError::OffsetGone`] when the log's beginning has overtaken the replay.
    pub fn read(&mut self, messages_max: usize, timeout: Duration) -> Result<Vec<Fetched>, ReplayError> {
        let until = Instant::now() + timeout;
        loop {
            if self.is_done() && !self.follows {
                return Ok(Vec::new());
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.queue.consume(&mut self.messages, messages_max, Duration::ZERO) == 0 {
                self.queue.consume(&mut self.messages, 1, left.min(LOOK));
            }
            let slots = &mut self.slots;
            self.messages.drain(|message| slots.take(message));
            slots.touch();
            let seen: Vec<_> = self.queue.positions(&slots.touched()).into_iter().map(|at| (at, None)).collect();
            let fetched: Vec<_> = slots.finish(&seen).into_iter().filter(|f| f.from < f.next).collect();
            self.note(&fetched)?;
            self.trouble()?;
            if !fetched.is_empty() || left.is_zero() {
                return Ok(fetched);
            }
            if self.moved.elapsed() >= self.stall && !self.is_done() {
                return Err(self.stalled().into());
            }
        }
    }

    /// Takes down how far it is, and stops fetching what is through.
    fn note(&mut self, fetched: &[Fetched]) -> Result<(), KafkaError> {
        let mut through = TopicPartitionList::new();
        for f in fetched {
            let p = &mut self.progress[f.tag];
            p.next = f.next;
            p.records += f.batch.len() as u64;
            p.bytes += (f.batch.keys.data().len() + f.batch.values.data().len()) as u64;
            if p.is_done() && !self.follows {
                through.add_partition(&p.partition.topic, p.partition.partition);
            }
        }
        if !fetched.is_empty() {
            self.moved = Instant::now();
        }
        if through.count() > 0 {
            let gone: Vec<_> = self.progress.iter().filter(|p| p.is_done()).map(|p| p.partition.clone()).collect();
            self.slots.remove(|p| gone.iter().any(|g| **g == *p));
            self.client.pause(&through).map_err(|error| KafkaError::Fatal(format!("stop fetching: {error}")))?;
        }
        Ok(())
    }

    /// What went wrong; the client tries again by itself where that may help.
    fn trouble(&mut self) -> Result<(), ReplayError> {
        self.client.poll(Duration::ZERO);
        let reports = std::iter::from_fn(|| self.client.context().take());
        let mut errors: Vec<_> =
            reports.filter_map(|r| if let Report::Error(error) = r { Some(error) } else { None }).collect();
        for (partition, problem) in self.slots.problems() {
            match problem {
                Problem::OffsetGone { asked, .. } => {
                    let (low, high) = self
                        .client
                        .fetch_watermarks(&partition.topic, partition.partition, ENDS_WAIT)
                        .map_err(|error| no_ends(&partition, &error))?;
                    let partition = (*partition).clone();
                    return Err(ReplayError::OffsetGone { partition, asked, start: low, end: high });
                }
                Problem::Failed(error) => errors.push(error),
            }
        }
        match errors.into_iter().find(|error| !matches!(error, KafkaError::Retry(_))) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    fn stalled(&self) -> KafkaError {
        let open: Vec<_> = self.progress.iter().filter(|p| !p.is_done()).collect();
        let list: Vec<_> = open.iter().map(|p| format!("{} at {} of {}", p.partition, p.next, p.end)).collect();
        KafkaError::Retry(format!(
            "nothing came of {} for {} s: a transaction is open there that nobody ends, or the broker is away",
            list.join(", "),
            self.stall.as_secs()
        ))
    }
}

/// Where each begins and ends now.
///
/// # Errors
/// As for [`Replay::start`].
pub fn ends(properties: &Properties, stretches: &[Stretch]) -> Result<Vec<Progress>, ReplayError> {
    let mut config = properties.admin();
    // Otherwise the client tells the last stable offset as the end.
    config.set("isolation.level", "read_uncommitted");
    let client: BaseConsumer<Context> = config.create_with_context(Context::default()).map_err(refused)?;
    let until = Instant::now() + ENDS_WAIT;
    let one = |stretch: &Stretch| {
        let partition = &stretch.partition;
        let left = until.saturating_duration_since(Instant::now()).max(LOOK);
        let (low, high) = client
            .fetch_watermarks(&partition.topic, partition.partition, left)
            .map_err(|error| no_ends(partition, &error))?;
        let from = stretch.from.unwrap_or(low);
        if from < low || from > high {
            let partition = partition.clone();
            return Err(ReplayError::OffsetGone { partition, asked: from, start: low, end: high });
        }
        let partition = Arc::new(partition.clone());
        Ok(Progress { partition, from, next: from, end: high, records: 0, bytes: 0 })
    };
    stretches.iter().map(one).collect()
}

fn no_ends(partition: &TopicPartition, error: &ClientError) -> KafkaError {
    let doing = format!("ask for the ends of {partition}");
    match error.rdkafka_error_code() {
        // So it is as well while a partition has no leader.
        Some(Code::UnknownPartition | Code::UnknownTopicOrPartition) => KafkaError::Retry(format!("{doing}: {error}")),
        Some(code) => KafkaError::of(&doing, &Failure::of(code, error.to_string())),
        None => KafkaError::Retry(format!("{doing}: {error}")),
    }
}

fn refused(error: ClientError) -> KafkaError {
    KafkaError::Refused(format!("start a replay: {error}"))
}
