//! Seeing inside of functions on real brokers: lines of two hosts in one topic, and records that are fetched to be replayed, also
//! from behind a repartition topic.

use std::collections::BTreeSet;

use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::pipes::{CONSUMER, Pipe, share};

const PARTITIONS: u32 = 4;

fn manifest(place: &Place) -> String {
    format!(
        "logs: {{ topic: {said} }}
functions:
  look: {{ component: {{surroundings.wasm}} }}
  count: {{ component: {{count.wasm}} }}
sources:
  in: {{ topic: {input} }}
steps:
  looked: {{ from: in, map-values: look, on-error: skip }}
  again: {{ from: looked, repartition: {{}} }}
  counts: {{ from: again, group: key, window: {{ tumbling: 10s, grace: 0s }}, aggregate: count, emit: on-update }}
sinks:
  out: {{ from: counts, topic: {output} }}
",
        said = place.topic("said"),
        input = place.topic("in"),
        output = place.topic("out"),
    )
}

#[test]
fn lines_of_all_hosts_are_in_a_topic_and_stored_records_are_replayed() {
    let pipe = Pipe::another("inside", &["in", "out", "said"], PARTITIONS, CONSUMER, manifest);
    let hosts = [pipe.start("a", &[]), pipe.start("b", &[])];
    share([&hosts[0], &hosts[1]], 2 * PARTITIONS as usize, 60);
    let input = pipe.place.topic("in");
    let record = |n: u32| Sent {
        topic: input.clone(),
        partition: n % PARTITIONS,
        key: Some(format!("k{n}").into_bytes()),
        value: Some(if n == 5 { b"panic".to_vec() } else { format!("v{n}").into_bytes() }),
        timestamp: 1_619_879_400_000,
    };
    let records: Vec<Sent> = (0..8).map(record).collect();
    pipe.trickle_records(records.into_iter(), 1_000).join().unwrap();
    let said = pipe.place.topic("said");
    let lines = eventually("all lines are in the topic", 60, || {
        let mut lines: Vec<Value> = Vec::new();
        pipe.place
            .each_value(&said, PARTITIONS, |_, _, value| lines.push(serde_json::from_slice(value.unwrap()).unwrap()))
            .map_err(|why| format!("{why:#}"))?;
        let saw = lines.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("saw v")));
        if saw.count() >= 7 { Ok(lines) } else { Err(format!("{lines:?}")) }
    });
    let named = |line: &Value| line["host"].as_str().unwrap().to_string();
    assert_eq!(lines.iter().map(named).collect::<BTreeSet<_>>().len(), 2, "of both hosts: {lines:?}");
    for line in lines.iter().filter(|line| line["message"] == "saw v7") {
        assert_eq!(
            (&line["records"]["partition"], &line["records"]["last"]["topic"]),
            (&3.into(), &input.as_str().into())
        );
    }
    // Any host replays any record, whoever has its task.
    let target = |function: &str| format!("{}/{function}", pipe.place.name);
    for host in &hosts {
        let told = host.ok(&["replay", &target("look"), &format!("{input}:3:1")]);
        assert!(
            told.contains("value \"v7\"") && told.contains("mapper.apply") && told.contains("info: saw v7"),
            "{told}"
        );
        let failed = host.cli(&["replay", &target("look"), &format!("{input}:1:1")]);
        let said = String::from_utf8_lossy(&failed.stdout).into_owned();
        assert!(!failed.status.success() && said.contains("failed: trapped: panicked at"), "{failed:?}");
    }
    // What a function gets that is not the first of its pipeline.
    let repartitioned = hosts[0].get("/v1/topics").unwrap();
    let topics: Vec<&str> =
        repartitioned.as_array().unwrap().iter().filter_map(|topic| topic["name"].as_str()).collect();
    let between = topics.iter().find(|topic| topic.ends_with("-repartition")).expect("there is one").to_string();
    // Others there are markers of a task's time, or of a transaction.
    let places = (0..PARTITIONS).flat_map(|partition| (0..4).map(move |offset| (partition, offset)));
    let mut told = places.filter_map(|(partition, offset)| {
        let output = hosts[1].cli(&["replay", &target("count"), &format!("{between}:{partition}:{offset}")]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    });
    let found = told.find(|told| told.contains("aggregator.add") && told.contains("value \"env [] "));
    assert!(found.is_some(), "a record of the repartition topic is replayed");
    let beyond = hosts[0].cli(&["replay", &target("look"), &format!("{input}:3:99")]);
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("no record at offset 99"), "{beyond:?}");
    for host in hosts {
        assert!(host.stop().success());
    }
}
