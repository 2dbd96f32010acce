//! `millstream cases`: samples answer as their cases say, in every language; what does not is told with its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use millstream_tests::host::{functions, run};
use serde_json::Value;

use super::manifests::function;

fn text(output: &Output) -> (i32, String, String) {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), of(&output.stdout), of(&output.stderr))
}

/// The files of cases that come with the samples.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../udfs/cases")
}

fn cases(component: &Path, cases: &Path, more: &[&str]) -> (i32, String, String) {
    let (component, cases) = (component.to_string_lossy(), cases.to_string_lossy());
    text(&run(&[&["cases", &component, &cases], more].concat()))
}

/// Runs one case, written here, against a sample.
fn asked(sample: &str, case: &str) -> (i32, String, String) {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("t.cases");
    fs::write(&file, case).unwrap();
    cases(&function(sample), &file, &[])
}

#[test]
fn every_sample_answers_as_its_cases_say() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let (code, said, erred) = cases(&function(&name), &path, &[]);
        assert!(code == 0 && said.contains(" 0 failed"), "{name}: {said}{erred}");
        files += 1;
    }
    assert!(files >= 10, "{files} files of cases");
}

/// The same file of cases for every language in which a sample is written, on the same program.
#[test]
fn samples_in_other_languages_answer_as_those_in_rust() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udfs");
    // Who asks for some languages alone has built no others.
    let all_are_built = std::env::var_os("MILLSTREAM_LANGUAGES").is_none();
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let folders = fs::read_dir(&sources).unwrap();
        let mut samples: Vec<_> = folders.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        // The program of `only-ip-javascript`, on the other engine.
        samples.push("only-ip-spidermonkey".to_string());
        for sample in samples {
            let language = sample.strip_prefix(name.as_str()).and_then(|rest| rest.strip_prefix('-'));
            // The name of another sample may begin with this one's: `extract-ip-masked-rust`, `alarm-counted-rust`.
            if language.is_none_or(|language| language == "rust" || language.contains('-')) {
                continue;
            }
            let path = functions().join(format!("{sample}.wasm"));
            if path.exists() || all_are_built {
                let (code, said, erred) = cases(&path, &folder().join(format!("{name}.cases")), &[]);
                assert!(code == 0 && said.contains(" 0 failed"), "{sample}: {said}{erred}");
            }
        }
    }
}

#[test]
fn a_wrong_expectation_fails_with_its_place() {
    let case = "cases:\n- name: one\n  filter:\n  - { value: 'IP:', keep: true }\n  - { value: 'IP:', keep: false }\n";
    let (code, said, _) = asked("only-ip", case);
    assert!(code == 1 && said.contains("t.cases:5:7  (all records in one call)"), "{said}");
    assert!(said.contains("expected  dropped\n        came      kept\n1 case: 0 ok, 1 failed"), "{said}");
    let line = "[2021-05-01 14:30:00] IP: a";
    let of = |into: &str| asked("extract-ip", &format!("cases: [{{ name: n, map: [{{ value: '{line}', {into} }}] }}]"));
    let (code, said, _) = of("into: [{ key: b, timestamp: 1619879400000 }]");
    assert!(
        code == 1 && said.contains("expected  key \"b\", value") && said.contains("came      key \"a\", value"),
        "{said}"
    );
    for wrong in [
        "into: []",
        "into: [{ key: a, timestamp: 5 }]",
        "rejected: ''",
        "into: [{ key: a, timestamp: 1619879400000 }, {}]",
    ] {
        assert_eq!(of(wrong).0, 1, "{wrong}");
    }
    let fold = |end: &str| {
        asked("count-bytes", &format!("cases: [{{ name: n, aggregate: {{ add: [{{ value: a }}], {end} }} }}]"))
    };
    let (code, said, _) = fold("result: '2 records, 1 bytes'");
    assert!(code == 1 && said.contains("came      result \"1 records, 1 bytes\""), "{said}");
    for wrong in ["state: null", "fails: ''", "from-state: { hex: '01' }, result: a", "result: null"] {
        assert_eq!(fold(wrong).0, 1, "{wrong}");
    }
    for (sample, wrong) in [
        ("route", "route: [{ value: 'Action: a', topic: action-b }]"),
        ("route", "route: [{ value: 'Action: a', topic: action-a, partition: 0 }]"),
        ("pair", "join: [{ left: a, right: b, value: 'b,a' }]"),
        ("running-total", "scan: { records: [{ value: '1', gives: '2' }] }"),
        ("count-bytes", "merge: { left: [{}], right: [{}], result: '1 records, 0 bytes' }"),
        (
            "count-bytes",
            "migrate: { from: 0, state: { hex: '0100000000000000' }, to-state: { hex: '0100000000000000' } }",
        ),
        ("sum", "aggregate: { add: [{ value: '1' }], remove: [{ value: '1' }], result: '1' }"),
        ("alarm", "process: { stores: [last], outputs: 2, records: [{ key: a, into: [{}] }] }"),
        ("alarm", "process: { stores: [last], outputs: 2, records: [{ key: a, rejected: '' }] }"),
        ("alarm", "process: { stores: [last], outputs: 2, records: [{ into: [] }] }"),
        ("alarm", "process: { stores: [other], outputs: 2, records: [{ key: a, into: [] }] }"),
        (
            "alarm",
            "process: { stores: [last], outputs: 2, records: [{ key: a, into: [] }, { key: b, timestamp: 30000, into: [] }] }",
        ),
        (
            "alarm",
            "process: { stores: [last], records: [{ key: a, into: [] }, { key: b, timestamp: 30000, into: [{}] }, \
                   { key: a, timestamp: 31000, into: [{ value: '31000' }] }] }",
        ),
        ("alarm", "process: { stores: { last: { ttl: soon } }, records: [{ key: a, into: [] }] }"),
        ("only-action", "start: {}"),
        ("sum", "start: { refused: 'x' }"),
    ] {
        let (code, said, erred) = asked(sample, &format!("cases: [{{ name: n, {wrong} }}]"));
        assert!(code == 1 && said.contains("0 ok, 1 failed"), "{wrong}: {said}{erred}");
    }
}

