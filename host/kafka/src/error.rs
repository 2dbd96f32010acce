//! What failed at the broker or the client, by what the receiver must do. librdkafka's codes end here.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::native::Failure;

/// An error of the client, by the duty of who receives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KafkaError {
    /// Nothing has happened; the same may be tried again, later.
    #[error("{0}")]
    Retry(String),
    /// The transaction must be aborted; afterwards the same may be tried again.
    #[error("the transaction must be aborted: {0}")]
    Abort(String),
    /// Somebody else has taken over, or the broker has given this producer or member up: nothing of it may be used any more.
    #[error("fenced: {0}")]
    Fenced(String),
    /// It happened or it did not: to be resolved before anything else.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// What was asked can never be right: a wrong setting, a missing permission, a record that is refused.
    #[error("{0}")]
    Refused(String),
    /// The principal may not do it; its administrator can allow it, or do it, with these commands.
    #[error("{what}; with the rights for it, run:\n  {}", commands.join("\n  "))]
    Forbidden {
        /// What was refused.
        what: String,
        /// Lines for a shell, in Kafka's `bin` folder.
        commands: Vec<String>,
    },
    /// The client or its data is in a state that trying again cannot mend.
    #[error("{0}")]
    Fatal(String),
}

/// Asked for again, it may well work: something is on its way up, down or elsewhere.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::QueueFull
            | Code::Retry
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotController
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::RebalanceInProgress
            | Code::KafkaStorageError
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::ThrottlingQuotaExceeded
            // "No leaders found", which a topic has that is new, or is not there.
            | Code::NoEnt
    )
}

/// The principal may not do it.
pub(crate) fn is_forbidden(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::DelegationTokenAuthorizationFailed
    )
}

/// Another producer or member has this one's identity, or the broker has given it up. A transaction that the broker ended because
/// it took too long looks the same: it raises the epoch (librdkafka's rdkafka_txnmgr.c makes one code of both,
/// `rd_kafka_txn_normalize_err`).
pub(crate) fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::TransactionCoordinatorFenced
    )
}

/// What was asked for is wrong, and stays so until somebody changes it.
fn is_wrong(code: Code) -> bool {
    is_forbidden(code)
        || matches!(
            code,
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::SSL
                | Code::InvalidArgument
                | Code::NotConfigured
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicOrPartition
                | Code::InvalidTopic
                | Code::TopicAlreadyExists
                | Code::InvalidPartitions
                | Code::InvalidReplicationFactor
                | Code::InvalidReplicaAssignment
                | Code::InvalidConfig
                | Code::InvalidRequest
                | Code::PolicyViolation
                | Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidTimestamp
                | Code::InvalidRecord
                | Code::OffsetMetadataTooLarge
                | Code::OffsetOutOfRange
                | Code::InvalidTransactionTimeout
                | Code::InvalidGroupId
                | Code::GroupIdNotFound
                | Code::TopicDeletionDisabled
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
        )
}

impl KafkaError {
    /// What an error outside of a transaction's end means. `doing` is a verb phrase, for the text.
    pub(crate) fn of(doing: &str, failure: &Failure) -> Self {
        let text = format!("{doing}: {}", failure.text);
        match failure.code {
            code if is_fenced(code) => Self::Fenced(text),
            code if is_wrong(code) => Self::Refused(text),
            _ if failure.fatal => Self::Fatal(text),
            _ if failure.abort => Self::Abort(text),
            code if failure.retriable || is_passing(code) => Self::Retry(text),
            _ => Self::Fatal(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: Code, mark: impl FnOnce(&mut Failure)) -> KafkaError {
        let mut failure = Failure::of(code, "why".into());
        mark(&mut failure);
        KafkaError::of("do it", &failure)
    }

    #[test]
    fn codes_become_duties() {
        let text = || "do it: why".to_string();
        assert_eq!(error(Code::NotCoordinator, |_| ()), KafkaError::Retry(text()));
        assert_eq!(error(Code::Unknown, |f| f.retriable = true), KafkaError::Retry(text()));
        assert_eq!(error(Code::Unknown, |_| ()), KafkaError::Fatal(text()));
        assert_eq!(error(Code::IllegalGeneration, |f| f.abort = true), KafkaError::Abort(text()));
        // A stale producer is fenced however the client flags it, and a missing permission is told as one.
        assert_eq!(error(Code::InvalidProducerEpoch, |f| f.abort = true), KafkaError::Fenced(text()));
        assert_eq!(error(Code::Fenced, |f| f.fatal = true), KafkaError::Fenced(text()));
        assert_eq!(error(Code::TopicAuthorizationFailed, |f| f.abort = true), KafkaError::Refused(text()));
        assert_eq!(error(Code::OperationTimedOut, |f| f.fatal = true), KafkaError::Fatal(text()));
    }
}
