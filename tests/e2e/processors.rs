//! Processors through the whole program: a component with stores and timers in a pipeline, from manifest to results.

use std::fs;

use millstream_tests::host::{functions, run};

use crate::manifests::Place;

const MANIFEST: &str = "pipeline: alarms
functions:
  alarm: { component: {alarm.wasm} }
sources:
  in: { topic: in }
steps:
  alarms: { from: in, process: alarm, stores: { last: { ttl: 1h } }, outputs: [silent, again], on-error: { dead-letter: bad } }
sinks:
  silent: { from: alarms.silent, topic: silent }
  again: { from: alarms.again, topic: again }
";

/// A record as a line of JSON.
fn line(key: Option<&str>, value: &str, timestamp: i64) -> String {
    serde_json::json!({ "key": key, "value": value, "timestamp": timestamp }).to_string() + "\n"
}

#[test]
fn a_key_that_falls_silent_gives_an_alarm() {
    gives_alarms("alarm");
}

/// The same, of the sample in other languages.
#[test]
fn processors_in_other_languages_do_as_the_one_in_rust() {
    // Who asks for some languages alone has built no others.
    let all_are_built = std::env::var_os("MILLSTREAM_LANGUAGES").is_none();
    for sample in ["alarm-zig", "alarm-assemblyscript", "alarm-go", "alarm-javascript", "alarm-python"] {
        if all_are_built || functions().join(format!("{sample}.wasm")).exists() {
            gives_alarms(sample);
        }
    }
}

fn gives_alarms(sample: &str) {
    let place = Place::new(&MANIFEST.replace("{alarm.wasm}", &format!("{{{sample}.wasm}}")));
    let (input, expect) = (place.folder.with_extension("in"), place.folder.with_extension("out"));
    let records = [
        line(Some("a"), "up", 1_000),
        line(Some("b"), "up", 2_000),
        line(None, "nobody's", 3_000),
        line(Some("a"), "still up", 20_000),
        // b has been silent since 2 s, at 32 s: before this record.
        line(Some("c"), "up", 40_000),
        line(Some("b"), "back", 45_000),
        // a at 50 s, c at 70 s, b at 75 s.
        line(Some("d"), "up", 100_000),
        // Of what b said there is nothing left after an hour.
        line(Some("b"), "back again", 5_000_000),
    ];
    fs::write(&input, records.concat()).unwrap();
    let (mut silent, mut again) = (String::new(), String::new());
    for (key, value, timestamp) in [
        ("b", "up", 32_000),
        ("a", "still up", 50_000),
        ("c", "up", 70_000),
        ("b", "back", 75_000),
        ("d", "up", 130_000),
    ] {
        let result = serde_json::json!({ "topic": "silent", "key": key, "value": value, "timestamp": timestamp });
        silent += &(result.to_string() + "\n");
    }
    let result = serde_json::json!({ "topic": "again", "key": "b", "value": "43000", "timestamp": 45_000 });
    again += &(result.to_string() + "\n");
    let bad = serde_json::json!({ "topic": "bad", "value": "nobody's", "timestamp": 3_000 }).to_string() + "\n";
    fs::write(&expect, silent + &again + &bad).unwrap();
    let manifest = place.manifest.to_string_lossy().into_owned();
    let args = ["test", &manifest, "--input", &input.to_string_lossy(), "--expect", &expect.to_string_lossy()];
    let output = run(&args);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{sample}: {}{}", said(&output.stdout), said(&output.stderr));
}

/// Both functions of one file, a processor with a timer and a router, by name and with settings.
#[test]
fn processors_and_routers_of_one_file_take_settings() {
    let place = Place::new(
        "pipeline: changes
functions:
  changed: { component: {changes.wasm}, function: changed, config: { field: state, forget-ms: \"1000\" } }
  to-topic: { component: {changes.wasm}, function: to-topic, config: { field: state, prefix: doors } }
sources:
  in: { topic: in }
steps:
  changes: { from: in, process: changed, stores: { last: {} }, on-error: { dead-letter: bad } }
sinks:
  out: { from: changes, topic: doors, route: to-topic, topics: [doors-open, doors-shut], on-error: { dead-letter: bad } }
",
    );
    let (input, expect) = (place.folder.with_extension("in"), place.folder.with_extension("out"));
    let state = |state: &str| format!(r#"{{"state":"{state}"}}"#);
    let records = [
        line(Some("a"), &state("open"), 1_000),
        line(Some("a"), &state("open"), 1_500),
        line(Some("a"), &state("shut"), 2_000),
        line(Some("a"), "broken", 2_100),
        // A second after the last of a it is forgotten.
        line(Some("b"), &state("ajar"), 3_000),
        line(Some("a"), &state("shut"), 3_100),
    ];
    fs::write(&input, records.concat()).unwrap();
    let result = |topic: &str, key: &str, value: &str, timestamp: i64| {
        let result = serde_json::json!({ "topic": topic, "key": key, "value": value, "timestamp": timestamp });
        result.to_string() + "\n"
    };
    let expected = [
        result("doors-open", "a", &state("open"), 1_000),
        result("doors-shut", "a", &state("shut"), 2_000),
        result("doors-shut", "a", &state("shut"), 3_100),
        result("bad", "a", "broken", 2_100),
        result("bad", "b", &state("ajar"), 3_000),
    ];
    fs::write(&expect, expected.concat()).unwrap();
    let manifest = place.manifest.to_string_lossy().into_owned();
    let args = ["test", &manifest, "--input", &input.to_string_lossy(), "--expect", &expect.to_string_lossy()];
    let output = run(&args);
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}
