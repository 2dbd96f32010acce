//! The command line as a user meets it: what goes right, what goes wrong, and the exit codes of each.

use std::fs;
use std::process::Output;

use millstream_tests::host::{Host, run};
use serde_json::Value;

use super::manifests::{function, stamped};

fn text(output: &Output) -> (i32, String, String) {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), of(&output.stdout), of(&output.stderr))
}

#[test]
fn every_command_has_help_with_an_example() {
    let (code, help, _) = text(&run(&["--help"]));
    assert_eq!(code, 0);
    let commands = help.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    let commands: Vec<&str> =
        commands.filter_map(|l| l.strip_prefix("  ")?.split(' ').next()).filter(|c| !c.is_empty()).collect();
    assert!(commands.len() >= 14, "{commands:?}");
    for command in commands.into_iter().filter(|c| *c != "completions") {
        let (code, help, _) = text(&run(&[command, "--help"]));
        assert!(code == 0 && help.contains("Example") && help.contains("millstream "), "{command}: {help}");
    }
    assert_eq!(text(&run(&["no-such-command"])).0, 2);
}

#[test]
fn check_tells_errors_of_components_at_their_place() {
    let place = stamped(1);
    let (code, said, _) = text(&run(&["check", &place.manifest.to_string_lossy()]));
    assert_eq!(code, 0, "{said}");
    let wrong = fs::read_to_string(&place.manifest).unwrap().replace("keep-all.wasm", "stamp-v2.wasm");
    fs::write(&place.manifest, wrong).unwrap();
    let (code, said, _) = text(&run(&["check", &place.manifest.to_string_lossy()]));
    assert!(code == 1 && said.contains("filter") && said.contains("pipeline.yaml:"), "{said}");
}

