//! What a topic is and what it should be, and the difference in words. Nothing is asked of a broker here.

use std::collections::BTreeMap;

use crate::native::admin::Described;

/// Names of the settings that matter here, as brokers call them.
const CLEANUP_POLICY: &str = "cleanup.policy";
const RETENTION_MS: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const DELETE_RETENTION_MS: &str = "delete.retention.ms";
const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
const TIMESTAMP_TYPE: &str = "message.timestamp.type";
const AFTER_MAX_MS: &str = "message.timestamp.after.max.ms";
const BEFORE_MAX_MS: &str = "message.timestamp.before.max.ms";
const MIN_IN_SYNC: &str = "min.insync.replicas";

/// A topic as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Tells it from topics of that name before and at other brokers.
    pub id: String,
    /// Number of partitions, which are numbered from 0.
    pub partitions: i32,
    /// The fewest replicas that one of its partitions has.
    pub replication_factor: usize,
    /// Whether every partition has a leader now.
    pub ready: bool,
    /// Its settings, given or by default.
    pub settings: TopicSettings,
}

/// Settings that decide what may be written to a topic, and how long it stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// `cleanup.policy` has `compact`.
    pub compacted: bool,
    /// `cleanup.policy` has `delete`: records go by age or size.
    pub deletes: bool,
    /// `retention.ms`; -1 for ever.
    pub retention_ms: i64,
    /// `delete.retention.ms`: how long a tombstone stays at least after compaction has seen it.
    pub delete_retention_ms: i64,
    /// `max.message.bytes`: the largest batch of records, compressed.
    pub message_bytes_max: usize,
    /// `message.timestamp.type` is `LogAppendTime`: the broker replaces timestamps by its clock.
    pub append_time: bool,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie ahead of the broker's clock.
    pub timestamp_after_ms_max: i64,
    /// `message.timestamp.before.max.ms`: how far it may lie behind.
    pub timestamp_before_ms_max: i64,
    /// `min.insync.replicas`: how many replicas have a record before it counts as written.
    pub in_sync_replicas_min: usize,
}

impl TopicSettings {
    /// From names and values; what is missing or is no number counts as the broker's own default.
    pub(super) fn new(all: &BTreeMap<String, String>) -> Self {
        let get = |name| all.get(name).map(String::as_str);
        let number = |name, default: i64| get(name).and_then(|v| v.parse().ok()).unwrap_or(default);
        let policy = get(CLEANUP_POLICY).unwrap_or("delete");
        let has = |wanted| policy.split(',').any(|one| one.trim() == wanted);
        Self {
            compacted: has("compact"),
            deletes: has("delete"),
            retention_ms: number(RETENTION_MS, 604_800_000),
            delete_retention_ms: number(DELETE_RETENTION_MS, 86_400_000),
            message_bytes_max: usize::try_from(number(MAX_MESSAGE_BYTES, 1_048_588)).unwrap_or(0),
            append_time: get(TIMESTAMP_TYPE) == Some("LogAppendTime"),
            timestamp_after_ms_max: number(AFTER_MAX_MS, 3_600_000),
            timestamp_before_ms_max: number(BEFORE_MAX_MS, i64::MAX),
            in_sync_replicas_min: usize::try_from(number(MIN_IN_SYNC, 1)).unwrap_or(1),
        }
    }
}

