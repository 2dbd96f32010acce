//! Several functions deployed in one call: in force together, all or none, in each task between the same two commits.

use millstream_tests::host::Host;
use millstream_tests::padding::pad;
use serde_json::Value;

use super::manifests::{Place, access_counts, function, stamped};

fn history(host: &Host, function: &str) -> Value {
    host.get(&format!("/v1/functions/{function}/history")).unwrap()
}

/// Numbers and epochs of a function's versions.
fn versions(host: &Host, function: &str) -> Vec<(u64, u64)> {
    let history = history(host, function);
    let of = |version: &Value| (version["number"].as_u64().unwrap(), version["epoch"].as_u64().unwrap());
    history["versions"].as_array().unwrap().iter().map(of).collect()
}

/// A function's file made another, beside the manifest; `FUNCTION=FILE`.
fn another(place: &Place, of: &str, as_function: &str) -> String {
    let path = place.folder.with_file_name(format!("{as_function}.wasm"));
    pad(&function(of), &path, 10, 1).unwrap();
    format!("{as_function}={}", path.display())
}

fn file(name: &str) -> String {
    function(name).to_string_lossy().into_owned()
}

#[test]
fn functions_come_into_force_together_or_not_at_all() {
    let place = stamped(1);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let keep = another(&place, "keep-all", "keep");
    let out = host.ok(&["deploy", "--now", "stamped/stamp", &file("stamp-v2"), &keep]);
    assert!(out.contains("stamp: version 2 is in force") && out.contains("keep: version 2 is in force"), "{out}");
    let (stamp, kept) = (versions(&host, "stamp"), versions(&host, "keep"));
    assert_eq!(stamp[1], kept[1], "one entry put both in force");
    // The records that a task handled before and after are the same for both.
    let lines = place.folder.with_extension("txt");
    std::fs::write(&lines, "hello\n").unwrap();
    host.ok(&["produce", "in", "--partition", "0", &lines.to_string_lossy()]);
    let value = host.ok(&["consume", "out", "--from", "earliest", "--max", "1", "--format", "raw", "--follow"]);
    assert_eq!(value, "v2:hello\n");
    // The second is no filter: neither is taken, and both histories say so.
    let bad = format!("keep={}", file("stamp-v1"));
    let said = host.cli(&["deploy", "--now", "stamped/stamp", &file("stamp-v1"), &bad]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(1) && text.contains("`keep`") && text.contains("runs on"), "{text}");
    assert_eq!((versions(&host, "stamp").len(), versions(&host, "keep").len()), (2, 2));
    assert_eq!(history(&host, "keep")["rejected"].as_array().unwrap().len(), 1);
    // Tried first, as it is for one.
    let out =
        host.ok(&["deploy", "stamped/stamp", &file("stamp-v1"), &format!("keep={}", file("keep-all")), "--shadow"]);
    assert!(out.contains("stamp: on trial") && out.contains("keep: on trial"), "{out}");
    host.ok(&["promote", "stamped/stamp"]);
    assert_eq!(versions(&host, "stamp").last(), versions(&host, "keep").last());
    assert!(host.stop().success());
}

#[test]
fn functions_on_both_sides_of_a_repartition_topic_are_told_of() {
    let place = access_counts(1);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let ip = another(&place, "only-ip", "only-ip");
    let said = host.cli(&["deploy", "--now", "access-counts/extract-ip", &file("extract-ip"), &ip]);
    assert!(said.status.success() && !String::from_utf8_lossy(&said.stderr).contains("note:"), "{said:?}");
    assert!(host.stop().success());
    let place = Place::new(
        "pipeline: apart
functions:
  before: { component: {stamp-v1.wasm} }
  behind: { component: {stamp-v1.wasm} }
sources:
  in: { topic: in, partitions: 1 }
steps:
  first: { from: in, map-values: before }
  apart: { from: first, repartition: {} }
  second: { from: apart, map-values: behind }
sinks:
  out: { from: second, topic: out, partitions: 1 }
",
    );
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let behind = format!("behind={}", file("stamp-v2"));
    let said = host.cli(&["deploy", "--now", "apart/before", &file("stamp-v2"), &behind]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success() && text.contains("`before` in 0, `behind` in 1"), "{text}");
    assert!(host.stop().success());
}

/// Neither function takes any: who is given some says so.
#[test]
fn settings_go_to_the_function_that_is_named() {
    let place = stamped(1);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let settings = place.folder.with_file_name("settings.json");
    std::fs::write(&settings, "{\"a\": 1}").unwrap();
    let settings = settings.to_string_lossy().into_owned();
    let keep = format!("keep={}", file("keep-all"));
    let said = |configs: &[&str]| {
        let stamp = file("stamp-v2");
        let mut args = vec!["deploy", "--now", "stamped/stamp", &stamp, &keep];
        configs.iter().for_each(|config| args.extend(["--config", config]));
        let said = host.cli(&args);
        assert!(!said.status.success(), "{said:?}");
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    let first = said(&[&settings]);
    assert!(first.contains("`stamp` was refused") && first.contains("takes no settings"), "{first}");
    let named = said(&[&format!("keep={settings}")]);
    assert!(named.contains("`keep` was refused") && named.contains("takes no settings"), "{named}");
    let twice = said(&[&settings, &format!("stamp={settings}")]);
    assert!(twice.contains("there twice for `stamp`"), "{twice}");
    let nothing = host.cli(&["deploy", "stamped/stamp", &file("stamp-v2"), "keep"]);
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("FUNCTION=FILE.wasm"), "{nothing:?}");
    assert!(host.stop().success());
}