#[test]
fn graph_inspect_and_verify_answer() {
    let place = stamped(1);
    for (format, sign) in [("mermaid", "flowchart"), ("dot", "digraph"), ("svg", "<svg")] {
        let (code, said, erred) = text(&run(&["graph", &place.manifest.to_string_lossy(), "--format", format]));
        assert!(code == 0 && said.contains(sign), "{format}: {said}{erred}");
    }
    let (code, said, _) = text(&run(&["inspect", &function("stamp-v1").to_string_lossy(), "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(code == 0 && said["kinds"].as_array().unwrap().contains(&Value::from("mapper")), "{said}");
    let noise = place.folder.with_extension("wasm");
    fs::write(&noise, "not wasm").unwrap();
    assert_eq!(text(&run(&["inspect", &noise.to_string_lossy()])).0, 1);
    let input = place.folder.with_extension("txt");
    fs::write(&input, (0..5_000).map(|i| format!("line {i}\n")).collect::<String>()).unwrap();
    let report = place.folder.with_extension("xml");
    let verify = |name: &str| {
        let (file, input, report) = (function(name), input.to_string_lossy(), report.to_string_lossy());
        text(&run(&["verify", &file.to_string_lossy(), "--raw", "--input", &input, "--junit", &report]))
    };
    let told = |part: &str| {
        let xml = fs::read_to_string(&report).unwrap();
        assert!(xml.contains(part) && xml.contains("ns a record"), "{part}: {xml}");
    };
    let (code, said, erred) = verify("stamp-v1");
    assert!(code == 0 && said.contains("ns a record"), "{said}{erred}");
    told("failures=\"0\"");
    let (code, said, erred) = verify("bad-counter");
    told("<failure message=");
    assert!(code == 1 && said.contains("DIFFER"), "hidden state is found: {said}{erred}");
}

/// Routers, joiners, scanners and retractors are tried as well.
#[test]
fn verify_tries_functions_of_every_kind() {
    let place = stamped(1);
    let path = |name: &str| place.folder.with_extension(name).to_string_lossy().into_owned();
    let record = |i: usize| format!("{{\"key\":\"k{}\",\"value\":\"{{\\\"n\\\":{i}}}\",\"timestamp\":{i}}}\n", i % 7);
    fs::write(path("in"), (0..3_000).map(record).collect::<String>()).unwrap();
    fs::write(
        path("right"),
        (0..7).map(|i| format!("{{\"key\":\"k{i}\",\"value\":\"right {i}\"}}\n")).collect::<String>(),
    )
    .unwrap();
    fs::write(path("json"), "{\"field\":\"n\"}").unwrap();
    let tried = |name: &str, more: &[&str]| {
        let (file, input) = (function(name).to_string_lossy().into_owned(), path("in"));
        let args = [&["verify", &file, "--input", &input, "--json"], more].concat();
        let (code, said, erred) = text(&run(&args));
        assert_eq!(code, 0, "{name}: {said}{erred}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["failing"], serde_json::json!([]), "{name}");
        let kinds = said["trials"].as_array().unwrap().iter().map(|trial| trial["kind"].as_str().unwrap().to_string());
        kinds.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(tried("route", &[]), ["router"]);
    assert_eq!(tried("pair", &["--right", &path("right")]), ["joiner"]);
    assert_eq!(tried("pair", &[]), ["joiner"]);
    let field = ["--config", &path("json")];
    assert_eq!(tried("sum", &field), ["aggregator", "retractor"]);
    assert!(tried("running-total", &field).contains(&"scanner".to_string()));
    assert_eq!(tried("alarm", &["--store", "last", "--outputs", "2"]), ["processor"]);
    let changed = ["--function", "changed", "--store", "last", "--config", &path("json")];
    assert_eq!(tried("changes", &changed), ["processor"]);
    let of = |name: &str, more: &[&str]| {
        let (file, input) = (function(name).to_string_lossy().into_owned(), path("in"));
        text(&run(&[&["verify", &file, "--input", &input], more].concat()))
    };
    // It numbers records by itself: what comes of them is another with each instance.
    let (code, said, _) = of("bad-processor", &["--store", "last"]);
    assert!(code == 1, "{said}");
    for part in ["again, by the same instance      3000 DIFFER", "one record a call                3000 DIFFER"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(said.contains("again, by a fresh instance       same"), "{said}");
    assert!(said.contains("result 1 of output 0: first key \"k0\", value \"0\""), "{said}");
    let (code, said, erred) = of("alarm", &["--outputs", "2"]);
    assert!(code == 1 && erred.contains("nothing was tried") && erred.contains("no store `last`"), "{said}{erred}");
    let (code, _, said) = of("alarm", &["--store", "last", "--outputs", "65"]);
    assert!(code == 2 && said.contains("65 is not in 1..=64"), "{said}");
    let (code, _, said) = of("alarm", &["--store", "Last!"]);
    assert!(code == 1 && said.contains("set the step up"), "{said}");
}

#[test]
fn test_compares_results_and_shows_what_differs() {
    let place = stamped(1);
    let manifest = place.manifest.to_string_lossy().into_owned();
    let (input, expect) = (place.folder.with_extension("in"), place.folder.with_extension("out"));
    fs::write(&input, "{\"value\":\"a\"}\n{\"value\":\"b\",\"timestamp\":5}\n").unwrap();
    fs::write(&expect, "{\"value\":\"v1:a\"}\n{\"value\":\"v1:b\"}\n").unwrap();
    let args = ["test", &manifest, "--input", &input.to_string_lossy(), "--expect", &expect.to_string_lossy()];
    let (code, _, said) = text(&run(&args));
    assert!(code == 0 && said.contains("2 results, as expected"), "{said}");
    fs::write(&expect, "{\"value\":\"v1:a\"}\n{\"value\":\"other\"}\n").unwrap();
    let (code, said, _) = text(&run(&args));
    assert!(code == 1 && said.contains("-{\"value\":\"other\"}") && said.contains("+{\"value\":\"v1:b\"}"), "{said}");
    fs::write(&input, "{\"value\":\"a\"}\nnot json\n").unwrap();
    let (code, _, said) = text(&run(&args));
    assert!(code == 1 && said.contains("line 2"), "{said}");
}

#[test]
fn a_running_host_is_found_and_wrong_names_are_told() {
    let place = stamped(2);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let folder = place.folder.to_string_lossy().into_owned();
    let second = run(&["run", &place.manifest.to_string_lossy(), "--local", &folder, "--listen", "127.0.0.1:0"]);
    let (code, _, said) = text(&second);
    assert!(code == 1 && said.contains("in use by another process"), "{said}");
    let file = function("stamp-v2").to_string_lossy().into_owned();
    let (code, _, said) = text(&host.cli(&["deploy", "other/stamp", &file]));
    assert!(code == 1 && said.contains("stamped"), "the right pipeline is named: {said}");
    let (code, _, said) = text(&host.cli(&["deploy", "stamped/stmp", &file]));
    assert!(code == 1 && said.contains("stamp"), "the right function is named: {said}");
    assert!(host.ok(&["status"]).contains("stamped"));
    let status: Value = serde_json::from_str(&host.ok(&["status", "--json"])).unwrap();
    assert!(status.is_object(), "{status}");
    let metrics = ureq::get(format!("{}/metrics", host.url)).call().unwrap().body_mut().read_to_string().unwrap();
    assert!(metrics.contains("# TYPE millstream_"), "{metrics}");
    assert!(host.stop().success());
    let (code, _, said) = text(&run(&["status", "--url", "http://127.0.0.1:9"]));
    assert_eq!(code, 3, "{said}");
}
