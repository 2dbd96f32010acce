//! A worker's transactional producer: columns go out, offsets go with them, both become visible at once or not at all. What is in a
//! transaction and what follows from its outcome is decided by the caller; nothing here is retried behind its back.
//!
//! Calls may block up to the time they are given: they belong on a thread that nothing else waits for.

mod lifecycle;
mod outcome;
pub mod plain;

use std::fmt;
use std::time::{Duration, Instant};

use millstream_core::record::Batch;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::Properties;
use crate::error::{KafkaError, is_fenced};
use crate::fetch::TopicPartition;
use crate::group_metadata::GroupMetadata;
use crate::native::{self, Failure, NativeGroup, NotTaken, Sending};

pub use lifecycle::State;
pub use outcome::{CommitError, ProduceError, Unwritten};

use lifecycle::Event;
use outcome::{Outcome, is_refused, outcome};

/// How often reports are looked for while the queue is full.
const FULL_POLL: Duration = Duration::from_millis(10);
/// Bytes of an offset's metadata that brokers take by default (`offset.metadata.max.bytes`).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;

/// See the module.
pub struct Producer {
    native: native::Producer,
    id: String,
    state: State,
    /// Calls of [`Producer::produce`] since the transaction began.
    calls: u32,
    /// Offsets that were not answered yet.
    sending: Option<Sending>,
    /// When the commit was first asked for.
    commit_began: Option<Instant>,
    transaction_timeout: Duration,
}

/// A next offset to be committed with the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The partition.
    pub partition: TopicPartition,
    /// Offset of the next record to be read.
    pub offset: i64,
    /// Kept beside the offset, UTF-8, at most [`OFFSET_METADATA_BYTES_MAX`].
    pub metadata: String,
}

/// A committed transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Highest offset of the transaction's records in each partition, as the brokers reported them; the marker of its end lies
    /// behind. By partition.
    pub highest: Vec<(TopicPartition, i64)>,
}

impl Producer {
    /// A producer; nothing is asked of a broker yet. `queue_bytes` bounds what waits to be sent.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] when the client cannot be made with these properties.
    pub fn new(properties: &Properties, transactional_id: &str, queue_bytes: usize) -> Result<Self, KafkaError> {
        Ok(Self {
            native: native::Producer::new(&properties.producer(transactional_id, queue_bytes))?,
            id: transactional_id.into(),
            state: State::New,
            calls: 0,
            sending: None,
            commit_began: None,
            transaction_timeout: Duration::from_millis(u64::from(properties.transaction_timeout_ms())),
        })
    }

    /// Its transactional id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes the id over: fences who has it, and ends their open transaction, which is aborted unless its commit was already under
    /// way. Once for each producer.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: call it again, it goes on; [`KafkaError::Refused`] for a missing permission or a transaction time-out
    /// beyond the brokers' (`transaction.max.timeout.ms`).
    pub fn init(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        self.expect("initialise", &[State::New])?;
        match self.native.init(timeout) {
            Ok(()) => self.go(Event::Initialised),
            Err(failure) => return Err(self.failed("initialise the transactional id", &failure)),
        }
        Ok(())
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// [`KafkaError::Fenced`], [`KafkaError::Fatal`].
    pub fn begin(&mut self) -> Result<(), KafkaError> {
        self.expect("begin a transaction", &[State::Ready])?;
        self.native.clear_reports();
        self.calls = 0;
        self.commit_began = None;
        match self.native.begin() {
            Ok(()) => self.go(Event::Begun),
            Err(failure) => return Err(self.failed("begin a transaction", &failure)),
        }
        Ok(())
    }

    /// Adds the rows of a batch from `from` on to the transaction, for one partition. Waits up to `timeout` for room in the queue.
    ///
    /// A timestamp of exactly 0 is written as 1: librdkafka's 0 means "now".
    ///
    /// # Errors
    /// See [`ProduceError`].
    pub fn produce(
        &mut self,
        to: &TopicPartition,
        batch: &Batch,
        from: usize,
        timeout: Duration,
    ) -> Result<(), ProduceError> {
        self.expect("produce", &[State::Open]).map_err(ProduceError::Failed)?;
        let deadline = Instant::now() + timeout;
        let mut from = from;
        loop {
            let NotTaken { row, failure } = match self.native.produce(&to.topic, to.partition, batch, from, self.calls)
            {
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
                    return Err(ProduceError::Failed(self.failed("produce", &failure)));
                }
                // The client takes no more records once the transaction cannot be committed, and says why only at its end.
                Code::State => {
                    self.go(Event::Broken);
                    return Err(ProduceError::Failed(KafkaError::Abort(failure.text)));
                }
                _ => return Err(ProduceError::Refused { row, reason: format!("{to}: {}", failure.text) }),
            }
        }
    }

