//! What the client reports while it is polled: rebalances and errors, kept until somebody takes them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use crate::error::{KafkaError, is_forbidden};
use crate::fetch::TopicPartition;

/// What the client reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The group gave these; the client waits to be told to assign them.
    Assign(Vec<TopicPartition>),
    /// The group takes these back; the client waits to be told to unassign them.
    Revoke(Vec<TopicPartition>),
    /// Something went wrong.
    Error(KafkaError),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Context {
    reports: Mutex<VecDeque<Report>>,
}

impl Context {
    /// The oldest report.
    pub fn take(&self) -> Option<Report> {
        self.reports().pop_front()
    }

    fn report(&self, report: Report) {
        let mut reports = self.reports();
        // The client says the same of each broker and again and again.
        if reports.back() != Some(&report) {
            reports.push_back(report);
        }
    }

    fn reports(&self) -> MutexGuard<'_, VecDeque<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The partitions of a list.
pub(crate) fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

/// Gives back partitions, in the way that the group's protocol wants.
pub(crate) fn unassign(client: &BaseConsumer<Context>, partitions: &[TopicPartition]) -> Result<(), ClientError> {
    if !matches!(client.rebalance_protocol(), RebalanceProtocol::Cooperative) {
        return client.unassign();
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for p in partitions {
        list.add_partition(&p.topic, p.partition);
    }
    client.incremental_unassign(&list)
}

/// Takes on `list`, in the way that the group's protocol wants.
pub(crate) fn assign(client: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), ClientError> {
    match client.rebalance_protocol() {
        RebalanceProtocol::Cooperative => client.incremental_assign(list),
        _ => client.assign(list),
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", "{facility}: {message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", "{facility}: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(target: "librdkafka", "{facility}: {message}");
            }
            RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", "{facility}: {message}"),
        }
    }

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: ClientError, reason: &str) {
        if let ClientError::Global(code) = error {
            self.report(Report::Error(typed(code, reason)));
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, _: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions = partitions(list);
        let report = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Report::Assign(partitions),
            _ => Report::Revoke(partitions),
        };
        self.report(report);
    }
}

/// An error of the client by what its receiver must do. `reason`: the client's own words.
pub(crate) fn typed(code: RDKafkaErrorCode, reason: &str) -> KafkaError {
    use RDKafkaErrorCode as Code;
    let text = if reason.is_empty() { code.to_string() } else { reason.to_owned() };
    match code {
        Code::FencedInstanceId => KafkaError::Fenced(format!(
            "another process has joined with the same host id, so this one is out ({text}); two hosts must not share a \
             state directory or a copy of one"
        )),
        Code::UnreleasedInstanceId => KafkaError::Retry(format!(
            "the group still counts an earlier process with this host id as alive ({text}); it is let go after its \
             session time-out"
        )),
        code if is_forbidden(code) => KafkaError::Refused(text),
        Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::UnsupportedSASLMechanism
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedAssignor
        | Code::GroupMaxSizeReached
        | Code::InvalidGroupId
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature
        | Code::InvalidSessionTimeout => KafkaError::Refused(text),
        Code::Fatal => KafkaError::Fatal(text),
        _ => KafkaError::Retry(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_typed_by_duty() {
        assert!(matches!(typed(RDKafkaErrorCode::FencedInstanceId, ""), KafkaError::Fenced(_)));
        assert!(matches!(typed(RDKafkaErrorCode::UnreleasedInstanceId, ""), KafkaError::Retry(_)));
        assert_eq!(typed(RDKafkaErrorCode::TopicAuthorizationFailed, "no"), KafkaError::Refused("no".into()));
        assert!(matches!(typed(RDKafkaErrorCode::AllBrokersDown, "gone"), KafkaError::Retry(_)));
    }

    #[test]
    fn the_same_trouble_is_told_once() {
        let context = Context::default();
        for _ in 0..3 {
            context.error(ClientError::Global(RDKafkaErrorCode::AllBrokersDown), "down");
        }
        assert_eq!(context.take(), Some(Report::Error(KafkaError::Retry("down".into()))));
        assert_eq!(context.take(), None);
    }
}
