//! Functions swapped under load: every output was computed by exactly one version, each partition has one switch offset
//! for each version, nothing is lost or doubled, and nobody waits long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use millstream_tests::host::{Host, surprises};
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::long;
use super::manifests::{COMMIT_INTERVAL_MS, Place, function, stamped};

const PARTITIONS: u32 = 3;
/// Records written at once to each partition, and the pause between: 12,000 records a second.
const PIECE_RECORDS: usize = 20;
const PIECE_MS: u64 = 5;
/// A swap may hold up results for so many commit intervals.
const PAUSE_INTERVALS_MAX: u64 = 3;

/// Writes numbered records to each partition at a steady pace until told to stop; how many to each.
pub fn feed(host: &Host, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    let (url, token) = (host.url.clone(), token(host));
    std::thread::spawn(move || {
        let agent = ureq::Agent::new_with_defaults();
        let (mut number, started, mut pieces) = (0, Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            for partition in 0..PARTITIONS {
                let body: String = (number..number + PIECE_RECORDS as u64).map(|n| format!("{n}\n")).collect();
                let post = agent.post(format!("{url}/v1/topics/in/records?partition={partition}"));
                let post = post.header("Authorization", format!("Bearer {token}")).content_type("text/plain");
                post.send(body).expect("write records");
            }
            number += PIECE_RECORDS as u64;
            pieces += 1;
            let due = Duration::from_millis(PIECE_MS * pieces);
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
        number
    })
}

fn token(host: &Host) -> String {
    std::fs::read_to_string(host.folder.join("token")).expect("read the token").trim().to_string()
}

/// Ends of the output topic's partitions, as often as they can be asked, with the time of each answer.
fn watch(host: &Host, stop: Arc<AtomicBool>) -> JoinHandle<Vec<(Instant, i64)>> {
    let url = format!("{}/v1/topics", host.url);
    std::thread::spawn(move || {
        let (agent, mut seen) = (ureq::Agent::new_with_defaults(), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            let text = agent.get(&url).call().expect("ask").body_mut().read_to_string().expect("read");
            seen.push((Instant::now(), end_of(&serde_json::from_str(&text).expect("JSON"), "out")));
            std::thread::sleep(Duration::from_millis(5));
        }
        seen
    })
}

pub fn end_of(topics: &Value, name: &str) -> i64 {
    let topic = topics.as_array().into_iter().flatten().find(|t| t["name"] == name);
    topic
        .into_iter()
        .flat_map(|t| t["partitions"].as_array().into_iter().flatten())
        .filter_map(|p| p["end"].as_i64())
        .sum()
}

/// The longest time between two instants at which new results were seen, within `from..to`.
fn longest_pause(seen: &[(Instant, i64)], from: Instant, to: Instant) -> Duration {
    let mut moved: Vec<Instant> = Vec::new();
    let mut last = -1;
    for (at, end) in seen.iter().filter(|(at, _)| *at >= from && *at <= to) {
        if *end > last {
            last = *end;
            moved.push(*at);
        }
    }
    moved.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// What came out of each partition: version and number, in order.
fn results(place: &Place) -> BTreeMap<u32, Vec<(u64, u64)>> {
    let folder = millstream::runtime::folder::Folder::open(&place.folder).unwrap();
    let log = folder.log().unwrap();
    let mut out: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let (mut offset, end) = (0, log.end_offset("out", partition).unwrap());
        while offset < end {
            let batch = log.read("out", partition, offset, 1 << 20).unwrap().batch;
            offset += batch.len() as i64;
            for i in 0..batch.len() {
                let value = std::str::from_utf8(batch.values.get(i).unwrap()).unwrap();
                let (stamp, number) = value.split_once(':').unwrap();
                let stamp = stamp.strip_prefix('v').unwrap().parse().unwrap();
                out.entry(partition).or_default().push((stamp, number.parse().unwrap()));
            }
        }
    }
    out
}

/// Switch offsets by version and partition.
fn switches(history: &Value) -> BTreeMap<u64, BTreeMap<u32, i64>> {
    let mut out: BTreeMap<u64, BTreeMap<u32, i64>> = BTreeMap::new();
    for version in history["versions"].as_array().into_iter().flatten() {
        let number = version["number"].as_u64().unwrap();
        for switch in version["switches"].as_array().into_iter().flatten() {
            let partition = switch["partition"].as_u64().unwrap() as u32;
            let before = out.entry(number).or_default().insert(partition, switch["offsets"]["in"].as_i64().unwrap());
            assert_eq!(before, None, "version {number} took over partition {partition} twice");
        }
    }
    out
}

#[test]
fn every_record_is_handled_by_exactly_one_version() {
    let swaps = if long() { 40 } else { 20 };
    let place = stamped(PARTITIONS);
    let host = Host::ready(&place.manifest, &place.folder, &["--workers", "2"]);
    let (stop, watched) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (feeder, watcher) = (feed(&host, stop.clone()), watch(&host, watched.clone()));
    eventually("results flow", 30, || match end_of(&host.get("/v1/topics")?, "out") {
        0 => Err("no result".to_string()),
        _ => Ok(()),
    });
    let begin = Instant::now();
    for number in 0..swaps {
        let file = function(if number % 2 == 0 { "stamp-v2" } else { "stamp-v1" });
        host.ok(&["deploy", "--now", "stamped/stamp", &file.to_string_lossy()]);
        std::thread::sleep(Duration::from_millis(COMMIT_INTERVAL_MS));
    }
    let end = Instant::now();
    stop.store(true, Ordering::Relaxed);
    let fed = feeder.join().unwrap();
    eventually("all results are out", 60, || match end_of(&host.get("/v1/topics")?, "out") {
        n if n == (fed * u64::from(PARTITIONS)) as i64 => Ok(()),
        n => Err(format!("{n} results")),
    });
    watched.store(true, Ordering::Relaxed);
    let pause = longest_pause(&watcher.join().unwrap(), begin, end);
    let history = host.get("/v1/functions/stamp/history").unwrap();
    assert!(host.stop().success());
    let switches = switches(&history);
    assert_eq!(switches.len() as u64, swaps + 1, "each version took over somewhere");
    for (partition, got) in results(&place) {
        let numbers: Vec<u64> = got.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, (0..fed).collect::<Vec<_>>(), "partition {partition}: each record once, in order");
        for (offset, (stamp, _)) in got.iter().enumerate() {
            let version = switches.iter().rev().find(|(_, s)| s.get(&partition).is_some_and(|at| *at <= offset as i64));
            let version = *version.expect("a version handled it").0;
            assert_eq!(
                *stamp,
                if version % 2 == 1 { 1 } else { 2 },
                "partition {partition}, offset {offset}: version {version}"
            );
        }
    }
    println!("{swaps} swaps, {fed} records a partition, longest pause between two results {pause:?}");
    let most = Duration::from_millis(PAUSE_INTERVALS_MAX * COMMIT_INTERVAL_MS);
    assert!(pause <= most, "results paused for {pause:?}; at most {most:?}");
    assert_eq!(surprises(&place.log(), &[]), Vec::<String>::new());
}

