//! Topics, offsets and groups as a broker tells them, and what a principal without rights is told.

use std::time::Duration;

use millstream_kafka::admin::{Admin, TopicSpec};
use millstream_kafka::error::KafkaError;
use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::{Cluster, Options, Stop};

use crate::support::*;

#[test]
fn topics_are_made_described_and_deleted() {
    let cluster = Cluster::shared();
    let admin = admin(cluster);
    let specs = [TopicSpec::repartition("p-a-repartition", 3), TopicSpec::changelog("p-c-changelog", 2)];
    admin.create(&specs).unwrap();
    admin.create(&specs).unwrap();
    let all = admin.describe(&["p-a-repartition", "p-c-changelog", "p-none"]).unwrap();
    assert_eq!(all["p-none"], None);
    for spec in &specs {
        let is = all[&spec.name].as_ref().unwrap();
        assert_eq!(spec.differences(is), [""; 0]);
        assert_eq!((is.partitions, is.replication_factor, is.ready), (spec.partitions, 1, true));
        assert_eq!((is.settings.timestamp_after_ms_max, is.settings.message_bytes_max), (3_600_000, 1_048_588));
    }
    assert_eq!(all["p-a-repartition"].as_ref().unwrap().settings.retention_ms, -1);
    assert!(all["p-c-changelog"].as_ref().unwrap().settings.compacted);
    let more = TopicSpec::repartition("p-a-repartition", 4);
    assert_eq!(more.differences(all["p-a-repartition"].as_ref().unwrap()), ["it has 3 partitions and needs 4"]);
    admin.delete(&["p-a-repartition", "p-none"]).unwrap();
    wait("it is gone", || admin.describe(&["p-a-repartition"]).unwrap()["p-a-repartition"].is_none());
    let wrong = TopicSpec { replication_factor: Some(3), ..TopicSpec::changelog("p-wrong", 1) };
    let error = admin.create(&[wrong]).unwrap_err();
    assert!(matches!(&error, KafkaError::Refused(why) if why.contains("p-wrong")), "{error:?}");
}

#[test]
fn records_are_found_by_time_and_deleted_up_to_an_offset() {
    let cluster = Cluster::shared();
    let to = topic(cluster, "purged", 2);
    let empty = TopicPartition::new("purged", 1);
    let mut producer = producer(cluster, "purged-0", &[]);
    producer.begin().unwrap();
    send(&mut producer, &to, &["a", "b", "c", "d"]);
    producer.commit(LONG).unwrap();
    let admin = admin(cluster);
    let both = [to.clone(), empty.clone()];
    let by_time = admin.offsets_for_time(&both, 3).unwrap();
    assert_eq!((by_time[&to], by_time[&empty]), (Some(2), None));
    wait("the marker is written", || admin.watermarks(&both).unwrap()[&to].stable == 5);
    // The marker of the transaction's end, whose time is the broker's.
    assert_eq!(admin.offsets_for_time(&both, 99).unwrap()[&to], Some(4));
    assert_eq!(admin.offsets_for_time(&both, i64::MAX).unwrap()[&to], None);
    admin.delete_records(&[(to.clone(), 3)]).unwrap();
    let ends = admin.watermarks(&both).unwrap();
    assert_eq!((ends[&to].low, ends[&to].stable, ends[&empty].high), (3, 5, 0));
    assert_eq!(committed_values(cluster, &to), ["d"]);
    let brief = Admin::new(&properties(cluster, &[]), Duration::from_secs(1)).unwrap();
    let error = brief.watermarks(&[TopicPartition::new("purged-not", 0)]).unwrap_err();
    assert!(matches!(error, KafkaError::Retry(_)), "{error:?}");
}

#[test]
fn a_group_is_described_and_deleted_once_it_is_empty() {
    let cluster = Cluster::shared();
    let of = topic(cluster, "grouped", 2);
    let admin = admin(cluster);
    assert_eq!(admin.members("grouped-group").unwrap(), []);
    let member = Member::join(cluster, "grouped-group", "grouped");
    wait("it has its partitions", || {
        member.poll();
        admin.members("grouped-group").unwrap().first().is_some_and(|m| m.partitions.len() == 2)
    });
    let error = admin.delete_group("grouped-group").unwrap_err();
    let id = member.metadata().member().to_string();
    assert!(matches!(&error, KafkaError::Refused(why) if why.contains(&id)), "{error:?}");
    drop(member);
    wait("it is empty", || admin.members("grouped-group").unwrap().is_empty());
    admin.delete_group("grouped-group").unwrap();
    admin.delete_group("grouped-group").unwrap();
    assert!(admin.committed("grouped-group", &[of]).unwrap().is_empty());
}

