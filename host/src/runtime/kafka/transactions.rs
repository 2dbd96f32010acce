//! Exactly once: an interval is one transaction, which takes the offsets along.
//!
//! ```text
//!  begin → outputs, changelog records → offsets with the member's metadata → commit
//!            any of them fails: abort, the same again       no answer: unknown, resolved before anything else
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use millstream_core::record::Batch;
use millstream_kafka::config::Properties;
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_kafka::group_metadata::GroupMetadata;
use millstream_kafka::producer::{CommitError, ProduceError, Producer, State};
use tracing::{info, warn};

use super::member::Request;
use super::way::{CALL_WAIT, Failed, Highest, Leave, Offsets, RETRY_PAUSE, Way};

/// How often another producer may take over a committer's id, while the group still counts this host in, before the host ends:
/// both would go on doing so for ever.
pub const FENCES_MAX: usize = 5;

/// In which time, at the most, that happened.
const FENCES_WITHIN: Duration = Duration::from_secs(120);

/// Brokers end a transaction that takes longer than its time-out, which looks like a fence too. One that took this much less was
/// fenced by a producer.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(1);

/// What it is made from.
pub struct Parts {
    /// Of the client.
    pub properties: Properties,
    /// The worker's id as a producer.
    pub id: String,
    /// Bytes that may wait to be sent.
    pub queue_bytes: usize,
    /// The coordinating thread.
    pub member: Sender<Request>,
    /// The host is ending: nothing is waited for any more.
    pub ending: Arc<AtomicBool>,
}

/// See the module.
pub struct Transactions {
    parts: Parts,
    /// Made when it is first needed, which takes its id over.
    producer: Option<Producer>,
    /// Who the member was when the transaction was begun.
    group: Option<GroupMetadata>,
    /// When the transaction that is open was begun.
    begun: Instant,
    /// When other producers took the id over.
    fences: Vec<Instant>,
    /// The id is left to another host: one takeover more, and that one would end as well.
    left: bool,
}

impl Transactions {
    /// With no producer yet.
    pub fn new(parts: Parts) -> Self {
        Self { parts, producer: None, group: None, begun: Instant::now(), fences: Vec::new(), left: false }
    }

    /// The producer, its id taken over.
    fn producer(&mut self) -> Result<&mut Producer, KafkaError> {
        if self.left {
            return Err(KafkaError::Fatal("the transactional id is left to another host".into()));
        }
        if self.producer.is_none() {
            let Parts { properties, id, queue_bytes, .. } = &self.parts;
            self.producer = Some(Producer::new(properties, id, *queue_bytes)?);
        }
        let Some(producer) = &mut self.producer else { unreachable!("it was just made") };
        if producer.state() == State::New
            && let Err(why) = producer.init(CALL_WAIT)
        {
            if !matches!(why, KafkaError::Retry(_)) {
                self.producer = None;
            }
            return Err(why);
        }
        self.producer.as_mut().ok_or_else(|| KafkaError::Retry("there is no producer".into()))
    }

    /// The producer of the transaction that is open.
    fn open(&mut self) -> &mut Producer {
        self.producer.as_mut().expect("a transaction is open")
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.parts.properties.transaction_timeout_ms()))
    }

    fn not_committed(&mut self, why: CommitError) -> Failed {
        match why {
            CommitError::Failed { reason, unwritten } => match unwritten.iter().find(|u| u.refused) {
                // Tried again it would be refused again.
                Some(refused) => Failed::Fatal(format!("a record was refused: {}", refused.reason)),
                None => Failed::Again(reason),
            },
            // An earlier try of this commit may have been carried out: that shows when the token is compared.
            CommitError::Fenced { reason } => {
                self.taken(&reason);
                Failed::Unknown(reason)
            }
            CommitError::Unknown { reason } | CommitError::Fatal { reason } => Failed::Unknown(reason),
        }
    }
}

impl Way for Transactions {
    fn prepare(&mut self) -> Result<(), KafkaError> {
        self.producer().map(drop)
    }

    fn begin(&mut self, leave: &Leave<'_>) -> Result<(), Failed> {
        self.group = Some(leave.metadata()?);
        self.producer()?.begin()?;
        self.begun = Instant::now();
        Ok(())
    }

