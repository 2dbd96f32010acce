//! Versions on trial: they run beside the one in force, on live records, and nothing of them is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_tests::host::Host;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::{Place, function, stamped};
use super::swap::{end_of, feed};

/// Partitions of [`stamped`], as [`feed`] fills them.
const PARTITIONS: u32 = 3;

/// What a call of the program said that failed.
fn refused(host: &Host, args: &[&str]) -> String {
    let output = host.cli(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A pipeline of one filter, over one partition.
fn filtered() -> Place {
    Place::new(
        "pipeline: filtered
functions:
  keep: { component: {keep-all.wasm} }
sources:
  in: { topic: in }
steps:
  kept: { from: in, filter: keep }
sinks:
  out: { from: kept, topic: out }
",
    )
}

fn produce(place: &Place, host: &Host, lines: &[&str]) {
    let path = place.folder.with_extension("txt");
    std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    host.ok(&["produce", "in", &path.to_string_lossy()]);
}

fn out(host: &Host, count: usize) -> String {
    host.ok(&["consume", "out", "--from", "earliest", "--max", &count.to_string(), "--format", "raw", "--follow"])
}

fn number_in_force(host: &Host, function: &str) -> u64 {
    let all = host.get("/v1/functions").unwrap();
    let found = all.as_array().unwrap().iter().find(|f| f["name"] == function).cloned();
    found.unwrap()["version"]["number"].as_u64().unwrap()
}

fn on_trial(host: &Host, function: &str) {
    eventually("it is on trial", 30, || {
        let probation = host.get(&format!("/v1/functions/{function}/probation"))?;
        let runs = probation["hosts"].as_object().is_some_and(|hosts| !hosts.is_empty());
        if probation["open"] == true && runs { Ok(()) } else { Err(probation.to_string()) }
    });
}

#[test]
fn a_version_that_fails_on_trial_is_not_taken_and_nothing_of_it_is_seen() {
    let place = filtered();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&place, &host, &["one", "two"]);
    assert_eq!(out(&host, 2), "one\ntwo\n");
    let file = function("bad-trap").to_string_lossy().into_owned();
    let said = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| refused(&host, &["deploy", "filtered/keep", &file, "--probation", "60s"]));
        on_trial(&host, "keep");
        produce(&place, &host, &["three", "trap", "five"]);
        deploy.join().unwrap()
    });
    for part in ["in its probation", "trapped", "in:0:3 (key null)", "the version before runs on"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(out(&host, 5), "one\ntwo\nthree\ntrap\nfive\n");
    assert_eq!(number_in_force(&host, "keep"), 1);
    let history = host.ok(&["history", "filtered/keep"]);
    assert!(history.contains("in its probation"), "{history}");
    // On its good records alone it holds, and is taken after its time.
    let file = function("bad-trap").to_string_lossy().into_owned();
    let told = host.ok(&["deploy", "filtered/keep", &file, "--probation", "300ms"]);
    assert!(told.contains("version 2 is in force") && told.contains("not exercised"), "{told}");
    assert!(host.stop().success());
}