#[test]
fn a_refused_file_leaves_the_old_version_running_and_the_new_one_survives_a_restart() {
    let place = stamped(1);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let refused = host.cli(&["deploy", "--now", "stamped/stamp", &function("only-ip").to_string_lossy()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("mapper"), "it says what is missing: {said}");
    let stamp = |host: &Host| {
        host.get("/v1/functions").unwrap().as_array().unwrap().iter().find(|f| f["name"] == "stamp").cloned()
    };
    assert_eq!(stamp(&host).unwrap()["version"]["number"], 1);
    host.ok(&["deploy", "--now", "stamped/stamp", &function("stamp-v2").to_string_lossy()]);
    host.kill();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    assert_eq!(stamp(&host).unwrap()["version"]["number"], 2);
    host.ok(&["produce", "in", "--partition", "0", &lines_file(&place)]);
    let out = host.ok(&["consume", "out", "--from", "earliest", "--max", "1", "--format", "raw", "--follow"]);
    assert_eq!(out, "v2:hello\n");
    host.ok(&["rollback", "stamped/stamp"]);
    assert_eq!(stamp(&host).unwrap()["version"]["number"], 3, "going back is a version of its own");
    host.ok(&["produce", "in", &lines_file(&place)]);
    let out = host.ok(&["consume", "out", "--from", "earliest", "--max", "2", "--format", "raw", "--follow"]);
    assert_eq!(out, "v2:hello\nv1:hello\n");
    let history = host.ok(&["history", "stamped/stamp", "--json"]);
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["rejected"].as_array().unwrap().len(), 1, "{history}");
    assert!(host.stop().success());
}

fn lines_file(place: &Place) -> String {
    let path = place.folder.with_extension("txt");
    std::fs::write(&path, "hello\n").unwrap();
    path.to_string_lossy().into_owned()
}
