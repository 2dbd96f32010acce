//! A commit of offsets that is on its way, outside of any transaction. Whether it may be made is the ownership token's affair, and
//! what was to be written before it the caller's.
//!
//! librdkafka makes such a commit in the name of who its member is when its turn comes, not of who it was when it was asked for, and
//! keeps one back while the group's coordinator is away. So it is asked for within the token's critical section: the client is
//! told to unassign after that, and neither gives a member up nor joins again while commits are unanswered
//! (rdkafka_assignment.c, `rd_kafka_assignment_serve`). A generation that is over is refused by the broker.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::native::{Client, Reply};
use crate::error::KafkaError;
use crate::native::Failure;

const DOING: &str = "commit offsets";

/// See the module. Only one at a time is asked for of the same partitions: a later one might be overtaken by an earlier one that is
/// tried again.
pub struct Committing(Reply);

impl Committing {
    /// Asks for it.
    pub(super) fn ask(client: &Arc<Client>, offsets: &TopicPartitionList) -> Self {
        Self(Reply::to_commit(client, offsets))
    }

    /// How it ended; `None` when that is not known after `timeout`: wait again. The client answers in the end, also without brokers.
    ///
    /// # Errors
    /// [`KafkaError::Abort`] when the group has moved on: an ordinary thing when another host joins; with a good token the same
    /// offsets may be committed again. [`KafkaError::Unknown`] when the brokers did not answer: likewise, it does no harm twice.
    /// [`KafkaError::Fenced`] when another host has this one's place in the group. Others as they are.
    pub fn wait(&self, timeout: Duration) -> Option<Result<(), KafkaError>> {
        let ended = self.0.wait(timeout)?;
        Some(ended.map_err(|code| failed(code, &format!("{DOING}: {code}"))))
    }
}

fn failed(code: Code, text: &str) -> KafkaError {
    match code {
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::StaleMemberEpoch
        | Code::RebalanceInProgress
        | Code::AssignmentLost => KafkaError::Abort(text.into()),
        Code::FencedInstanceId => KafkaError::Fenced(text.into()),
        Code::Fatal => KafkaError::Fatal(text.into()),
        code => match KafkaError::of(DOING, &Failure::of(code, String::new())) {
            refused @ KafkaError::Refused(_) => refused,
            _ => KafkaError::Unknown(text.into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_has_moved_on_is_no_alarm_and_silence_is_not_taken_as_no() {
        let kind = |code| failed(code, "why");
        let text = || "why".to_string();
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::StaleMemberEpoch] {
            assert_eq!(kind(code), KafkaError::Abort(text()));
        }
        assert_eq!(kind(Code::FencedInstanceId), KafkaError::Fenced(text()));
        for code in
            [Code::BrokerTransportFailure, Code::RequestTimedOut, Code::NotCoordinator, Code::WaitingForCoordinator]
        {
            assert_eq!(kind(code), KafkaError::Unknown(text()), "{code:?}");
        }
        for code in [Code::GroupAuthorizationFailed, Code::OffsetMetadataTooLarge] {
            assert!(matches!(kind(code), KafkaError::Refused(_)), "{code:?}");
        }
        assert_eq!(kind(Code::Fatal), KafkaError::Fatal(text()));
    }
}