#[test]
fn the_answer_says_how_many_outputs_differ_and_shows_some() {
    let place = stamped(PARTITIONS);
    let host = Host::ready(&place.manifest, &place.folder, &["--workers", "2"]);
    let stop = Arc::<AtomicBool>::default();
    let feeder = feed(&host, stop.clone());
    let deploy = |name: &str| {
        let said = host.ok(&["deploy", "stamped/stamp", &function(name).to_string_lossy(), "--json"]);
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let same = deploy("stamp-v1");
    let trial = &same["trials"][0];
    let number = |trial: &Value, name: &str| trial[name].as_u64().unwrap();
    assert!(number(trial, "compared") >= 10_000 && number(trial, "outputs") >= 10_000, "{trial}");
    assert_eq!((&trial["differing"], &trial["failed"]), (&0.into(), &Value::Null), "{trial}");
    assert!(trial["new"]["ns_per_record"].as_f64().unwrap() > 0.0 && number(&trial["new"], "memory_bytes") > 0);
    let other = deploy("stamp-v2");
    let trial = &other["trials"][0];
    assert_eq!(trial["differing"], trial["outputs"], "all of them: {trial}");
    let examples = trial["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 10);
    for example in examples {
        let position = example["position"].as_str().unwrap();
        let (place, offset) = position.rsplit_once(':').unwrap();
        assert!(place.starts_with("in:"), "{example}");
        // Records are numbered from 0 in each partition.
        assert_eq!(example["old"][0]["value"], format!("v1:{offset}"), "{example}");
        assert_eq!(example["new"][0]["value"], format!("v2:{offset}"), "{example}");
    }
    stop.store(true, Ordering::Relaxed);
    let fed = feeder.join().unwrap();
    let all = i64::try_from(fed * u64::from(PARTITIONS)).unwrap();
    eventually("all results are out", 60, || match end_of(&host.get("/v1/topics")?, "out") {
        n if n == all => Ok(()),
        n => Err(format!("{n} of {all}")),
    });
    let told = host.ok(&["promote", "stamped/stamp", "--report"]);
    for part in
        ["not on trial any more", "outputs differ", "ns a record", "in force  [{\"key\":", "on trial  [{\"key\":"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(host.stop().success());
}

#[test]
fn a_version_that_is_held_is_promoted_or_given_up() {
    let place = filtered();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    assert!(refused(&host, &["promote", "filtered/keep"]).contains("no version of `keep` is on trial"));
    let file = function("only-ip").to_string_lossy().into_owned();
    let said = host.ok(&["deploy", "filtered/keep", &file, "--shadow"]);
    assert!(said.contains("on trial on all hosts; version 1 is in force still"), "{said}");
    produce(&place, &host, &["one", "IP: 2"]);
    assert_eq!(out(&host, 2), "one\nIP: 2\n");
    let said = refused(&host, &["deploy", "--now", "filtered/keep", &file]);
    assert!(said.contains("held until it is promoted or given up"), "{said}");
    // Through the death of its host it stays so.
    host.kill();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    on_trial(&host, "keep");
    produce(&place, &host, &["three", "IP: 4"]);
    let report = eventually("both were compared", 30, || {
        let told = host.ok(&["promote", "filtered/keep", "--report"]);
        if told.contains("1 of 2 outputs differ") { Ok(told) } else { Err(told) }
    });
    for part in ["on trial until it is promoted", "at in:0:2", "{\"keep\":true}", "{\"keep\":false}"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    host.ok(&["promote", "filtered/keep", "--abandon"]);
    assert_eq!(number_in_force(&host, "keep"), 1);
    host.ok(&["deploy", "filtered/keep", &file, "--shadow"]);
    let said = host.ok(&["promote", "filtered/keep"]);
    assert!(said.contains("version 2 is in force, after version 1"), "{said}");
    produce(&place, &host, &["five", "IP: 6"]);
    assert_eq!(out(&host, 5), "one\nIP: 2\nthree\nIP: 4\nIP: 6\n");
    assert!(host.stop().success());
}

#[test]
fn states_on_trial_are_its_own() {
    let place = Place::new(
        "pipeline: counted
functions:
  count: { component: {count.wasm} }
sources:
  in: { topic: in }
steps:
  counts: { from: in, group: key, aggregate: count }
sinks:
  out: { from: counts, topic: out }
",
    );
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let keyed = |from: usize, to: usize| {
        let path = place.folder.with_extension("json");
        let line = |i: usize| format!("{{\"key\":\"k{}\",\"value\":\"{i:04}\",\"timestamp\":{i}}}\n", i % 3);
        std::fs::write(&path, (from..to).map(line).collect::<String>()).unwrap();
        host.ok(&["produce", "in", "--format", "json", &path.to_string_lossy()]);
    };
    let compared = |records: u64, done: &dyn Fn(&Value) -> bool| {
        eventually("they were compared", 30, || {
            let told = host.get("/v1/functions/count/probation")?;
            let trial = told["hosts"].as_object().and_then(|hosts| hosts.values().next()).cloned().unwrap_or_default();
            if trial["compared"].as_u64() >= Some(records) && done(&trial) { Ok(trial) } else { Err(told.to_string()) }
        })
    };
    keyed(0, 30);
    eventually("there are states", 30, || match host.get("/v1/tasks")?[0]["records"].as_u64() {
        Some(30) => Ok(()),
        other => Err(format!("{other:?} records")),
    });
    // The same again: from its own states the same comes out.
    host.ok(&["deploy", "counted/count", &function("count").to_string_lossy(), "--shadow"]);
    keyed(30, 60);
    keyed(60, 90);
    let trial = compared(60, &|trial| trial["outputs"].as_u64() >= Some(6));
    assert_eq!((&trial["differing"], &trial["states_begun"]), (&0.into(), &3.into()), "{trial}");
    host.ok(&["promote", "counted/count", "--abandon"]);
    // Its successor takes its states over, and counts on from there.
    host.ok(&["deploy", "counted/count", &function("count-bytes").to_string_lossy(), "--shadow"]);
    keyed(90, 120);
    let last = |trial: &Value| {
        let all = trial["examples"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|example| example["old"]["value"] == "40")
    };
    let trial = compared(30, &|trial| last(trial).is_some());
    assert_eq!(trial["differing"], trial["outputs"], "{trial}");
    assert_eq!(last(&trial).unwrap()["new"]["value"], "40 records, 40 bytes", "{trial}");
    assert!(trial["notes"][0].as_str().unwrap().contains("migrated"), "{trial}");
    host.ok(&["promote", "counted/count", "--abandon"]);
    // What is stored nobody has touched.
    keyed(120, 123);
    eventually("it is counted on", 30, || {
        let all = host.ok(&["consume", "out", "--from", "earliest", "--max", "1000", "--format", "json"]);
        let last: Value = serde_json::from_str(all.lines().last().unwrap()).unwrap();
        if last["value"] == "41" { Ok(()) } else { Err(all) }
    });
    assert!(host.stop().success());
}

/// Records of keys with a state, as JSON lines.
fn doors(place: &Place, host: &Host, records: &[(&str, &str, i64)]) {
    let path = place.folder.with_extension("json");
    let line = |(key, state, timestamp): &(&str, &str, i64)| {
        let value = format!("{{\"state\":\"{state}\",\"door\":\"{key}\"}}");
        serde_json::json!({ "key": key, "value": value, "timestamp": timestamp }).to_string() + "\n"
    };
    std::fs::write(&path, records.iter().map(line).collect::<String>()).unwrap();
    host.ok(&["produce", "in", "--format", "json", &path.to_string_lossy()]);
}

#[test]
fn a_processor_is_tried_with_stores_and_timers_of_its_own() {
    let place = Place::new(
        "pipeline: changes
functions:
  changed: { component: {changes.wasm}, function: changed, config: { field: state, forget-ms: \"1000\" } }
sources:
  in: { topic: in }
steps:
  changes: { from: in, process: changed, stores: { last: {} } }
sinks:
  out: { from: changes, topic: out }
",
    );
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let compared = |records: u64| {
        eventually("they were compared", 30, || {
            let told = host.get("/v1/functions/changed/probation")?;
            let trial = told["hosts"].as_object().and_then(|hosts| hosts.values().next()).cloned().unwrap_or_default();
            if trial["compared"].as_u64() >= Some(records) { Ok(trial) } else { Err(told.to_string()) }
        })
    };
    let (file, settings) = (function("changes"), place.folder.with_extension("settings.json"));
    let shadow = |with: &str| {
        std::fs::write(&settings, with).unwrap();
        let file = file.to_string_lossy().into_owned();
        let settings = settings.to_string_lossy().into_owned();
        host.ok(&["deploy", "changes/changed", &file, "--config", &settings, "--shadow"]);
    };
    doors(&place, &host, &[("a", "open", 0), ("b", "open", 0)]);
    assert_eq!(out(&host, 2).lines().count(), 2);
    // The same, said in another way: it goes on from what is stored, and forgets at the same time.
    shadow("{\"forget-ms\": \"1000\", \"field\": \"state\"}");
    doors(&place, &host, &[("a", "open", 500), ("a", "shut", 900), ("b", "open", 1_400), ("a", "shut", 5_000)]);
    let trial = compared(4);
    assert_eq!((&trial["differing"], &trial["failed"]), (&0.into(), &Value::Null), "{trial}");
    assert_eq!(trial["notes"], serde_json::json!([]), "{trial}");
    host.ok(&["promote", "changes/changed", "--abandon"]);
    // One that remembers longer says less: b is forgotten in force alone.
    shadow("{\"forget-ms\": \"60000\", \"field\": \"state\"}");
    doors(&place, &host, &[("b", "open", 6_000), ("b", "open", 6_500), ("b", "open", 9_000)]);
    let trial = compared(3);
    assert_eq!(trial["differing"], 1, "{trial}");
    let example = &trial["examples"][0];
    assert_eq!((&example["position"], &example["new"]), (&"in:0:8".into(), &serde_json::json!([])), "{trial}");
    host.ok(&["promote", "changes/changed", "--abandon"]);
    // One that forgets sooner says more, by timers that the version in force does not have.
    shadow("{\"forget-ms\": \"100\", \"field\": \"state\"}");
    doors(&place, &host, &[("c", "open", 10_000), ("c", "open", 10_050), ("c", "open", 10_500)]);
    let trial = compared(3);
    assert_eq!(trial["differing"], 1, "{trial}");
    let example = &trial["examples"][0];
    assert_eq!((&example["position"], &example["old"]), (&"in:0:11".into(), &serde_json::json!([])), "{trial}");
    assert!(host.stop().success());
}

#[test]
fn what_the_step_does_not_take_is_found_on_trial() {
    let place = Place::new(
        "pipeline: mapped
functions:
  map: { component: {identity.wasm} }
sources:
  in: { topic: in }
steps:
  mapped: { from: in, map-values: map }
sinks:
  out: { from: mapped, topic: out }
",
    );
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let file = function("words").to_string_lossy().into_owned();
    let said = std::thread::scope(|scope| {
        let deploy = scope.spawn(|| refused(&host, &["deploy", "mapped/map", &file, "--probation", "60s"]));
        on_trial(&host, "map");
        produce(&place, &host, &["two words"]);
        deploy.join().unwrap()
    });
    for part in ["in its probation", "more than one result for a record; use `flat-map` for that", "in:0:0"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(out(&host, 1), "two words\n");
    assert!(host.stop().success());
}

#[test]
fn the_last_records_are_taken_through_again_first() {
    let place = filtered();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&place, &host, &["one", "trap", "IP: 3", "four", "IP: 5"]);
    out(&host, 5);
    let deploy = |name: &str, more: &[&str]| {
        let file = function(name).to_string_lossy().into_owned();
        [&["deploy", "filtered/keep", &file], more].concat().into_iter().map(str::to_string).collect::<Vec<_>>()
    };
    // What traps on one of them is found out before anything comes.
    let args = deploy("bad-trap", &["--replay", "100", "--probation", "60s"]);
    let said = refused(&host, &args.iter().map(String::as_str).collect::<Vec<_>>());
    for part in ["in its probation", "trapped", "in:0:1 (key null)"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Of the last three the others do not say anything.
    let args = deploy("only-ip", &["--replay", "3", "--probation", "100ms", "--json"]);
    let said = host.ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let trial = &serde_json::from_str::<Value>(&said).unwrap()["trials"][0];
    let number = |name: &str| trial[name].as_u64().unwrap();
    let all = (number("replayed"), number("records"), number("compared"), number("outputs"), number("differing"));
    assert_eq!(all, (3, 3, 3, 3, 1), "{trial}");
    assert_eq!((&trial["examples"][0]["position"], &trial["exercised"]), (&"in:0:3".into(), &true.into()), "{trial}");
    assert_eq!(number_in_force(&host, "keep"), 2);
    // Nothing of that was written.
    produce(&place, &host, &["IP: 6"]);
    assert_eq!(out(&host, 6), "one\ntrap\nIP: 3\nfour\nIP: 5\nIP: 6\n");
    let said = host.cli(&["deploy", "filtered/keep", "x.wasm", "--replay", "100001"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("100001 is not in 1..=100000"), "{said:?}");
    assert!(host.stop().success());
}

#[test]
fn a_replay_begins_with_empty_states_and_goes_on_with_those_that_are_there() {
    let place = Place::new(
        "pipeline: counted
functions:
  count: { component: {count.wasm} }
  changed: { component: {changes.wasm}, function: changed, config: { field: state } }
sources:
  in: { topic: in, partitions: 2 }
steps:
  changes: { from: in, process: changed, stores: { last: {} } }
  counts: { from: changes, group: key, aggregate: count }
sinks:
  out: { from: counts, topic: out }
",
    );
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let states = ["open", "open", "shut", "shut", "open"];
    let records: Vec<_> = (0..40).map(|i| (["a", "b", "c"][i % 3], states[i % 5], i as i64)).collect();
    doors(&place, &host, &records);
    let settings = place.folder.with_extension("settings.json");
    std::fs::write(&settings, "{\"field\": \"state\", \"forget-ms\": \"100000\"}").unwrap();
    let (count, changes) = (function("count"), function("changes"));
    let more = format!("count={}", count.display());
    let config = format!("changed={}", settings.display());
    let args = [
        "deploy",
        "counted/changed",
        &changes.to_string_lossy(),
        &more,
        "--config",
        &config,
        "--replay",
        "1000",
        "--shadow",
    ];
    host.ok(&args);
    let report = |function: &str, done: &dyn Fn(&Value) -> bool| {
        eventually("they were compared", 30, || {
            let told = host.get(&format!("/v1/functions/{function}/probation"))?;
            let trial = told["hosts"].as_object().and_then(|hosts| hosts.values().next()).cloned().unwrap_or_default();
            if done(&trial) { Ok(trial) } else { Err(told.to_string()) }
        })
    };
    // It is told of once live records are compared.
    let trial = report("changed", &|trial| trial["replayed"] == 40 && trial["compared"] == 40);
    assert_eq!(trial["differing"], 0, "{trial}");
    let counted = report("count", &|trial| trial["compared"].as_u64() > Some(0) && trial["replayed"] == 40);
    assert_eq!(counted["differing"], 0, "{counted}");
    // Then come the running pipeline's, with its states.
    doors(&place, &host, &records);
    let trial = report("changed", &|trial| trial["compared"] == 80);
    assert_eq!((&trial["differing"], &trial["failed"]), (&0.into(), &Value::Null), "{trial}");
    let counted = report("count", &|trial| trial["compared"].as_u64() > counted["compared"].as_u64());
    assert_eq!(counted["differing"], 0, "{counted}");
    assert!(host.stop().success());
}
