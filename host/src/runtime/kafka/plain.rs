//! At least once: an interval's records are written without a transaction, so that they can be read at once, and its offsets are
//! committed when all of them are there.
//!
//! ```text
//!  outputs, changelog records → all reported as written → offsets, while the token is good
//!        one is not: the same again, by another producer    no answer, or the group has moved on: the same offsets again,
//!                                                           as long as the tasks are this host's
//! ```
//!
//! So results come twice when an interval is made again, here or by who gets its tasks. The state does not: beside the offsets stands
//! how much of its changelogs belongs to them, and what lies behind that is undone where the task is opened again ([`super::repair`]).
//! Otherwise what the interval had closed would be closed again with less in it. Nothing fences a host that was
//! stopped in the middle of writing; what it still has of a changelog it gives up after the time that a transaction may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_core::record::Batch;
use millstream_kafka::config::Properties;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::producer::plain::PlainProducer;
use millstream_kafka::producer::{OffsetToCommit, ProduceError};
use tracing::{info, warn};

use super::way::{CALL_WAIT, Failed, Highest, Leave, Offsets, RETRY_PAUSE, Way};

/// How long one look for an answer takes.
const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// What it is made from.
pub struct Parts {
    /// Of the client.
    pub properties: Properties,
    /// Bytes that may wait to be sent.
    pub queue_bytes: usize,
    /// The pipeline's changelogs.
    pub changelogs: Vec<String>,
    /// The host is ending: nothing is waited for any more.
    pub ending: Arc<AtomicBool>,
}

/// See the module.
pub struct Plain {
    parts: Parts,
    producer: Option<PlainProducer>,
    /// When the interval was begun.
    begun: Instant,
}

impl Plain {
    /// With no producer yet.
    pub fn new(parts: Parts) -> Self {
        Self { parts, producer: None, begun: Instant::now() }
    }

    fn producer(&mut self) -> Result<&mut PlainProducer, KafkaError> {
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => {
                let mut producer = PlainProducer::new(&self.parts.properties, self.parts.queue_bytes)?;
                let time = self.timeout();
                self.parts.changelogs.iter().try_for_each(|topic| producer.give_up_after(topic, time))?;
                producer
            }
        };
        Ok(self.producer.insert(producer))
    }

    /// How long an interval's records may take to be written, and the brokers to answer.
    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.parts.properties.transaction_timeout_ms()))
    }

    fn left(&self) -> Duration {
        self.timeout().saturating_sub(self.begun.elapsed())
    }

    /// Commits offsets as often as it takes.
    fn offsets(&self, leave: &Leave<'_>, offsets: &[OffsetToCommit]) -> Result<(), Failed> {
        loop {
            let committing = leave.under_token(|token| Ok(leave.ownership.commit(token, offsets)?))?;
            let ended = loop {
                match committing.wait(ANSWER_WAIT) {
                    Some(ended) => break ended,
                    None if self.ends() => {
                        return Err(Failed::Again("the host ends; the next owner makes it again".into()));
                    }
                    None => {}
                }
            };
            match ended {
                Ok(()) => return Ok(()),
                // Once more does no harm; whether this host still may is looked at first.
                Err(KafkaError::Abort(why) | KafkaError::Unknown(why) | KafkaError::Retry(why)) if !self.ends() => {
                    info!(reason = why, "the offsets are committed again, if the tasks are still this host's");
                    std::thread::sleep(RETRY_PAUSE);
                }
                Err(KafkaError::Fenced(why) | KafkaError::Fatal(why)) => return Err(Failed::Fenced(why)),
                Err(why) => return Err(why.into()),
            }
        }
    }

    fn ends(&self) -> bool {
        self.parts.ending.load(Ordering::Relaxed) && self.begun.elapsed() > CALL_WAIT
    }
}

impl Way for Plain {
    fn prepare(&mut self) -> Result<(), KafkaError> {
        self.producer().map(drop)
    }

    fn begin(&mut self, leave: &Leave<'_>) -> Result<(), Failed> {
        leave.metadata()?;
        self.begun = Instant::now();
        self.producer()?.begin();
        Ok(())
    }

    fn produce(&mut self, to: &TopicPartition, batch: &Batch) -> Result<(), Failed> {
        let wait = self.left();
        let produced = self.producer()?.produce(to, batch, 0, wait);
        produced.map_err(|why| match why {
            ProduceError::Full { .. } => Failed::Again(why.to_string()),
            ProduceError::Refused { .. } => Failed::Fatal(why.to_string()),
            ProduceError::Failed(why) => why.into(),
        })
    }

    fn commit(&mut self, leave: &Leave<'_>, offsets: &Offsets<'_>) -> Result<Highest, Failed> {
        let wait = self.left();
        let highest = self.producer()?.flush(wait)?.highest;
        self.offsets(leave, &offsets(Some(&highest))?)?;
        Ok(highest)
    }

    /// Nobody can take over what has no name.
    fn taken(&mut self, why: &str) {
        warn!(error = why, "the host's place in its group is somebody else's");
    }

    /// What is on its way may still be written, in front of what another producer writes.
    fn abort(&mut self) {
        self.producer = None;
    }

    /// Not asked for: an unknown commit of offsets is made again until it is known. If it were, made again it does no harm.
    fn find_out(&mut self, _: &dyn Fn() -> Result<bool, KafkaError>) -> (bool, Option<Highest>) {
        (false, None)
    }
}
