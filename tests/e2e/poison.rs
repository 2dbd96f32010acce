//! Functions that fail on some records: those records go where `on-error` says, nothing else is lost, the host stays up.

use std::path::PathBuf;

use millstream_tests::host::Host;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::{Place, function};

/// Records of one batch.
const RECORDS: usize = 1_000;

fn place(bad: &str, on_error: &str) -> Place {
    Place::new(&format!(
        "pipeline: poisoned
functions:
  bad: {{ component: {{{bad}.wasm}}, limits: {{ time-per-call: 50ms }} }}
sources:
  in: {{ topic: in }}
steps:
  kept: {{ from: in, filter: bad, on-error: {on_error} }}
sinks:
  out: {{ from: kept, topic: out }}
"
    ))
}

fn file(place: &Place, lines: impl Iterator<Item = String>) -> PathBuf {
    let path = place.folder.with_extension("txt");
    std::fs::write(&path, lines.map(|line| line + "\n").collect::<String>()).unwrap();
    path
}

fn values(host: &Host, topic: &str, count: usize) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let text =
        host.ok(&["consume", topic, "--from", "earliest", "--max", &count.to_string(), "--format", "raw", "--follow"]);
    text.lines().map(str::to_string).collect()
}

fn ends(host: &Host, topic: &str) -> i64 {
    let topics = host.get("/v1/topics").unwrap();
    let found = topics.as_array().into_iter().flatten().find(|t| t["name"] == topic).cloned();
    found.map_or(0, |t| t["partitions"][0]["end"].as_i64().unwrap())
}

/// Produces a batch with poison at some places, in one request, and checks what becomes of every record.
fn check(bad: &str, poison: &str, places: &[usize]) {
    let place = place(bad, "{ dead-letter: dead }");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let line = |i: usize| if places.contains(&i) { poison.to_string() } else { format!("good {i}") };
    let lines = file(&place, (0..RECORDS).map(line));
    host.ok(&["produce", "in", &lines.to_string_lossy()]);
    let good: Vec<String> = (0..RECORDS).filter(|i| !places.contains(i)).map(line).collect();
    eventually("every record has gone somewhere", 60, || {
        let there = ends(&host, "out") + ends(&host, "dead");
        if there == RECORDS as i64 { Ok(()) } else { Err(format!("{there} of {RECORDS}: {:?}", host.get("/v1/tasks"))) }
    });
    assert_eq!(values(&host, "out", good.len()), good, "{bad} at {places:?}");
    let dead = host.ok(&[
        "consume",
        "dead",
        "--from",
        "earliest",
        "--max",
        &places.len().to_string(),
        "--format",
        "json",
        "--follow",
    ]);
    let dead: Vec<Value> = dead.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(dead.len(), places.len());
    for (letter, at) in dead.iter().zip(places) {
        assert_eq!(letter["value"], poison);
        let offset =
            letter["headers"].as_array().unwrap().iter().find(|h| h[0].as_str().unwrap().ends_with("errors.offset"));
        assert_eq!(offset.map(|h| h[1].clone()), Some(Value::String(at.to_string())), "{letter}");
    }
    assert!(host.stop().success());
}

#[test]
fn a_trap_on_the_first_the_last_and_a_middle_record() {
    check("bad-trap", "trap", &[0]);
    check("bad-trap", "trap", &[RECORDS - 1]);
    check("bad-trap", "trap", &[0, 1, RECORDS / 2, RECORDS - 1]);
}

#[test]
fn a_trap_on_every_record() {
    let all: Vec<usize> = (0..RECORDS).collect();
    check("bad-trap", "trap", &all);
}

#[test]
fn a_function_that_never_ends_on_a_record() {
    check("bad-spin", "spin", &[RECORDS / 2]);
}

#[test]
fn a_function_that_always_fails_stops_its_task_and_another_version_goes_on_from_there() {
    let place = place("bad-trap-always", "fail");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let lines = file(&place, (0..10).map(|i| format!("good {i}")));
    host.ok(&["produce", "in", &lines.to_string_lossy()]);
    let reason = eventually("the task has stopped", 30, || {
        let tasks = host.get("/v1/tasks")?;
        match tasks[0]["state"].as_str() {
            Some("stopped") => Ok(tasks[0]["reason"].to_string()),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(reason.contains("kept") && reason.contains("trap"), "{reason}");
    assert!(ureq::get(format!("{}/readyz", host.url)).call().is_err(), "it is not ready, and says so");
    assert_eq!(ends(&host, "out"), 0);
    host.ok(&["deploy", "--now", "poisoned/bad", &function("keep-all").to_string_lossy()]);
    assert_eq!(values(&host, "out", 10).len(), 10);
    assert!(host.stop().success());
}

/// A version that fails where the one before did not is gone back from: nothing of it is seen, nothing is lost, and the history says why.
#[test]
fn a_deployed_version_that_fails_is_gone_back_from_by_itself() {
    let place = place("keep-all", "fail");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let lines = file(&place, (0..10).map(|i| format!("good {i}")));
    host.ok(&["produce", "in", &lines.to_string_lossy()]);
    assert_eq!(values(&host, "out", 10).len(), 10);
    host.ok(&["deploy", "--now", "poisoned/bad", &function("bad-trap").to_string_lossy()]);
    let poison = file(&place, ["better", "trap", "last"].map(str::to_string).into_iter());
    host.ok(&["produce", "in", &poison.to_string_lossy()]);
    assert_eq!(values(&host, "out", 13)[10..], ["better", "trap", "last"]);
    let history = eventually("it is said in the history", 10, || {
        let history = host.get("/v1/functions/bad/history")?;
        if history["versions"].as_array().map_or(0, Vec::len) == 3 { Ok(history) } else { Err(history.to_string()) }
    });
    let versions = history["versions"].as_array().unwrap();
    let why = versions[1]["failed"].as_str().unwrap_or_default();
    assert!(why.contains("kept") && why.contains("trap") && why.contains("offset 11"), "{history}");
    assert_eq!((&versions[2]["back_from"], &versions[2]["digest"]), (&2.into(), &versions[0]["digest"]), "{history}");
    let shown = host.ok(&["history", "poisoned/bad"]);
    assert!(shown.contains("back from version 2") && shown.contains("failed: "), "{shown}");
    let none = host.cli(&["rollback", "poisoned/bad"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(!none.status.success() && said.contains("no earlier version"), "what has failed is none: {said}");
    // The same file again is another try: on other records it holds.
    host.ok(&["deploy", "--now", "poisoned/bad", &function("bad-trap").to_string_lossy()]);
    let good = file(&place, (0..10).map(|i| format!("good {i}")));
    host.ok(&["produce", "in", &good.to_string_lossy()]);
    assert_eq!(values(&host, "out", 23).len(), 23);
    assert_eq!(host.get("/v1/functions").unwrap()[0]["version"]["number"], 4);
    assert!(host.stop().success());
}