#[test]
fn what_depends_on_cuts_or_fails_a_call_is_found() {
    // It keeps every second record that it was ever asked about.
    let counted = "cases: [{ name: n, filter: [{ value: a, keep: false }, { value: b, keep: true }] }]";
    let other = counted.replace("false", "TRUE").replace("true", "false").replace("TRUE", "true");
    let (first, second) = (asked("bad-counter", counted), asked("bad-counter", &other));
    assert!(first.0 == 1 && second.0 == 1, "{first:?} {second:?}");
    assert!([&first, &second].iter().any(|told| told.1.contains("to a fresh instance")), "{first:?} {second:?}");
    let trap = "cases:\n- name: n\n  filter:\n  - { value: a, keep: true }\n  - { value: trap, fails: trapped }\n  - { value: b, keep: true }\n";
    let (code, said, erred) = asked("bad-trap", trap);
    assert_eq!(code, 0, "{said}{erred}");
    let (code, said, _) = asked("bad-trap", &trap.replace("fails: trapped", "keep: true"));
    assert!(code == 1 && said.contains("t.cases:5:") && said.contains("the call failed: trapped"), "{said}");
    let spin = "cases: [{ name: n, filter: [{ value: spin, fails: 'its limit of' }, { value: a, keep: true }] }]";
    assert_eq!(asked("bad-spin", spin).0, 0);
}

#[test]
fn what_cannot_be_asked_is_said_with_line_and_help() {
    let (code, _, said) = asked("only-ip", "cases:\n- name: n\n  map:\n  - { value: a, into: [] }\n");
    assert!(
        code == 1 && said.contains("t.cases:3:3") && said.contains("exports `mapper`, and this one exports filter"),
        "{said}"
    );
    let (code, _, said) = asked("only-ip", "cases:\n- name: n\n  filter:\n  - { vlaue: a, keep: true }\n");
    assert!(code == 1 && said.contains("t.cases:4:7") && said.contains("did you mean `value`?"), "{said}");
    let (code, said, _) = asked("json-fields", "cases: [{ name: n, start: {} }]");
    assert!(code == 1 && said.contains("say which one is meant"), "{said}");
    let (code, said, erred) = asked("json-fields", "function: sum\ncases: [{ name: n, start: {} }]");
    assert_eq!(code, 0, "{said}{erred}");
    let (code, _, said) = asked("bad-kind", "cases: [{ name: n, start: {} }]");
    assert!(code == 1 && said.contains("would not take"), "{said}");
}

#[test]
fn results_are_told_to_programs_too() {
    let place = tempfile::tempdir().unwrap();
    let (file, junit) = (place.path().join("t.cases"), place.path().join("junit.xml"));
    let case = "cases:\n- { name: right, filter: { value: 'IP:', keep: true } }\n- { name: '<wrong>', filter: { value: a, keep: true } }\n";
    fs::write(&file, case).unwrap();
    let more = ["--json", "--junit", &junit.to_string_lossy()];
    let (code, said, erred) = cases(&function("only-ip"), &file, &more);
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}{erred}"));
    assert_eq!((code, said["ok"].as_u64(), said["failed"].as_u64()), (1, Some(1), Some(1)), "{said}");
    let failure = &said["cases"][1]["failures"][0];
    assert_eq!((failure["line"].as_u64(), failure["came"].as_str()), (Some(3), Some("dropped")), "{said}");
    let xml = fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("name=\"&lt;wrong&gt;\""), "{xml}");
}
