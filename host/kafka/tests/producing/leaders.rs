//! A partition's leader that changes without a connection being lost.

use std::fs;
use std::slice::from_ref;

use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::Cluster;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::support::*;

/// Makes the first of these brokers the leader of a topic's only partition.
fn lead(cluster: &Cluster, client: &BaseConsumer, of: &TopicPartition, replicas: [i32; 3]) {
    let file = cluster.folder().join("replicas.json");
    let partition = format!(r#"{{"topic":"{}","partition":0,"replicas":{replicas:?}}}"#, of.topic);
    fs::write(&file, format!(r#"{{"version":1,"partitions":[{partition}]}}"#)).unwrap();
    let file = file.to_str().unwrap();
    let tools = [
        ("reassign.ReassignPartitionsCommand", vec!["--reassignment-json-file", file, "--execute"]),
        ("LeaderElectionCommand", vec!["--election-type", "preferred", "--topic", &of.topic, "--partition", "0"]),
    ];
    for (tool, args) in tools {
        let done = cluster.tool(&format!("org.apache.kafka.tools.{tool}"), &args);
        assert!(done.status.success(), "{tool}: {done:?}");
    }
    wait("it leads", || {
        client.fetch_metadata(Some(&of.topic), LONG).unwrap().topics()[0].partitions()[0].leader() == replicas[0]
    });
}

/// The same broker leads again, by another epoch, and nobody has told the client: who asks by the old epoch is refused.
#[test]
fn offsets_are_told_when_the_same_broker_leads_once_more() {
    let cluster = Cluster::three();
    let of = topic(&cluster, "led-again", 1);
    let mut producer = producer(&cluster, "led-again-0", &[]);
    producer.begin().unwrap();
    send(&mut producer, &of, &["a", "b"]);
    producer.commit(LONG).unwrap();
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", cluster.bootstrap()).create().unwrap();
    lead(&cluster, &client, &of, [1, 2, 3]);
    let admin = admin(&cluster);
    wait("the marker is written", || admin.stable_ends(from_ref(&of)).unwrap()[&of] == 3);
    lead(&cluster, &client, &of, [2, 1, 3]);
    lead(&cluster, &client, &of, [1, 2, 3]);
    assert_eq!(admin.stable_ends(from_ref(&of)).unwrap()[&of], 3);
}
