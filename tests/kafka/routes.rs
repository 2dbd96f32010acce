//! A sink whose function names the topic, by a pattern, on a real broker: what the pattern stands for is looked up at the start.

use std::collections::BTreeMap;

use millstream_kafka::admin::TopicSpec;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;

use super::pipes::{CLASSIC, Pipe};

const PARTITIONS: u32 = 2;

fn manifest(place: &Place) -> String {
    format!(
        "functions:
  by-action: {{ component: {{route.wasm}} }}
sources:
  lines: {{ topic: {lines}, start: earliest }}
sinks:
  actions: {{ from: lines, topic: {others}, route: by-action, topics: \"action-*\", on-error: {{ dead-letter: {bad} }} }}
",
        lines = place.topic("lines"),
        others = place.topic("others"),
        bad = place.topic("bad"),
    )
}

fn make(place: &Place, topic: &str) {
    let spec = TopicSpec {
        name: topic.into(),
        partitions: PARTITIONS as i32,
        replication_factor: None,
        settings: BTreeMap::from([("retention.ms".to_string(), "-1".to_string())]),
    };
    place.admin().unwrap().create(&[spec]).unwrap();
}

fn write(pipe: &Pipe, lines: &[&str]) {
    let sent: Vec<Sent> = lines
        .iter()
        .map(|line| Sent {
            topic: pipe.place.topic("lines"),
            partition: 0,
            key: Some(b"k".to_vec()),
            value: Some(line.as_bytes().to_vec()),
            timestamp: 1_619_879_400_000,
        })
        .collect();
    pipe.place.trickle_records(sent.into_iter(), 1_000).unwrap();
}

/// Waits until these are the values in a topic.
fn holds(pipe: &Pipe, topic: &str, expected: &[&str]) {
    eventually(&format!("{topic} holds {expected:?}"), 60, || {
        let mut values = Vec::new();
        let mut take =
            |value: Option<&[u8]>| values.push(String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
        pipe.place
            .each_record(topic, PARTITIONS, |_, value, _| {
                take(value);
                Ok(())
            })
            .unwrap();
        if values == expected { Ok(()) } else { Err(format!("{values:?}")) }
    });
}

#[test]
fn a_pattern_stands_for_the_topics_that_are_there_at_the_start() {
    let pipe = Pipe::another("routes", &["lines", "others", "bad"], PARTITIONS, CLASSIC, manifest);
    make(&pipe.place, "action-login");
    make(&pipe.place, "action-delete-changelog");
    let host = pipe.start("a", &[]);
    let [login, delete, none] = ["User: a, Action: Login", "User: a, Action: Delete", "User: a"];
    let log = "User: a, Action: Delete-Changelog";
    write(&pipe, &[login, delete, none, log]);
    holds(&pipe, "action-login", &[login]);
    holds(&pipe, &pipe.place.topic("others"), &[none]);
    holds(&pipe, &pipe.place.topic("bad"), &[delete, log]);
    assert!(host.stop().success());

    make(&pipe.place, "action-delete");
    let host = pipe.start("a", &[]);
    write(&pipe, &[delete, login]);
    holds(&pipe, "action-delete", &[delete]);
    holds(&pipe, "action-login", &[login, login]);
    holds(&pipe, "action-delete-changelog", &[]);
    assert!(host.stop().success());
}
