//! Formats from the manifest to the function and back: by files through `test`, and in a running host with a registry over HTTP that is
//! down at first.

// Asks for more elsewhere.
#[allow(dead_code)]
#[path = "../../host/formats/tests/fake/mod.rs"]
mod fake;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake::{Answer, Registry, json};
use millstream_tests::host::{Host, run};
use millstream_tests::wait::eventually;
use serde_json::{Value, json as value};

use super::manifests::Place;

const SCHEMA: &str = r#"{"type":"record","name":"Reading","fields":[{"name":"place","type":"string"},{"name":"celsius","type":"double"}]}"#;

/// A reading in Avro's binary form, as the specification says: the length as a zigzag varint, the text, eight bytes.
fn reading(place: &str, celsius: f64) -> Vec<u8> {
    let length = u8::try_from(place.len() * 2).expect("a short name");
    [&[length][..], place.as_bytes(), &celsius.to_le_bytes()].concat()
}

/// The same behind the header of a registry.
fn by_registry(id: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), bytes].concat()
}

/// A line of input; bytes that are no text stand as base64.
fn line(topic: &str, key: &str, bytes: &[u8]) -> String {
    value!({ "topic": topic, "key": key, "value": { "base64": STANDARD.encode(bytes) }, "timestamp": 1 }).to_string()
        + "\n"
}

/// Bytes of a part of a line of output.
fn bytes(part: &Value) -> Vec<u8> {
    match part {
        Value::String(text) => text.as_bytes().to_vec(),
        other => STANDARD.decode(other["base64"].as_str().expect("base64")).expect("base64"),
    }
}

/// Keys and values in a topic, in order.
fn results(lines: &str, topic: &str) -> Vec<(String, Vec<u8>)> {
    let lines = lines.lines().map(|l| serde_json::from_str::<Value>(l).expect("a line of JSON"));
    let of = lines.filter(|l| l["topic"] == topic);
    of.map(|l| (l["key"].as_str().unwrap_or("-").to_string(), bytes(&l["value"]))).collect()
}

#[test]
fn functions_see_json_of_what_files_describe_and_sinks_write_it_back() {
    let place = Place::new(
        "pipeline: readings
functions:
  by-place: { component: {json-fields.wasm}, function: by-field, config: { field: place } }
  pair: { component: {pair.wasm} }
sources:
  readings: { topic: readings, format: { avro: { schema: reading.avsc } }, on-error: { dead-letter: bad } }
  names: { topic: names, format: { avro: { schema: reading.avsc } }, on-error: skip }
steps:
  keyed: { from: readings, select-key: by-place }
  offsets: { from: names, global-table: {} }
  both: { from: keyed, join: offsets, key: by-place, type: left, with: pair, on-error: skip }
sinks:
  text: { from: keyed, topic: text, format: json }
  again: { from: keyed, topic: again, format: { avro: { schema: reading.avsc } } }
  plain: { from: keyed, topic: plain, format: { key: json, value: bytes }, on-error: { dead-letter: unkeyed } }
  both: { from: both, topic: both }
",
    );
    fs::write(place.manifest.with_file_name("reading.avsc"), SCHEMA).unwrap();
    let attic = reading("attic", 21.5);
    let lines = [
        line("names", "attic", &[1, 2, 3]),
        line("names", "attic", &reading("offset", 0.5)),
        line("readings", "a", &attic),
        line("readings", "b", &attic[..9]),
        line("readings", "c", &reading("cellar", -3.0)),
    ];
    let input = place.folder.with_extension("in");
    fs::write(&input, lines.concat()).unwrap();
    let said = run(&["test", &place.manifest.to_string_lossy(), "--input", &input.to_string_lossy()]);
    let (out, erred) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{out}{erred}");
    let text = |place: &str, celsius: &str| format!("{{\"place\":\"{place}\",\"celsius\":{celsius}}}");
    let (first, second) = (text("attic", "21.5"), text("cellar", "-3.0"));
    let expected =
        |first: &[u8], second: &[u8]| [("attic".to_string(), first.to_vec()), ("cellar".to_string(), second.to_vec())];
    assert_eq!(results(&out, "text"), expected(first.as_bytes(), second.as_bytes()), "{erred}");
    assert_eq!(results(&out, "again"), expected(&attic, &reading("cellar", -3.0)));
    // A key that is no JSON has no form there; what goes is the record that was read.
    let read = [("a".to_string(), attic.clone()), ("c".to_string(), reading("cellar", -3.0))];
    assert_eq!(results(&out, "unkeyed"), read);
    assert_eq!(results(&out, "plain"), []);
    // As it was read.
    assert_eq!(results(&out, "bad"), [("b".to_string(), attic[..9].to_vec())]);
    // A joiner that finds commas in what it is given refuses it: it was given JSON of both.
    assert_eq!(results(&out, "both"), []);
}

