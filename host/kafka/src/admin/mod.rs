//! Topics, offsets and members as the brokers know them. Each call answers within the time it was made with, and is typed by what
//! the caller must do; whether a topic should be there, or a record go, is the caller's decision.

mod topic;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::config::Properties;
use crate::error::{KafkaError, is_forbidden, is_passing};
use crate::fetch::TopicPartition;
use crate::native::Failure;
use crate::native::admin::{self as native, Listed, NewTopic, Spec};

pub use topic::{CHANGELOG_TOMBSTONES_MS, TopicInfo, TopicSettings, TopicSpec};

/// How often brokers are asked again for what is on its way: a new topic's leaders, offsets of an open transaction.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Said where offsets do not become stable.
const HUNG: &str = "; a transaction that has sent offsets may still be open. One that stays open beyond its time-out hangs, and is \
                    found and ended by `kafka-transactions.sh find-hanging` and `abort`";

/// See the module.
#[derive(Debug)]
pub struct Admin {
    native: native::Admin,
    bootstrap: String,
    /// As Kafka's access lists name it.
    principal: String,
    timeout: Duration,
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// First offset that is there.
    pub low: i64,
    /// Behind the last record, read uncommitted. A restore ends here.
    pub high: i64,
    /// Behind the last record before the first open transaction: where read-committed readers end.
    pub stable: i64,
}

