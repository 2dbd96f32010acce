//! A worker's producer without transactions, for results at least once: columns go out and can be read at once. A round of them is
//! there when every record is reported as written; what follows from that, offsets above all, is the caller's.
//!
//! What comes out of a partition begins with whole batches in the order in which they were handed in, without a gap: readers of
//! repartition topics rely on it, as a marker of a task's time says that all before it is there. So a record is never given up in
//! front of others (no time-out, and librdkafka's `enable.gapless.guarantee` for what a broker refuses): whoever has waited long
//! enough drops the producer with all that it still has, and begins again with another. Only topics named with
//! [`PlainProducer::give_up_after`] are without that promise.

use std::fmt;
use std::time::{Duration, Instant};

use millstream_core::record::Batch;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::{Committed, FULL_POLL, ProduceError, is_refused};
use crate::config::Properties;
use crate::error::KafkaError;
use crate::fetch::TopicPartition;
use crate::native::{self, Failure, NotTaken};

/// A flush looks this often whether there is still something to wait for.
const LOOK: Duration = Duration::from_millis(200);

/// How long the report of a record is waited for that has broken the client.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// See the module. After any error it is of no more use.
pub struct PlainProducer {
    native: native::Producer,
    /// Calls of [`PlainProducer::produce`] since the round began.
    calls: u32,
}

impl PlainProducer {
    /// A producer; nothing is asked of a broker yet. `queue_bytes` bounds what waits to be sent.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] when the client cannot be made with these properties.
    pub fn new(properties: &Properties, queue_bytes: usize) -> Result<Self, KafkaError> {
        Ok(Self { native: native::Producer::new(&properties.plain_producer(queue_bytes))?, calls: 0 })
    }

    /// Records of this topic that cannot be written within `time` are given up, so that a host that was stopped for longer writes
    /// nothing of them when it goes on. Before the first of them is produced.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] for what is no topic's name.
    pub fn give_up_after(&mut self, topic: &str, time: Duration) -> Result<(), KafkaError> {
        self.native.give_up_after(topic, time).map_err(|failure| KafkaError::of("produce", &failure))
    }

    /// Begins a round: what was reported before is forgotten.
    pub fn begin(&mut self) {
        self.native.clear_reports();
        self.calls = 0;
    }

    /// Sends the rows of a batch from `from` on to one partition. Waits up to `timeout` for room in the queue.
    ///
    /// A timestamp of exactly 0 is written as 1: librdkafka's 0 means "now".
    ///
    /// # Errors
    /// See [`ProduceError`]; [`ProduceError::Failed`] is a [`KafkaError::Retry`] where another producer may have more luck.
    pub fn produce(
        &mut self,
        to: &TopicPartition,
        batch: &Batch,
        from: usize,
        timeout: Duration,
    ) -> Result<(), ProduceError> {
        let deadline = Instant::now() + timeout;
        let mut from = from;
        loop {
            let taken = self.native.produce(&to.topic, to.partition, batch, from, self.calls);
            let NotTaken { row, failure } = match taken {
                Ok(()) => {
                    self.calls += 1;
                    return Ok(());
                }
                Err(not_taken) => not_taken,
            };
            from = row;
            match failure.code {
                Code::QueueFull if Instant::now() < deadline => self.native.poll(FULL_POLL),
                Code::QueueFull => return Err(ProduceError::Full { row }),
                _ if failure.fatal || self.native.fatal().is_some() => {
                    return Err(ProduceError::Failed(self.broken().unwrap_or(KafkaError::Retry(failure.text))));
                }
                _ => return Err(ProduceError::Refused { row, reason: format!("{to}: {}", failure.text) }),
            }
        }
    }

    /// Waits until every record of the round is written.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] when time is up, or a record was given up: some of them are there, some are not, some may still come.
    /// [`KafkaError::Refused`] when a broker refuses a record, which it would do again.
    pub fn flush(&mut self, timeout: Duration) -> Result<Committed, KafkaError> {
        let deadline = Instant::now() + timeout;
        let all_known = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // What waits behind a record that was refused is never sent.
            match self.native.flush(left.min(LOOK)) {
                false if left > LOOK && self.native.fatal().is_none() => {}
                all_known => break all_known,
            }
        };
        if let Some(error) = self.broken() {
            return Err(error);
        }
        if all_known {
            Ok(Committed { highest: self.native.highest() })
        } else {
            Err(KafkaError::Retry(format!("not all records were written within {} ms", timeout.as_millis())))
        }
    }

    /// Why not all records of the round can be there.
    fn broken(&mut self) -> Option<KafkaError> {
        let fatal = self.native.fatal();
        if fatal.is_some() {
            // Which record it is about is reported a little later.
            let deadline = Instant::now() + REPORT_WAIT;
            while self.native.reports().failed.is_empty() && Instant::now() < deadline {
                self.native.poll(FULL_POLL);
            }
        }
        let reports = self.native.reports();
        // What was refused first, not what failed because of it.
        let first = reports.failed.iter().find(|f| is_refused(f.code)).or(reports.failed.first());
        let failure = first.map(|f| Failure::of(f.code, String::new())).or(fatal)?;
        let count = reports.failed_count;
        Some(if is_refused(failure.code) {
            KafkaError::Refused(format!("{count} records were refused, the first: {}", failure.text))
        } else {
            KafkaError::Retry(format!("{count} records were not written, the first: {}", failure.text))
        })
    }
}

impl fmt::Debug for PlainProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainProducer").field("calls", &self.calls).finish_non_exhaustive()
    }
}
