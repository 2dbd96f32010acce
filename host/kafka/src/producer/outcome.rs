//! How handing in a record and committing a transaction can fail, by duty, and what librdkafka's errors are of that.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::error::{KafkaError, is_fenced};
use crate::native::Failure;

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
    /// Which call of [`produce`](super::Producer::produce) of the transaction, from 0.
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
    /// It was never asked for, so nothing was or will be visible. [Abort](super::Producer::abort), then produce the same again; records
    /// in `unwritten` that are refused go the way of their sink's `on-error` first.
    #[error("the transaction must be aborted: {reason}")]
    Failed {
        /// Why.
        reason: String,
        /// Records that were not written, up to some.
        unwritten: Vec<Unwritten>,
    },
    /// The offsets that were [started](super::Producer::start_offsets) were not added, so the commit was never asked for. The error says
    /// what is to be done.
    #[error("{0}")]
    Offsets(KafkaError),
    /// No answer: it is there or not. [Commit](super::Producer::commit) again while it [may resume](super::Producer::may_resume); then
    /// make a new producer with the same id, whose [initialisation](super::Producer::init) ends the transaction one way or the other;
    /// then read the group's stable offsets and compare the token in their metadata.
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

/// What the end of a transaction came to instead of success.
pub(super) enum Outcome {
    /// Asked again it goes on.
    NoAnswer,
    Fenced,
    Fatal,
}

/// librdkafka's rdkafka_txnmgr.c, `rd_kafka_txn_handle_EndTxn`: a request without an answer is sent again until the call's time is
/// over, then the call is *retriable*; a stale epoch is *fatal*, whether another producer raised it or the broker because the
/// transaction took too long; a commit that succeeded although the client had given the transaction up is *fatal* as well, and one
/// that failed then *requires abort*. The last two are why nothing but success and the token can tell what became of a commit.
pub(super) fn outcome(failure: &Failure) -> Outcome {
    match failure {
        Failure { fatal: true, code, .. } if is_fenced(*code) => Outcome::Fenced,
        Failure { retriable: true, .. } => Outcome::NoAnswer,
        // Required or not, an abort would hide a commit that was carried out: librdkafka may end it by taking a new epoch.
        _ => Outcome::Fatal,
    }
}

/// Whether a record can never be written; otherwise time was up, or another record failed first.
pub(super) fn is_refused(code: Code) -> bool {
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