/// On a cluster where no group ever was, the first broker that is asked is no coordinator yet, and says so: librdkafka crashed at that.
#[test]
fn offsets_of_groups_are_asked_for_before_there_is_any_group() {
    let cluster = Cluster::with(&Options { controller_apart: false, ..Options::default() });
    let of = topic(&cluster, "fresh", 1);
    for group in 0..8 {
        let found = admin(&cluster).committed_now(&format!("fresh-{group}"), std::slice::from_ref(&of)).unwrap();
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn a_principal_without_rights_is_told_the_administrators_commands() {
    let cluster = Cluster::with(&Options { users: vec!["worker".into()], ..Options::default() });
    let more = [
        ("bootstrap.servers", cluster.bootstrap_users()),
        ("security.protocol", "sasl_plaintext".into()),
        ("sasl.mechanism", "PLAIN".into()),
        ("sasl.username", "worker".into()),
        ("sasl.password", "worker".into()),
    ];
    let more: Vec<_> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let worker = Admin::new(&properties(&cluster, &more), LONG).unwrap();
    let mut spec = TopicSpec::changelog("p-c-changelog", 2);
    spec.replication_factor = Some(1);
    let KafkaError::Forbidden { commands, what } = worker.create(std::slice::from_ref(&spec)).unwrap_err() else {
        panic!("another error")
    };
    assert!(what.starts_with("create topic `p-c-changelog`"), "{what}");
    let at = cluster.bootstrap_users();
    assert_eq!(
        commands,
        [
            format!(
                "kafka-topics.sh --bootstrap-server {at} --create --topic p-c-changelog --partitions 2 --replication-factor 1 \
                 --config cleanup.policy=compact --config delete.retention.ms=604800000 --config message.timestamp.type=CreateTime"
            ),
            format!(
                "kafka-acls.sh --bootstrap-server {at} --add --allow-principal User:worker --topic p-c-changelog \
                 --operation Read --operation Write --operation Describe --operation DescribeConfigs"
            ),
        ]
    );
    // The commands do what they say: carried out by who may, the same calls succeed.
    for (command, class) in commands.iter().zip(["TopicCommand", "AclCommand"]) {
        let class = if class == "AclCommand" {
            "org.apache.kafka.tools.AclCommand"
        } else {
            "org.apache.kafka.tools.TopicCommand"
        };
        let args: Vec<_> = command.split(' ').skip(3).collect();
        let done = cluster.tool(class, &args);
        assert!(
            done.status.success(),
            "{}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    wait("the rights have arrived", || {
        worker.describe(&["p-c-changelog"]).is_ok_and(|all| all["p-c-changelog"].is_some())
    });
    let is = worker.describe(&["p-c-changelog"]).unwrap();
    assert_eq!(spec.differences(is["p-c-changelog"].as_ref().unwrap()), [""; 0]);
    let error = worker.committed("p", &[TopicPartition::new("p-c-changelog", 0)]).unwrap_err();
    assert!(
        matches!(&error, KafkaError::Forbidden { commands, .. } if commands[0].contains("--group p --operation")),
        "{error:?}"
    );
}

#[test]
fn a_broker_that_is_not_there_is_worth_another_try() {
    let none = [("bootstrap.servers", "127.0.0.1:1")];
    let all = none.map(|(name, value)| (name.to_string(), value.to_string())).into();
    let admin =
        Admin::new(&millstream_kafka::config::Properties::new(all).unwrap(), Duration::from_millis(500)).unwrap();
    let error = admin.describe(&["any"]).unwrap_err();
    assert!(matches!(error, KafkaError::Retry(_)), "{error:?}");
}

/// A group's coordinator is away, questions to it are given up, and it comes back. librdkafka (2.12.1, `rd_kafka_admin_coord_request`)
/// then uses what it has freed when the question had run into its own time-out, and mostly ends the process (confluentinc/librdkafka#4605).
#[test]
fn questions_that_a_coordinator_did_not_answer_do_no_harm_when_it_is_back() {
    let mut cluster = harmed();
    let admin = Admin::new(&properties(&cluster, &[]), Duration::from_secs(1)).unwrap();
    let of = [TopicPartition::new("any", 0)];
    for _ in 0..2 {
        wait("the coordinator answers", || admin.members("away").is_ok() && admin.committed("away", &of).is_ok());
        cluster.stop(0, Stop::Kill);
        assert!(matches!(admin.members("away"), Err(KafkaError::Retry(_))));
        assert!(matches!(admin.committed("away", &of), Err(KafkaError::Retry(_))));
        cluster.start(0);
    }
    wait("the coordinator answers again", || admin.members("away").is_ok());
    assert!(matches!(admin.delete_group("away"), Ok(())), "a group that is not there");
}