/// A group's committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Offset of the next record to be read.
    pub offset: i64,
    /// What was committed beside it; empty where that is not text.
    pub metadata: String,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Its id.
    pub id: String,
    /// Its instance's id, of a static member.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client: String,
    /// Where it connects from.
    pub host: String,
    /// Its partitions.
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    /// A client; nothing is asked of a broker yet. `timeout` is each call's.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] when the client cannot be made with these properties.
    pub fn new(properties: &Properties, timeout: Duration) -> Result<Self, KafkaError> {
        let get = |name| properties.get(name);
        Ok(Self {
            native: native::Admin::new(&properties.admin())?,
            bootstrap: get("bootstrap.servers").or(get("metadata.broker.list")).unwrap_or_default().into(),
            principal: format!("User:{}", get("sasl.username").unwrap_or("<principal>")),
            timeout,
        })
    }

    /// Topics as they are, by name; `None` for one that is not there.
    ///
    /// # Errors
    /// [`KafkaError::Forbidden`] where the principal may not describe a topic or its settings; [`KafkaError::Retry`],
    /// [`KafkaError::Refused`].
    pub fn describe(&self, topics: &[&str]) -> Result<BTreeMap<String, Option<TopicInfo>>, KafkaError> {
        let mut all = BTreeMap::new();
        if topics.is_empty() {
            return Ok(all);
        }
        let described = self.asked(|left| self.native.describe_topics(topics, left));
        let mut there = BTreeMap::new();
        for (name, topic) in described.map_err(|f| KafkaError::of("describe topics", &f))? {
            match topic {
                Ok(topic) => {
                    there.insert(name, topic);
                }
                Err(failure) if failure.code == Code::UnknownTopicOrPartition => {
                    all.insert(name, None);
                }
                Err(failure) => return Err(self.topic_error("describe", &name, "Describe", &failure)),
            }
        }
        if there.is_empty() {
            return Ok(all);
        }
        let names: Vec<_> = there.keys().map(String::as_str).collect();
        let settings = self.asked(|left| self.native.describe_configs(&names, left));
        for (name, settings) in settings.map_err(|f| KafkaError::of("describe the settings of topics", &f))? {
            let settings = match settings {
                Ok(settings) => settings,
                Err(failure) if failure.code == Code::UnknownTopicOrPartition => {
                    all.insert(name, None);
                    continue;
                }
                Err(f) => return Err(self.topic_error("describe the settings of", &name, "DescribeConfigs", &f)),
            };
            if let Some(topic) = there.get(&name) {
                all.insert(name.clone(), Some(TopicInfo::new(&name, topic, &settings)));
            }
        }
        Ok(all)
    }

    /// Names of all topics that the principal may describe, but for the brokers' own (`__consumer_offsets` and its like).
    ///
    /// # Errors
    /// As [`Admin::describe`].
    pub fn topics(&self) -> Result<Vec<String>, KafkaError> {
        let listed = self.asked(|left| self.native.list_topics(left));
        let mut names = listed.map_err(|f| KafkaError::of("list topics", &f))?;
        names.retain(|name| !name.starts_with("__"));
        names.sort();
        Ok(names)
    }

    /// Makes topics, and waits until each partition has a leader. One that is there already is left as it is: hold it against its
    /// spec by [`TopicSpec::differences`].
    ///
    /// # Errors
    /// [`KafkaError::Forbidden`] with the commands that make all of them; [`KafkaError::Refused`] for what brokers do not allow;
    /// [`KafkaError::Retry`]: some may have been made, ask again.
    pub fn create(&self, topics: &[TopicSpec]) -> Result<(), KafkaError> {
        if topics.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + self.timeout;
        let new = topics.iter().map(|spec| NewTopic {
            name: &spec.name,
            partitions: spec.partitions,
            replication_factor: spec.replication_factor.map_or(-1, i32::from),
            settings: &spec.settings,
        });
        let results = self.native.create_topics(&new.collect::<Vec<_>>(), self.timeout);
        for (name, result) in results.map_err(|f| KafkaError::of("create topics", &f))? {
            match result {
                Err(failure) if failure.code == Code::TopicAlreadyExists => {}
                Err(failure) if is_forbidden(failure.code) => return Err(self.may_not_create(&name, topics, &failure)),
                Err(failure) => return Err(KafkaError::of(&format!("create topic `{name}`"), &failure)),
                Ok(()) => {}
            }
        }
        let names: Vec<_> = topics.iter().map(|spec| spec.name.as_str()).collect();
        loop {
            let described = self.native.describe_topics(&names, self.timeout);
            let described = described.map_err(|f| KafkaError::of("describe topics", &f))?;
            let leads = |p: &native::Partition| p.has_leader;
            if described.iter().all(|(_, topic)| topic.as_ref().is_ok_and(|topic| topic.partitions.iter().all(leads))) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(KafkaError::Retry("the new topics have no leaders yet".into()));
            }
            thread::sleep(ASK_AGAIN);
        }
    }

    /// Asks, and again while the brokers are not ready for it, such as a coordinator that has just moved, until time is up. For what
    /// changes nothing only.
    fn asked<T>(&self, ask: impl Fn(Duration) -> Result<T, Failure>) -> Result<T, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match ask(left) {
                Err(failure) if is_passing(failure.code) && left > ASK_AGAIN => thread::sleep(ASK_AGAIN),
                other => return other,
            }
        }
    }

    fn may_not_create(&self, name: &str, topics: &[TopicSpec], failure: &Failure) -> KafkaError {
        let mut commands: Vec<_> = topics.iter().map(|spec| spec.command(&self.bootstrap)).collect();
        let operations = ["Read", "Write", "Describe", "DescribeConfigs"];
        for spec in topics {
            commands.push(self.acl("--topic", &spec.name, &operations));
        }
        KafkaError::Forbidden { what: format!("create topic `{name}`: {}", failure.text), commands }
    }

    fn acl(&self, resource: &str, name: &str, operations: &[&str]) -> String {
        let operations: Vec<_> = operations.iter().map(|one| format!("--operation {one}")).collect();
        format!(
            "kafka-acls.sh --bootstrap-server {} --add --allow-principal {} {resource} {name} {}",
            self.bootstrap,
            self.principal,
            operations.join(" ")
        )
    }

    fn topic_error(&self, doing: &str, topic: &str, operation: &str, failure: &Failure) -> KafkaError {
        let doing = format!("{doing} topic `{topic}`");
        if is_forbidden(failure.code) {
            let commands = vec![self.acl("--topic", topic, &[operation])];
            return KafkaError::Forbidden { what: format!("{doing}: {}", failure.text), commands };
        }
        KafkaError::of(&doing, failure)
    }

    fn group_error(&self, doing: &str, group: &str, operation: &str, failure: &Failure) -> KafkaError {
        let doing = format!("{doing} group `{group}`");
        if is_forbidden(failure.code) {
            let commands = vec![self.acl("--group", group, &[operation])];
            return KafkaError::Forbidden { what: format!("{doing}: {}", failure.text), commands };
        }
        KafkaError::of(&doing, failure)
    }

    /// Deletes topics; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Admin::describe`].
    pub fn delete(&self, topics: &[&str]) -> Result<(), KafkaError> {
        if topics.is_empty() {
            return Ok(());
        }
        let results = self.native.delete_topics(topics, self.timeout);
        for (name, result) in results.map_err(|f| KafkaError::of("delete topics", &f))? {
            match result {
                Err(failure) if failure.code != Code::UnknownTopicOrPartition => {
                    return Err(self.topic_error("delete", &name, "Delete", &failure));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Deletes records that lie before an offset, by partition. What lies before is gone for every reader.
    ///
    /// # Errors
    /// As [`Admin::describe`].
    pub fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), KafkaError> {
        if before.is_empty() {
            return Ok(());
        }
        let results = self.native.delete_records(before, self.timeout);
        let results = results.map_err(|f| KafkaError::of("delete records", &f))?;
        self.no_errors("delete records of", "Delete", &results)
    }

    fn no_errors(&self, doing: &str, operation: &str, results: &[Listed]) -> Result<(), KafkaError> {
        for one in results {
            if let Some(code) = one.error {
                let failure = Failure::of(code, format!("partition {}: {code}", one.partition.partition));
                return Err(self.topic_error(doing, &one.partition.topic, operation, &failure));
            }
        }
        Ok(())
    }

    fn offsets(&self, of: &[TopicPartition], spec: Spec, committed: bool) -> Result<Vec<Listed>, KafkaError> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let offsets = self.asked(|left| {
            let listed = self.native.list_offsets(of, spec, committed, left)?;
            let Some(stale) = listed.iter().find(|one| one.error == Some(Code::FencedLeaderEpoch)) else {
                return Ok(listed);
            };
            self.native.renew_leaders(&stale.partition.topic, left)?;
            Err(Failure::of(Code::FencedLeaderEpoch, format!("{}: its leader has changed", stale.partition)))
        });
        let offsets = offsets.map_err(|f| KafkaError::of("ask for offsets", &f))?;
        self.no_errors("ask for the offsets of", "Describe", &offsets)?;
        Ok(offsets)
    }

    /// The ends of partitions, each as it was at some moment during the call.
    ///
    /// # Errors
    /// As [`Admin::describe`].
    pub fn watermarks(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Watermarks>, KafkaError> {
        let by_partition = |listed: Vec<Listed>| -> BTreeMap<_, _> {
            listed.into_iter().map(|one| (one.partition, one.offset)).collect()
        };
        // The stable end first: asked later it could lie behind the high end.
        let stable = by_partition(self.offsets(of, Spec::Latest, true)?);
        let low = by_partition(self.offsets(of, Spec::Earliest, false)?);
        let high = by_partition(self.offsets(of, Spec::Latest, false)?);
        let mut all = BTreeMap::new();
        for (partition, low) in low {
            let (Some(high), Some(stable)) = (high.get(&partition), stable.get(&partition)) else {
                return Err(KafkaError::Retry(format!("the ends of {partition} were not told")));
            };
            all.insert(partition, Watermarks { low, high: *high, stable: *stable });
        }
        Ok(all)
    }

    /// Where read-committed readers of partitions stand at their ends: less than [`Admin::watermarks`] asks.
    ///
    /// # Errors
    /// As [`Admin::describe`].
    pub fn stable_ends(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
        Ok(self.offsets(of, Spec::Latest, true)?.into_iter().map(|one| (one.partition, one.offset)).collect())
    }

    /// The first offset whose record has a time or a later one; `None` where there is no such record. A transaction's marker counts
    /// as one, with the broker's clock as its time.
    ///
    /// # Errors
    /// As [`Admin::describe`].
    pub fn offsets_for_time(
        &self,
        of: &[TopicPartition],
        time_ms: i64,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>, KafkaError> {
        let offsets = self.offsets(of, Spec::Time(time_ms.max(0)), false)?;
        Ok(offsets.into_iter().map(|one| (one.partition, Some(one.offset).filter(|offset| *offset >= 0))).collect())
    }

    /// A group's committed offsets, *stable* ones: while a transaction that has sent offsets is open, they are waited for. Without
    /// an entry where nothing was committed.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] also when a transaction was still open at the end; [`KafkaError::Forbidden`].
    pub fn committed(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, KafkaError> {
        if of.is_empty() {
            return Ok(BTreeMap::new());
        }
        let listed = self.asked(|left| {
            let listed = self.native.committed(group, of, true, left)?;
            match listed.iter().any(|one| one.error == Some(Code::UnstableOffsetCommit)) {
                true => Err(Failure::of(Code::UnstableOffsetCommit, String::new())),
                false => Ok(listed),
            }
        });
        let listed = listed.map_err(|mut failure| {
            // librdkafka asks again by itself while offsets are not stable, so that its time-out means that too.
            if matches!(failure.code, Code::UnstableOffsetCommit | Code::OperationTimedOut) {
                failure.text.push_str(HUNG);
            }
            self.group_error("read the offsets of", group, "Describe", &failure)
        })?;
        self.there(listed)
    }

    /// A group's committed offsets as they are now, whatever transactions that are open are about to make of them: to see who has
    /// such a transaction, not to begin from.
    ///
    /// # Errors
    /// [`KafkaError::Retry`]; [`KafkaError::Forbidden`].
    pub fn committed_now(
        &self,
        group: &str,
        of: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, KafkaError> {
        if of.is_empty() {
            return Ok(BTreeMap::new());
        }
        let listed = self.asked(|left| self.native.committed(group, of, false, left));
        self.there(listed.map_err(|failure| self.group_error("read the offsets of", group, "Describe", &failure))?)
    }

    fn there(&self, listed: Vec<Listed>) -> Result<BTreeMap<TopicPartition, CommittedOffset>, KafkaError> {
        self.no_errors("read the group's offsets of", "Describe", &listed)?;
        let there = listed.into_iter().filter(|one| one.offset >= 0);
        let one =
            |l: Listed| (l.partition, CommittedOffset { offset: l.offset, metadata: l.metadata.unwrap_or_default() });
        Ok(there.map(one).collect())
    }

    /// The members of a group with their partitions; none for a group that is not there.
    ///
    /// # Errors
    /// As [`Admin::committed`].
    pub fn members(&self, group: &str) -> Result<Vec<GroupMember>, KafkaError> {
        let members = self.asked(|left| self.native.members(group, left));
        members.map_err(|failure| self.group_error("describe", group, "Describe", &failure))
    }

    /// Deletes a group with its offsets; one that is not there is fine.
    ///
    /// # Errors
    /// [`KafkaError::Refused`] while it has members; as [`Admin::committed`].
    pub fn delete_group(&self, group: &str) -> Result<(), KafkaError> {
        match self.native.delete_group(group, self.timeout) {
            Err(failure) if failure.code == Code::NonEmptyGroup => {
                let members = self.members(group)?;
                let hosts: Vec<_> = members.iter().map(|m| m.instance.as_ref().unwrap_or(&m.id).as_str()).collect();
                Err(KafkaError::Refused(format!("group `{group}` still has members: {}", hosts.join(", "))))
            }
            Err(failure) if failure.code == Code::GroupIdNotFound => Ok(()),
            Err(failure) => Err(self.group_error("delete", group, "Delete", &failure)),
            Ok(()) => Ok(()),
        }
    }
}
