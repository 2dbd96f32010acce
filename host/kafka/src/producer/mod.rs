//! A worker's transactional producer: columns go out, offsets go with them, both become visible at once or not at all. What is in a
//! transaction and what follows from its outcome is decided by the caller; nothing here is retried behind its back.
//!
//! Calls may block up to the time they are given: they belong on a thread that nothing else waits for.

mod lifecycle;
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
use crate::native::{self, Failure, NativeGroup, NotTaken};

pub use lifecycle::State;

use lifecycle::Event;

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

/// Why a batch was not taken as a whole. The rows before the one that is named are on their way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// This row can never be written. To leave it out, go on with the rows behind it.
    #[error("row {row} is refused: {reason}")]
    Refused {
        /// The row.
        row: usize,
        /// Why.
        reason: String,
    },
    /// The queue stayed full as long as it was to be waited for. Go on with this row, later.
    #[error("the queue to the brokers is still full at row {row}")]
    Full {
        /// The row.
        row: usize,
    },
    /// No more can be added: [`KafkaError::Abort`], [`KafkaError::Fenced`] or [`KafkaError::Fatal`].
    #[error("{0}")]
    Failed(KafkaError),
}

/// A record that a broker refused, or that could not be written in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwritten {
    /// Which call of [`Producer::produce`] of the transaction, from 0.
    pub call: u32,
    /// Its row in that call's batch. A broker refuses requests, so its neighbours may be named with it.
    pub row: u32,
    /// Whether it can never be written; otherwise time was up.
    pub refused: bool,
    /// Why.
    pub reason: String,
}

/// A commit that did not come to be, by duty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It was never asked for, so nothing was or will be visible. [`Producer::abort`], then produce the same again; records in
    /// `unwritten` that are refused go the way of their sink's `on-error` first.
    #[error("the transaction must be aborted: {reason}")]
    Failed {
        /// Why.
        reason: String,
        /// Records that were not written, up to some.
        unwritten: Vec<Unwritten>,
    },
    /// No answer: it is there or not. Call [`Producer::commit`] again while [`Producer::may_resume`]; then make a new producer with
    /// the same id, whose [`Producer::init`] ends the transaction one way or the other; then read the group's stable offsets and
    /// compare the token in their metadata.
    #[error("the outcome is not known: {reason}")]
    Unknown {
        /// Why.
        reason: String,
    },
    /// Another producer has this id, or the transaction took too long and the broker ended it: both look the same. This producer is
    /// of no more use. Still a member with the same ownership: a new producer with the same id, and before anything is produced
    /// again the token is compared as for `Unknown`, since an earlier try of this commit may have been carried out. Otherwise the
    /// tasks are given up.
    #[error("fenced: {reason}")]
    Fenced {
        /// Why.
        reason: String,
    },
    /// This producer is of no more use for another reason, such as a permission that was taken away. The token is compared before
    /// anything is produced again.
    #[error("{reason}")]
    Fatal {
        /// Why.
        reason: String,
    },
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

    /// Adds offsets to the transaction, in the name of a member of the group.
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
        self.expect("send offsets", &[State::Open])?;
        if !group.is_member() {
            return Err(KafkaError::Refused(format!(
                "offsets of group `{}` are committed by its members only, and this is none",
                group.group()
            )));
        }
        let list = list(offsets)?;
        let wrong = || KafkaError::Refused("names of groups, members and topics have no zero byte".into());
        let native = NativeGroup::new(group).ok_or_else(wrong)?;
        let Some(sent) = self.native.send_offsets(list, native, timeout) else {
            self.go(Event::GivenUp);
            let group = group.group();
            return Err(KafkaError::Abort(format!("send offsets: the coordinator of group `{group}` did not answer")));
        };
        sent.map_err(|failure| self.failed("send offsets", &failure))
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

    /// Waits until every record is written, or the transaction has failed.
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

/// What the end of a transaction came to instead of success.
enum Outcome {
    /// Asked again it goes on.
    NoAnswer,
    Fenced,
    Fatal,
}

/// librdkafka's rdkafka_txnmgr.c, `rd_kafka_txn_handle_EndTxn`: a request without an answer is sent again until the call's time is
/// over, then the call is *retriable*; a stale epoch is *fatal*, whether another producer raised it or the broker because the
/// transaction took too long; a commit that succeeded although the client had given the transaction up is *fatal* as well, and one
/// that failed then *requires abort*. The last two are why nothing but success and the token can tell what became of a commit.
fn outcome(failure: &Failure) -> Outcome {
    match failure {
        Failure { fatal: true, code, .. } if is_fenced(*code) => Outcome::Fenced,
        Failure { retriable: true, .. } => Outcome::NoAnswer,
        // Required or not, an abort would hide a commit that was carried out: librdkafka may end it by taking a new epoch.
        _ => Outcome::Fatal,
    }
}

/// Whether a record can never be written; otherwise time was up, or another record failed first.
fn is_refused(code: Code) -> bool {
    !matches!(
        code,
        Code::MessageTimedOut
            | Code::PurgeQueue
            | Code::PurgeInflight
            // Because of another record.
            | Code::GaplessGuarantee
            | Code::Fatal
            | Code::OutOfOrderSequenceNumber
            | Code::BrokerTransportFailure
            | Code::Inconsistent
    ) && !crate::error::is_passing(code)
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