    /// Takes delivery reports that are there, so that the queue has room again.
    pub fn poll(&mut self) {
        self.native.poll(Duration::ZERO);
    }

    /// Adds offsets to the transaction, in the name of a member of the group, and waits until they are.
    ///
    /// # Errors
    /// [`KafkaError::Abort`] also when the group has moved on (an older generation, an unknown member): an ordinary thing when
    /// another host joins; and when there is no answer in time: then this producer is dead, and a new one with its id ends the
    /// transaction. [`KafkaError::Refused`] when `group` stands for no member, for which brokers would check nothing, and for
    /// metadata that is too long. [`KafkaError::Retry`], [`KafkaError::Fenced`], [`KafkaError::Fatal`].
    pub fn send_offsets(
        &mut self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        self.start_offsets(offsets, group, timeout)?;
        self.offsets_answered()
    }

    /// The same without waiting: records may be added while brokers add the offsets, which takes them two answers, and how that went is
    /// told by [`Producer::commit`]. Once in a transaction.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] as for [`Producer::send_offsets`].
    pub fn start_offsets(
        &mut self,
        offsets: &[OffsetToCommit],
        group: &GroupMetadata,
        timeout: Duration,
    ) -> Result<(), KafkaError> {
        self.expect("send offsets", &[State::Open])?;
        if !group.is_member() {
            return Err(KafkaError::Refused(format!(
                "offsets of group `{}` are committed by its members only, and this is none",
                group.group()
            )));
        }
        self.offsets_answered()?;
        let list = list(offsets)?;
        let wrong = || KafkaError::Refused("names of groups, members and topics have no zero byte".into());
        let native = NativeGroup::new(group).ok_or_else(wrong)?;
        let started = self.native.send_offsets(list, native, timeout);
        self.sending = Some(started.map_err(|failure| self.failed("send offsets", &failure))?);
        Ok(())
    }

    /// Waits for the answer to offsets that are on their way.
    fn offsets_answered(&mut self) -> Result<(), KafkaError> {
        let Some(sending) = self.sending.take() else { return Ok(()) };
        let Some(answer) = sending.answer() else {
            self.go(Event::GivenUp);
            return Err(KafkaError::Abort("send offsets: the group's coordinator did not answer".into()));
        };
        answer.map_err(|failure| self.failed("send offsets", &failure))
    }

