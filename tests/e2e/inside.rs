//! Seeing inside of functions as a user does: their lines, where their time goes, one record once more, what a trap leaves.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use millstream_tests::host::Host;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::{Place, function};

/// A mapper that says what it sees, and panics where it is told to; behind it counts.
fn watched(more: &str) -> Place {
    Place::new(&format!(
        "pipeline: inside
functions:
  look: {{ component: {{surroundings.wasm}}{more} }}
  count: {{ component: {{count.wasm}} }}
sources:
  in: {{ topic: in }}
steps:
  looked: {{ from: in, map-values: look, on-error: skip }}
  counts: {{ from: looked, group: key, window: {{ tumbling: 10s, grace: 0s }}, aggregate: count, emit: on-close }}
sinks:
  out: {{ from: looked, topic: out }}
  counted: {{ from: counts, topic: counted }}
"
    ))
}

fn produce(place: &Place, host: &Host, lines: &[&str]) {
    let path = place.folder.with_extension("txt");
    let record = |line: &&str| format!("{}\n", serde_json::json!({ "key": "k", "value": line, "timestamp": 5 }));
    fs::write(&path, lines.iter().map(record).collect::<String>()).unwrap();
    host.ok(&["produce", "in", "--format", "json", &path.to_string_lossy()]);
}

fn handled(host: &Host, records: u64) {
    eventually("all is handled", 30, || {
        let tasks = host.get("/v1/tasks")?;
        let done: u64 = tasks.as_array().unwrap().iter().filter_map(|task| task["records"].as_u64()).sum();
        if done >= records { Ok(()) } else { Err(tasks.to_string()) }
    });
}

fn failed(host: &Host, args: &[&str]) -> (String, String) {
    let output = host.cli(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn lines_of_functions_name_their_version_and_records() {
    let place = watched("");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&place, &host, &["one", "warn", "three"]);
    handled(&host, 3);
    let lines = |args: &[&str]| -> Vec<Value> {
        let said = host.ok(&[&["logs", "--json"], args].concat());
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&["inside"]);
    // What goes to standard error is held back until the call is over: it may be the last words before a trap.
    let texts: Vec<&str> = all.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(texts, ["saw one", "saw warn", "saw three", "a warning"]);
    let by = serde_json::json!([{ "function": "look", "version": 1 }]);
    for line in &all {
        assert_eq!(line["by"], by, "{line}");
        let at = |which: &str| line["records"][which]["offset"].as_i64().unwrap();
        assert!(at("first") <= at("last") && (0..3).contains(&at("first")), "{line}");
        assert_eq!((&line["records"]["partition"], &line["records"]["last"]["topic"]), (&0.into(), &"in".into()));
    }
    assert_eq!(lines(&["inside/look", "--level", "warn", "--version", "1"]).len(), 1);
    assert_eq!(lines(&["inside/count"]).len() + lines(&["inside/look", "--version", "2"]).len(), 0);
    let shown = host.ok(&["logs", "inside/look", "--lines", "1"]);
    assert!(shown.contains("WARN   look 1  a warning  [in:0:") && shown.lines().count() == 1, "{shown}");
    assert!(failed(&host, &["logs", "inside/loook"]).1.contains("is `look` meant?"));
    let metrics = ureq::get(format!("{}/metrics", host.url)).call().unwrap().body_mut().read_to_string().unwrap();
    for part in [
        "millstream_function_records_total{function=\"look\",version=\"1\"} 3",
        "millstream_function_log_lines_total{function=\"look\",version=\"1\",kind=\"written\"} 4",
        "millstream_function_cpu_seconds_total{function=\"look\",version=\"1\"} ",
        "millstream_function_rejected_records_total{function=\"look\",version=\"1\"} 0",
    ] {
        assert!(metrics.contains(part), "{part}: {metrics}");
    }
    assert!(host.stop().success());
}

#[test]
fn a_record_is_taken_through_once_more_and_nothing_is_kept() {
    let place = watched("");
    let dumps = place.folder.with_extension("dumps");
    let host = Host::ready(&place.manifest, &place.folder, &["--core-dumps", &dumps.to_string_lossy()]);
    produce(&place, &host, &["one", "panic", "three"]);
    handled(&host, 3);
    let path = place.folder.with_extension("core");
    let dump = path.to_string_lossy().into_owned();
    let told = host.ok(&["replay", "inside/look", "in:0:0"]);
    for part in [
        "in:0:0 through look, version 1 (",
        "mapper.apply (",
        "  in   record    key \"k\"  value \"one\"  timestamp 5\n",
        "  out  result    key \"k\"  value \"env [] ",
        "info: saw one\n",
        "left the pipeline\n  out\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let look = &host.get("/v1/functions").unwrap()[0];
    assert_eq!(look["work"]["dropped"], serde_json::json!({ "poisoned": 1 }), "{look}");
    // What a function makes of its states, windows closed at the end.
    let counted = host.ok(&["replay", "inside/count", "in:0:2"]);
    for part in
        ["aggregator.add (", "  in   group     key \"k\"  window 0 to 10000\n", "aggregator.finish (", "  counted\n"]
    {
        assert!(counted.contains(part), "{part}: {counted}");
    }
    let (said, _) = failed(&host, &["replay", "inside/look", "in:0:1", "--core-dump", &dump]);
    assert!(said.contains("failed: trapped: panicked at surroundings-rust/src/lib.rs:"), "{said}");
    assert!(said.contains("nothing left the pipeline"), "{said}");
    assert!(fs::read(&path).unwrap().starts_with(b"\0asm"));
    // The host itself has kept those of its own run.
    assert!(fs::read_dir(&dumps).unwrap().count() >= 1);
    // Another component, which is not deployed; and earlier versions.
    let other = function("identity").to_string_lossy().into_owned();
    let told = host.ok(&["replay", "inside/look", "in:0:1", "--file", &other]);
    assert!(told.contains("through look, the file (") && told.contains("value \"panic\""), "{told}");
    host.ok(&["deploy", "inside/look", &other, "--now"]);
    assert!(host.ok(&["replay", "inside/look", "in:0:0"]).contains("version 2 ("));
    assert!(host.ok(&["replay", "inside/look", "in:0:0", "--version", "1"]).contains("saw one"));
    refuses(&host);
    let tasks = host.get("/v1/tasks").unwrap().to_string();
    assert_eq!(tasks.matches("\"records\":3").count(), 1, "what was replayed is not counted: {tasks}");
    assert_eq!(host.ok(&["consume", "out", "--from", "earliest", "--max", "9"]).lines().count(), 2);
    assert!(host.stop().success());
}

fn refuses(host: &Host) {
    let told = |args: &[&str]| failed(host, &[&["replay"], args].concat()).1;
    assert!(told(&["inside/look", "in:0:3"]).contains("no record at offset 3"));
    assert!(told(&["inside/look", "in:7:0"]).contains("partition"), "no such partition");
    assert!(told(&["inside/look", "inn:0:0"]).contains("`in` meant"));
    assert!(told(&["inside/look", "out:0:0"]).contains("no step reads records of the topic `out`"));
    assert!(told(&["inside/look", "in:0:0", "--version", "9"]).contains("no version 9"));
    assert!(told(&["inside/nobody", "in:0:0"]).contains("no function `nobody`"));
    let filter = function("keep-all").to_string_lossy().into_owned();
    let said = told(&["inside/look", "in:0:0", "--file", &filter]);
    assert!(said.contains("mapper"), "what it lacks: {said}");
}

#[test]
fn a_profile_says_where_time_goes() {
    let place = watched("");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let said = failed(&host, &["profile", "inside/look", "--seconds", "1"]).1;
    assert!(said.contains("was never seen running"), "{said}");
    let stop = AtomicBool::new(false);
    let lines = vec!["a"; 2_000];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                produce(&place, &host, &lines);
            }
        });
        let folded = host.cli(&["profile", "inside/look", "--seconds", "2", "--format", "folded", "-o", "-"]);
        let svg = place.folder.with_extension("svg");
        let graph = host.cli(&["profile", "inside/look", "--seconds", "2", "-o", &svg.to_string_lossy()]);
        stop.store(true, Ordering::Relaxed);
        assert!(folded.status.success() && graph.status.success(), "{folded:?} {graph:?}");
        let folded = String::from_utf8(folded.stdout).unwrap();
        let seen = folded.lines().filter(|line| line.starts_with("millstream:udf/mapper@") && line.contains(';'));
        assert!(seen.count() >= 1, "{folded}");
        let svg = fs::read_to_string(svg).unwrap();
        assert!(svg.contains("<svg") && svg.contains("inside/look") && svg.contains("mapper@0.1.0#apply"), "{svg}");
        let listed = String::from_utf8(graph.stdout).unwrap();
        assert!(listed.lines().next().is_some_and(|line| line.contains(" %  ")), "{listed}");
    });
    assert!(host.stop().success());
}