#[test]
fn a_registry_that_is_down_is_waited_for_and_its_schemas_are_gone_by() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    let registry = Registry::start(move |_, asked| {
        if !is_up.load(Ordering::SeqCst) {
            return Answer::HangUp;
        }
        let schema = SCHEMA.replace('"', "\\\"");
        match asked.line.as_str() {
            "GET /schemas/ids/7" => json(200, &format!("{{\"schema\":\"{schema}\"}}")),
            "GET /subjects/kept-value/versions/latest" => {
                json(200, &format!("{{\"subject\":\"kept-value\",\"version\":1,\"id\":9,\"schema\":\"{schema}\"}}"))
            }
            _ => json(404, r#"{"error_code":40403,"message":"Schema not found"}"#),
        }
    });
    let place = Place::new(&format!(
        "pipeline: kept
registry: {{ url: \"{}\" }}
functions:
  by-place: {{ component: {{json-fields.wasm}}, function: by-field, config: {{ field: place }} }}
sources:
  readings: {{ topic: readings, format: avro, on-error: {{ dead-letter: bad }} }}
steps:
  keyed: {{ from: readings, select-key: by-place }}
sinks:
  kept: {{ from: keyed, topic: kept, format: avro }}
",
        registry.url()
    ));
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let attic = reading("attic", 21.5);
    let lines = [
        line("readings", "a", &by_registry(7, &attic)),
        line("readings", "b", &by_registry(8, &attic)),
        line("readings", "c", &attic),
        line("readings", "d", &by_registry(7, &attic)),
    ];
    let file = place.folder.with_extension("in");
    fs::write(&file, lines.concat()).unwrap();
    host.ok(&["produce", "readings", "--json-lines", &file.to_string_lossy()]);
    eventually("the host says what it waits for", 30, || {
        let tasks = host.get("/v1/tasks").unwrap_or_default().to_string();
        if tasks.contains("registry") { Ok(()) } else { Err(tasks) }
    });
    up.store(true, Ordering::SeqCst);
    let all = |topic: &str, max: &str| {
        let out = host.ok(&["consume", topic, "--from", "earliest", "--max", max, "--format", "json", "--follow"]);
        let lines = out.lines().map(|l| serde_json::from_str::<Value>(l).expect("a line of JSON"));
        lines.map(|l| bytes(&l["value"])).collect::<Vec<_>>()
    };
    assert_eq!(all("kept", "2"), [by_registry(9, &attic), by_registry(9, &attic)]);
    // A schema that is not there, and a record without a header.
    assert_eq!(all("bad", "2"), [by_registry(8, &attic), attic]);
    assert!(host.stop().success());
    let asked: Vec<String> = registry.asked().into_iter().map(|asked| asked.line).collect();
    let sevens = asked.iter().filter(|line| line.contains("ids/7")).count();
    assert!(sevens >= 2, "it was asked again after it had hung up: {asked:?}");
}