impl TopicInfo {
    pub(super) fn new(name: &str, topic: &Described, settings: &BTreeMap<String, String>) -> Self {
        let partitions = &topic.partitions;
        Self {
            name: name.into(),
            id: topic.id.clone(),
            partitions: partitions.len() as i32,
            replication_factor: partitions.iter().map(|p| p.replicas).min().unwrap_or(0),
            ready: partitions.iter().all(|p| p.has_leader),
            settings: TopicSettings::new(settings),
        }
    }
}

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each; `None` leaves it to the brokers' default.
    pub replication_factor: Option<i16>,
    /// Settings, as brokers call them; the others are the brokers' defaults.
    pub settings: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic of steps that follow a change of key: kept until it is purged behind the commits, as event times, by which a broker
    /// counts age, may be years old.
    pub fn repartition(name: &str, partitions: i32) -> Self {
        Self::with(
            name,
            partitions,
            &[(CLEANUP_POLICY, "delete"), (RETENTION_MS, "-1"), (TIMESTAMP_TYPE, "CreateTime")],
        )
    }

    /// A store's changelog: compacted, without retention by time. Tombstones stay for [`CHANGELOG_TOMBSTONES_MS`], within which a
    /// state directory that was away may be brought up to date instead of rebuilt.
    pub fn changelog(name: &str, partitions: i32) -> Self {
        let tombstones = CHANGELOG_TOMBSTONES_MS.to_string();
        let settings =
            [(CLEANUP_POLICY, "compact"), (DELETE_RETENTION_MS, tombstones.as_str()), (TIMESTAMP_TYPE, "CreateTime")];
        Self::with(name, partitions, &settings)
    }

    /// A log of one partition that is kept for ever.
    pub fn kept(name: &str) -> Self {
        let settings =
            [(CLEANUP_POLICY, "delete"), (RETENTION_MS, "-1"), (RETENTION_BYTES, "-1"), (TIMESTAMP_TYPE, "CreateTime")];
        Self::with(name, 1, &settings)
    }

    /// Files by name, in one partition: each stays until it is deleted by name.
    pub fn files(name: &str) -> Self {
        Self::with(name, 1, &[(CLEANUP_POLICY, "compact"), (TIMESTAMP_TYPE, "CreateTime")])
    }

    fn with(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Self { name: name.into(), partitions, replication_factor: None, settings }
    }

    /// How a topic that is there differs from what it should be: each named with both sides; nothing when it serves. Settings that
    /// are not among [`TopicSettings`] are not looked at.
    pub fn differences(&self, is: &TopicInfo) -> Vec<String> {
        let mut all = Vec::new();
        if self.partitions != is.partitions {
            all.push(format!("it has {} partitions and needs {}", is.partitions, self.partitions));
        }
        if let Some(factor) = self.replication_factor
            && factor as usize > is.replication_factor
        {
            all.push(format!("it has {} replicas and needs {factor}", is.replication_factor));
        }
        let wanted = TopicSettings::new(&self.settings);
        let has = &is.settings;
        let mut number = |name: &str, serves: bool, is: &dyn ToString| {
            if let Some(wanted) = self.settings.get(name).filter(|_| !serves) {
                all.push(format!("its `{name}` is {} and needs to be {wanted}", is.to_string()));
            }
        };
        let policy = match (has.compacted, has.deletes) {
            (true, true) => "compact,delete",
            (true, false) => "compact",
            (false, _) => "delete",
        };
        let same = wanted.compacted == has.compacted && wanted.deletes == has.deletes;
        number(CLEANUP_POLICY, same, &policy);
        let kind = if has.append_time { "LogAppendTime" } else { "CreateTime" };
        number(TIMESTAMP_TYPE, wanted.append_time == has.append_time, &kind);
        // Longer and larger serve as well.
        let ever = |ms: i64| if ms < 0 { i64::MAX } else { ms };
        number(RETENTION_MS, ever(has.retention_ms) >= ever(wanted.retention_ms), &has.retention_ms);
        number(DELETE_RETENTION_MS, has.delete_retention_ms >= wanted.delete_retention_ms, &has.delete_retention_ms);
        number(MAX_MESSAGE_BYTES, has.message_bytes_max >= wanted.message_bytes_max, &has.message_bytes_max);
        number(MIN_IN_SYNC, has.in_sync_replicas_min >= wanted.in_sync_replicas_min, &has.in_sync_replicas_min);
        let ahead = has.timestamp_after_ms_max >= wanted.timestamp_after_ms_max;
        number(AFTER_MAX_MS, ahead, &has.timestamp_after_ms_max);
        let behind = has.timestamp_before_ms_max >= wanted.timestamp_before_ms_max;
        number(BEFORE_MAX_MS, behind, &has.timestamp_before_ms_max);
        all
    }

    /// The command by which an administrator makes it.
    pub(super) fn command(&self, bootstrap: &str) -> String {
        let mut line = format!(
            "kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {} --partitions {}",
            self.name, self.partitions
        );
        if let Some(factor) = self.replication_factor {
            line.push_str(&format!(" --replication-factor {factor}"));
        }
        for (name, value) in &self.settings {
            line.push_str(&format!(" --config {name}={value}"));
        }
        line
    }
}

/// How long deletes stay in a changelog: 7 days.
pub const CHANGELOG_TOMBSTONES_MS: i64 = 7 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::admin::Partition;

    fn info(spec: &TopicSpec) -> TopicInfo {
        let one = |number| Partition { number, replicas: 1, in_sync: 1, has_leader: true };
        let topic = Described { id: String::new(), partitions: (0..spec.partitions).map(one).collect() };
        TopicInfo::new(&spec.name, &topic, &spec.settings)
    }

    #[test]
    fn a_topic_that_serves_has_no_difference() {
        let all =
            [TopicSpec::repartition("r", 3), TopicSpec::changelog("c", 3), TopicSpec::kept("k"), TopicSpec::files("f")];
        for spec in all {
            assert_eq!(spec.differences(&info(&spec)), [""; 0]);
            let mut longer = info(&spec);
            longer.settings.delete_retention_ms *= 2;
            longer.settings.retention_ms = -1;
            assert_eq!(spec.differences(&longer), [""; 0]);
        }
    }

    #[test]
    fn differences_name_both_sides() {
        let mut changelog = TopicSpec::changelog("c", 3);
        changelog.replication_factor = Some(3);
        let other = info(&TopicSpec::repartition("c", 4));
        assert_eq!(
            changelog.differences(&other),
            [
                "it has 4 partitions and needs 3",
                "it has 1 replicas and needs 3",
                "its `cleanup.policy` is delete and needs to be compact",
                "its `delete.retention.ms` is 86400000 and needs to be 604800000",
            ]
        );
        let repartition = TopicSpec::repartition("r", 1);
        let mut short = info(&repartition);
        short.settings.retention_ms = 604_800_000;
        short.settings.append_time = true;
        assert_eq!(
            repartition.differences(&short),
            [
                "its `message.timestamp.type` is LogAppendTime and needs to be CreateTime",
                "its `retention.ms` is 604800000 and needs to be -1",
            ]
        );
    }

    #[test]
    fn the_command_makes_the_same_topic() {
        let mut spec = TopicSpec::changelog("p-count-changelog", 4);
        spec.replication_factor = Some(3);
        assert_eq!(
            spec.command("b:9092"),
            "kafka-topics.sh --bootstrap-server b:9092 --create --topic p-count-changelog --partitions 4 \
             --replication-factor 3 --config cleanup.policy=compact --config delete.retention.ms=604800000 \
             --config message.timestamp.type=CreateTime"
        );
    }
}