#[test]
fn what_is_granted_in_the_manifest_is_seen() {
    let place = watched(", grants: { clock: wall, env: [PATH] }");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&place, &host, &["a"]);
    handled(&host, 1);
    let out = host.ok(&["consume", "out", "--from", "earliest", "--max", "1", "--format", "json"]);
    assert!(
        out.contains("env [(\\\"PATH\\\"") && !out.contains("wall 0.0") && out.contains("79fd7525af4ba3d2"),
        "{out}"
    );
    assert!(host.stop().success());
    let without = place.manifest.with_file_name("without.yaml");
    let manifest = fs::read_to_string(&place.manifest).unwrap().replace("[PATH]", "[NOT_SET_ANYWHERE]");
    fs::write(&without, manifest).unwrap();
    let output = millstream_tests::host::run(&["check", &without.to_string_lossy()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("no variable `NOT_SET_ANYWHERE`"), "{said}");
    assert!(said.contains("may give other results"), "a clock has a price: {said}");
}

#[test]
fn lines_go_to_a_topic_where_the_manifest_names_one() {
    let place = watched("");
    let manifest = fs::read_to_string(&place.manifest).unwrap();
    fs::write(&place.manifest, manifest.replace("functions:\n", "logs: { topic: said, level: warn }\nfunctions:\n"))
        .unwrap();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&place, &host, &["one", "warn", "three"]);
    let said = host.ok(&["consume", "said", "--from", "earliest", "--max", "1", "--follow", "--format", "json"]);
    let record: Value = serde_json::from_str(said.trim()).unwrap();
    let line: Value = serde_json::from_str(record["value"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&record["key"], &line["message"], &line["level"]),
        (&"look".into(), &"a warning".into(), &"warn".into())
    );
    assert_eq!((&line["by"][0]["version"], &line["host"]), (&1.into(), &"this host".into()), "{line}");
    assert_eq!(line["records"]["first"]["topic"], "in", "{line}");
    assert!(host.stop().success());
    // What was said last is there as well when the host is gone and back.
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    assert_eq!(host.ok(&["consume", "said", "--from", "earliest", "--max", "9"]).lines().count(), 1);
    assert!(host.stop().success());
}