    fn produce(&mut self, to: &TopicPartition, batch: &Batch) -> Result<(), Failed> {
        let until = Instant::now() + self.timeout();
        let producer = self.open();
        let mut from = 0;
        loop {
            match producer.produce(to, batch, from, CALL_WAIT) {
                Ok(()) => return Ok(()),
                Err(ProduceError::Full { row }) if Instant::now() < until => from = row,
                Err(why @ ProduceError::Full { .. }) => return Err(Failed::Again(why.to_string())),
                Err(why @ ProduceError::Refused { .. }) => return Err(Failed::Fatal(why.to_string())),
                Err(ProduceError::Failed(why)) => return Err(why.into()),
            }
        }
    }

    /// Leave was had at the beginning: metadata from then can only have grown stale, and the broker refuses it.
    fn commit(&mut self, _: &Leave<'_>, offsets: &Offsets<'_>) -> Result<Highest, Failed> {
        let (offsets, timeout) = (offsets(None)?, self.timeout());
        let group = self.group.take().expect("a transaction is open");
        self.open().send_offsets(&offsets, &group, CALL_WAIT)?;
        match self.open().commit(timeout) {
            Ok(committed) => Ok(committed.highest),
            Err(why) => Err(self.not_committed(why)),
        }
    }

    /// The brokers take nothing more of the producer: another one has its id, or its transaction took too long.
    fn taken(&mut self, why: &str) {
        let id = &self.parts.id;
        if self.begun.elapsed() + TIMEOUT_MARGIN > self.timeout() {
            warn!(id, error = why, "fenced after as long as a transaction may take");
            return;
        }
        let now = Instant::now();
        self.fences.retain(|at| now.duration_since(*at) < FENCES_WITHIN);
        self.fences.push(now);
        let times = self.fences.len();
        warn!(
            id,
            times,
            error = why,
            "fenced: another producer has taken over this one's id; once that is what happens to a host that was out of its group, \
             again and again it means that another host runs with a copy of this state directory"
        );
        if times > FENCES_MAX {
            self.left = true;
            let text = format!(
                "another host runs with a copy of this host's state directory: each took over the transactional id `{id}` from the \
                 other again and again ({times} times in {} s); stop one of them and give it a directory of its own",
                FENCES_WITHIN.as_secs()
            );
            // One that has ended needs no telling.
            let _ended = self.parts.member.send(Request::Fail(text));
        }
    }

    fn abort(&mut self) {
        let Some(producer) = &mut self.producer else { return };
        let aborted = match producer.state() {
            State::Open | State::Failed | State::Aborting => producer.abort(CALL_WAIT),
            State::Ready | State::New => Ok(()),
            _ => Err(KafkaError::Fatal("it is of no more use".into())),
        };
        if let Err(why) = aborted {
            // A new one with the same id ends what is open.
            info!(id = self.parts.id, error = %why, "a new producer takes over");
            self.producer = None;
        }
    }

    fn find_out(&mut self, is_there: &dyn Fn() -> Result<bool, KafkaError>) -> (bool, Option<Highest>) {
        while let Some(producer) = self.producer.as_mut().filter(|p| p.may_resume()) {
            match producer.commit(CALL_WAIT) {
                Ok(committed) => return (true, Some(committed.highest)),
                Err(CommitError::Unknown { .. }) => {}
                Err(_) => break,
            }
        }
        // Its initialisation finishes or aborts what the old one left.
        self.producer = None;
        loop {
            match self.producer().map(|_| ()).and_then(|()| is_there()) {
                Ok(there) => return (there, None),
                Err(why) if self.left || self.parts.ending.load(Ordering::Relaxed) => {
                    warn!(error = %why, "ending; the next owner of the tasks finds out how the last commit ended");
                    return (false, None);
                }
                Err(why) => {
                    warn!(error = %why, "asking how the commit ended, trying again");
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn an_id_that_is_taken_again_and_again_is_left_to_the_other() {
        let given = [("bootstrap.servers".to_string(), "127.0.0.1:9".to_string())];
        let properties = Properties::new(given.into()).unwrap();
        let (member, told) = channel();
        let ending = Arc::new(AtomicBool::new(false));
        let mut way = Transactions::new(Parts { properties, id: "p-h-0".into(), queue_bytes: 0, member, ending });
        (0..FENCES_MAX).for_each(|_| way.taken("fenced"));
        assert!(!way.left && told.try_recv().is_err(), "it may be a host that was out of its group");
        way.taken("fenced");
        assert!(matches!(told.try_recv(), Ok(Request::Fail(why)) if why.contains("`p-h-0`")));
        assert!(matches!(way.prepare(), Err(KafkaError::Fatal(why)) if why.contains("left to another host")));
        assert_eq!(way.find_out(&|| panic!("nothing is asked any more")), (false, None));
    }
}