    /// Commits the transaction. In [`State::Unknown`] it asks again, which resumes.
    ///
    /// Until all records are written the commit is not asked for. Where that takes longer than `timeout`, the transaction has
    /// failed: give it the transaction's time-out.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&mut self, timeout: Duration) -> Result<Committed, CommitError> {
        let allowed = [State::Open, State::Failed, State::Unknown];
        self.expect("commit", &allowed).map_err(|e| CommitError::Fatal { reason: e.to_string() })?;
        let deadline = Instant::now() + timeout;
        match self.state {
            State::Unknown => self.go(Event::AskedAgain),
            State::Failed => return Err(self.not_written("it had failed before")),
            _ => {
                self.go(Event::EndWanted);
                self.write_all(timeout)?;
            }
        }
        self.commit_began.get_or_insert_with(Instant::now);
        let failure = match self.native.commit(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => {
                self.go(Event::Done);
                return Ok(Committed { highest: self.native.highest() });
            }
            Err(failure) => failure,
        };
        let reason = failure.text.clone();
        Err(match outcome(&failure) {
            // The commit may have been carried out by an earlier try that was not answered, also when this one is told that
            // nothing can come of it; so it is never taken as aborted.
            Outcome::NoAnswer => {
                self.go(Event::NoAnswer);
                CommitError::Unknown { reason }
            }
            Outcome::Fenced => {
                self.go(Event::GivenUp);
                CommitError::Fenced { reason }
            }
            Outcome::Fatal => {
                self.go(Event::GivenUp);
                CommitError::Fatal { reason }
            }
        })
    }

    /// Waits until every record is written and the offsets are added, or the transaction has failed.
    fn write_all(&mut self, timeout: Duration) -> Result<(), CommitError> {
        let all_known = self.native.flush(timeout);
        if let Some(fatal) = self.native.fatal() {
            self.go(Event::GivenUp);
            let reason = fatal.text;
            return Err(if is_fenced(fatal.code) {
                CommitError::Fenced { reason }
            } else {
                CommitError::Fatal { reason }
            });
        }
        if !all_known {
            self.go(Event::Broken);
            return Err(self.not_written("not all records were written in time"));
        }
        if self.native.reports().failed_count > 0 {
            self.go(Event::Broken);
            return Err(self.not_written("not all records were written"));
        }
        if let Err(why) = self.offsets_answered() {
            if self.state == State::Flushing {
                self.go(Event::Broken);
            }
            return Err(CommitError::Offsets(why));
        }
        self.go(Event::AllWritten);
        Ok(())
    }

    fn not_written(&mut self, what: &str) -> CommitError {
        let reports = self.native.reports();
        let unwritten: Vec<_> = reports
            .failed
            .iter()
            .map(|f| Unwritten { call: f.call, row: f.row, refused: is_refused(f.code), reason: f.code.to_string() })
            .collect();
        let reason = match unwritten.first() {
            Some(first) => format!("{what}: {} of them, the first: {}", reports.failed_count, first.reason),
            None => what.into(),
        };
        CommitError::Failed { reason, unwritten }
    }

    /// Whether asking for the commit again can bring an answer: the transaction's time-out is not over.
    pub fn may_resume(&self) -> bool {
        let within = |began: Instant| began.elapsed() < self.transaction_timeout;
        self.state == State::Unknown && self.commit_began.is_some_and(within)
    }

    /// Aborts the transaction: nothing of it will be visible.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]: call it again, it goes on. [`KafkaError::Fenced`], [`KafkaError::Fatal`]: a new producer's
    /// [`Producer::init`] does it.
    pub fn abort(&mut self, timeout: Duration) -> Result<(), KafkaError> {
        self.expect("abort", &[State::Open, State::Failed, State::Aborting])?;
        // librdkafka does one thing at a time with a transaction. What became of the offsets is of no importance now.
        let _aborted_with_the_rest = self.offsets_answered();
        self.expect("abort", &[State::Open, State::Failed, State::Aborting])?;
        if self.state != State::Aborting {
            self.go(Event::AbortWanted);
        }
        match self.native.abort(timeout) {
            Ok(()) => {
                self.go(Event::Done);
                Ok(())
            }
            Err(failure) if failure.fatal || self.native.fatal().is_some() => {
                Err(self.failed("abort the transaction", &failure))
            }
            // Also where librdkafka asks for an abort: it has begun anew with this one (`rd_kafka_txn_handle_EndTxn`).
            Err(failure) => {
                self.go(Event::NoAnswer);
                Err(KafkaError::Retry(format!("abort the transaction: {}", failure.text)))
            }
        }
    }

    /// The duty that follows from a failure, and the state.
    fn failed(&mut self, doing: &str, failure: &Failure) -> KafkaError {
        // A call that finds the client given up is told so, whatever its own trouble was.
        let fatal = self.native.fatal();
        let error = KafkaError::of(doing, fatal.as_ref().unwrap_or(failure));
        if fatal.is_some() || failure.fatal {
            self.go(Event::GivenUp);
        } else if failure.abort && self.state == State::Open {
            self.go(Event::Broken);
        }
        error
    }

    fn go(&mut self, event: Event) {
        let next = self.state.after(event);
        self.state = next.unwrap_or_else(|| panic!("producer {}: {event:?} in state {:?}", self.id, self.state));
    }

    fn expect(&self, doing: &str, allowed: &[State]) -> Result<(), KafkaError> {
        if allowed.contains(&self.state) {
            return Ok(());
        }
        let why = self.native.fatal().map(|f| format!(": {}", f.text)).unwrap_or_default();
        Err(KafkaError::Fatal(format!("producer {} cannot {doing} in state {:?}{why}", self.id, self.state)))
    }
}

/// Offsets as the client takes them.
///
/// # Errors
/// [`KafkaError::Refused`] for metadata that is too long.
pub(crate) fn list(offsets: &[OffsetToCommit]) -> Result<TopicPartitionList, KafkaError> {
    if let Some(long) = offsets.iter().find(|o| o.metadata.len() > OFFSET_METADATA_BYTES_MAX) {
        let (partition, bytes) = (&long.partition, long.metadata.len());
        return Err(KafkaError::Refused(format!(
            "the metadata of {partition} has {bytes} bytes; brokers take {OFFSET_METADATA_BYTES_MAX}"
        )));
    }
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for one in offsets {
        let mut element = list.add_partition(&one.partition.topic, one.partition.partition);
        element.set_offset(Offset::Offset(one.offset)).map_err(|e| KafkaError::Refused(e.to_string()))?;
        element.set_metadata(&one.metadata);
    }
    Ok(list)
}

/// Ends what is open under a transactional id, and fences who has it: for ids that a state directory ever used, and those of dead
/// hosts. An open transaction would hold up all read-committed readers until its time-out.
///
/// # Errors
/// As [`Producer::init`].
pub fn end_dangling(properties: &Properties, transactional_id: &str, timeout: Duration) -> Result<(), KafkaError> {
    Producer::new(properties, transactional_id, 0)?.init(timeout)
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}
