//! One worker's reader: batches from its queue, in columns, by partition. It stops and starts fetching where the worker lags;
//! which partitions are its own is decided by the group member.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::native::{Messages, Queue};
use super::parking::Kept;
use super::shared::{Shared, Worker};
use crate::fetch::{Fetched, Problem, TopicPartition};

/// How long a reader waits for the others to be out before it leaves pausing to its next read.
const TURN_WAIT: Duration = Duration::from_millis(200);

/// Positions that moved over control records, and ends that were reached, are looked for this often where no record comes.
const LOOK: Duration = Duration::from_millis(100);

/// How long the client has to go to another offset.
const SEEK_WAIT: Duration = Duration::from_secs(1);

/// How long the ends of a log are asked for when an offset is gone.
const ENDS_WAIT: Duration = Duration::from_secs(5);

/// What a read gave.
#[derive(Debug, Default)]
pub struct Read {
    /// Of each partition that has news.
    pub fetched: Vec<Fetched>,
    /// What went wrong, by partition.
    pub problems: Vec<(Arc<TopicPartition>, Problem)>,
}

/// The member was closed: nothing will come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group member was closed")]
pub struct Closed;

/// Reads the partitions of one worker. There is one for each worker; it may move to that worker's thread.
pub struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) worker: usize,
    pub(super) messages: Messages,
    /// When the positions of all its partitions were looked at last.
    pub(super) looked: Instant,
}

impl Reader {
    /// Number of the worker.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// At most `messages_max` messages, without waiting for that many: what is there, or the first that comes
    /// within `timeout`; nothing earlier than that when [`Waker::wake`] was called, while partitions change hands, and
    /// now and then.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn read(&mut self, messages_max: usize, timeout: Duration) -> Result<Read, Closed> {
        let until = Instant::now() + timeout;
        let shared = self.shared.clone();
        let worker = &shared.workers[self.worker];
        worker.last_read_ms.store(shared.now_ms(), Ordering::Relaxed);
        self.turn(worker);
        let inside = match shared.parking.enter(timeout) {
            Ok(inside) => inside,
            Err(Kept::Parked) => return Ok(Read::default()),
            Err(Kept::Closed) => return Err(Closed),
        };
        // While it is inside the client stays the same.
        let source = shared.source();
        let queue = &source.queues[self.worker];
        self.consume(worker, queue, messages_max, until);
        let mut slots = worker.slots.lock().unwrap_or_else(PoisonError::into_inner);
        self.messages.drain(|message| slots.take(message));
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            slots.touch();
        }
        let touched = slots.touched();
        let seen: Vec<_> = match touched.is_empty() {
            true => Vec::new(),
            false => {
                let highs = touched.iter().map(|p| queue.high_watermark(p));
                queue.positions(&touched).into_iter().zip(highs).collect()
            }
        };
        let fetched = slots.finish(&seen);
        let mut problems = slots.problems();
        drop(slots);
        drop(inside);
        problems.iter_mut().for_each(|(partition, problem)| self.look_up(partition, problem));
        Ok(Read { fetched, problems })
    }

    /// Takes messages without waiting; where there are none waits for the first and takes what came with it.
    fn consume(&mut self, worker: &Worker, queue: &Queue, max: usize, until: Instant) {
        let messages = &mut self.messages;
        if queue.consume(messages, max, Duration::ZERO) > 0 {
            return;
        }
        // The call above may have used up a wake-up: asked for before blocking, and one that comes later makes the call below return.
        let is_wanted = worker.woken.swap(false, Ordering::SeqCst) || self.shared.parking.is_wanted();
        let left = until.saturating_duration_since(Instant::now()).min(LOOK);
        if is_wanted || left.is_zero() {
            return;
        }
        if queue.consume(messages, 1, left) > 0 && max > 1 {
            queue.consume(messages, max - 1, Duration::ZERO);
        }
        worker.woken.store(false, Ordering::SeqCst);
    }

    /// How many bytes of the partition called `tag` wait for the worker. At the bound that the group was joined with the
    /// next read stops fetching it, at half of that starts again.
    pub fn waiting(&mut self, tag: usize, bytes: usize) {
        let worker = &self.shared.workers[self.worker];
        worker.slots.lock().unwrap_or_else(PoisonError::into_inner).waiting(tag, bytes);
    }

    /// Partitions that are not fetched at the moment, since too much of them waits.
    pub fn paused(&self) -> Vec<Arc<TopicPartition>> {
        let slots = self.shared.workers[self.worker].slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter(|s| s.is_paused()).map(|s| s.partition.clone()).collect()
    }

    /// What the worker calls the partitions of [`Reader::paused`].
    pub fn paused_tags(&self) -> Vec<usize> {
        let slots = self.shared.workers[self.worker].slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter(|s| s.is_paused()).map(|s| s.tag).collect()
    }

    /// Makes a blocked read return, from any thread.
    pub fn waker(&self) -> Waker {
        Waker { shared: self.shared.clone(), worker: self.worker }
    }

    /// Stops and starts fetching, with all readers outside.
    fn turn(&self, worker: &Worker) {
        let slots = || worker.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let max = self.shared.buffer_bytes_max;
        let turns = slots().turns(max);
        if turns.is_empty() {
            return;
        }
        // Where somebody else changes things or a reader stays inside, the next read tries again.
        let Ok(parked) = self.shared.park(TURN_WAIT) else { return };
        // It may have lost some of them while it waited.
        let mut turns = slots().turns(max);
        let client = self.shared.client();
        let paused = client.pause(&list(&turns.pause));
        let resumed = client.resume(&list(&turns.resume));
        for error in [paused, resumed].into_iter().filter_map(Result::err) {
            tracing::warn!("stop or start fetching: {error}");
        }
        turns.seek.retain(|(partition, offset)| self.seek(partition, *offset));
        slots().turned(&turns);
        drop(parked);
    }

    /// Sets the client's position after a failure. Where it cannot be set yet the next read tries again.
    fn seek(&self, partition: &TopicPartition, offset: i64) -> bool {
        let done = self.shared.client().seek(&partition.topic, partition.partition, Offset::Offset(offset), SEEK_WAIT);
        if let Err(error) = &done {
            tracing::debug!("read {partition} from {offset} on: {error}");
        }
        done.is_ok()
    }

    /// Asks for the ends of a log in which an offset is gone.
    fn look_up(&self, partition: &TopicPartition, problem: &mut Problem) {
        if let Problem::OffsetGone { start, end, .. } = problem {
            match self.shared.client().fetch_watermarks(&partition.topic, partition.partition, ENDS_WAIT) {
                Ok((low, high)) => (*start, *end) = (Some(low), Some(high)),
                Err(error) => tracing::warn!("ask for the ends of {partition}: {error}"),
            }
        }
    }
}

fn list(partitions: &[Arc<TopicPartition>]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    partitions.iter().for_each(|p| {
        list.add_partition(&p.topic, p.partition);
    });
    list
}

/// Makes a blocked [`Reader::read`] return.
#[derive(Clone)]
pub struct Waker {
    shared: Arc<Shared>,
    worker: usize,
}

impl Waker {
    /// The read that goes on now returns; where none does, the next one does not wait.
    pub fn wake(&self) {
        self.shared.workers[self.worker].woken.store(true, Ordering::SeqCst);
        self.shared.source().queues[self.worker].wake();
    }
}
