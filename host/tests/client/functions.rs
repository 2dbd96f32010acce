//! Deploying, going back, history, status.

use std::io::{BufRead, BufReader};

use serde_json::Value;

use crate::setup;

#[test]
fn a_deploy_is_told_and_a_refusal_with_its_reasons() {
    let host = setup();
    let good = host.write("new.wasm", b"\0asm");
    let settings = host.write("settings.json", b"{\"field\": \"IP\"}");
    let told = host.ok(&["deploy", "pipe/f", &good, "--config", &settings], b"");
    assert!(told.starts_with("f: version 2 is in force, after version 1\n") && told.contains("new.wasm"), "{told}");
    let told = host.ok(&["deploy", "pipe/f", &good, "--json"], b"");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["version"]["number"], &told["version"]["settings"]),
        (&3.into(), &serde_json::json!({"kept": true}))
    );
    let bad = host.write("bad.wasm", b"bad");
    let refused = host.run(&["deploy", "--now", "pipe/f", &bad], b"");
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    let said = "function `f` was refused\n  it imports `a`\n  it exports nothing\nnothing has changed: the version before runs on\n";
    let kept = "it was given the settings in force, {\"kept\":true}; others go into a file: --config FILE, {} for none";
    assert_eq!(refused.err, format!("{kept}\nmillstream: {said}"));
    let refused = host.run(&["deploy", "pipe/f", &bad, "--json"], b"");
    let problem: Value = serde_json::from_str(&refused.out).unwrap();
    assert_eq!((refused.code, &problem["type"]), (1, &"/v1/problems/component-refused".into()));
}

#[test]
fn wrong_names_and_files_are_said() {
    let host = setup();
    let good = host.write("new.wasm", b"\0asm");
    let empty = host.write("empty.wasm", b"");
    let list = host.write("list.json", b"[1]");
    for (args, said) in [
        (&["deploy", "pipa/f", &good][..], "the pipeline `pipe` runs here, not `pipa`"),
        (&["deploy", "pipe/g", &good], "there is no `g`"),
        (&["deploy", "pipe/f", "nothing.wasm"], "open nothing.wasm"),
        (&["deploy", "pipe/f", &empty], "is empty; it must be a component"),
        (&["deploy", "pipe/f", &good, "--config", &list], "is not a JSON object"),
        (&["rollback", "other/f"], "the pipeline `pipe` runs here, not `other`"),
        (&["rollback", "pipe/f", "--to", "7"], "`f` has no version 7"),
        (&["history", "other/f"], "the pipeline `pipe` runs here, not `other`"),
        (&["status", "other"], "the pipeline `pipe` runs here, not `other`"),
    ] {
        let outcome = host.run(args, b"");
        assert!(outcome.code == 1 && outcome.err.contains(said), "{args:?}: {outcome:?}");
    }
    let history = host.ok(&["history", "pipe/f"], b"");
    assert!(!history.contains("version 2"), "nothing has changed: {history}");
}

#[test]
fn history_says_which_version_handled_a_record() {
    let host = setup();
    let (good, bad) = (host.write("new.wasm", b"\0asm"), host.write("bad.wasm", b"bad"));
    host.ok(&["deploy", "pipe/f", &good], b"");
    host.ok(&["rollback", "pipe/f"], b"");
    host.run(&["deploy", "pipe/f", &bad], b"");
    let shown = host.ok(&["history", "pipe/f"], b"");
    let at = |text: &str| shown.find(text).unwrap_or_else(|| panic!("{text} is not in {shown}"));
    assert!(
        at("  version 3 ") < at("  version 2 ")
            && at("  version 2 ") < at("  version 1 ")
            && at("  version 1 ") < at("not taken")
    );
    assert!(shown.contains("rollback to version 1  in force\n"), "{shown}");
    assert!(shown.contains("    from in:1:10 (task 0_1)\n") && shown.contains("\n    it is bad\n"), "{shown}");
    host.ok(&["produce", "in", "--partition", "1"], "x\n".repeat(30).as_bytes());
    // Half of a partition is done, as this host has it; switches are at 0, 10 and 20.
    let at = |offset: u32| host.ok(&["history", "pipe/f", "--at", &format!("in:1:{offset}")], b"");
    assert!(
        at(9).starts_with("in:1:9 was handled by version 1 (from offset 0 on, sub-topology 0, digest "),
        "{}",
        at(9)
    );
    assert!(at(14).contains("was handled by version 2 (from offset 10 on"), "{}", at(14));
    assert!(at(20).contains("is not handled yet; in force is version 3"), "{}", at(20));
    let none = host.run(&["history", "pipe/f", "--at", "out:0:1"], b"");
    assert_eq!((none.code, none.out.as_str()), (1, "out:0:1: no task of this function has read there\n"));
    let json = host.ok(&["history", "pipe/f", "--at", "in:1:14", "--json"], b"");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["version"], &json[0]["handled"]), (&2.into(), &true.into()));
    let json: Value = serde_json::from_str(&host.ok(&["history", "pipe/f", "--json"], b"")).unwrap();
    assert_eq!((json["versions"].as_array().unwrap().len(), json["rejected"].as_array().unwrap().len()), (3, 1));
}

#[test]
fn status_shows_how_it_stands_and_whether_it_works() {
    let host = setup();
    host.ok(&["produce", "in", "--partition", "1"], "x\n".repeat(30).as_bytes());
    let shown = host.ok(&["status"], b"");
    let mut lines = shown.lines();
    let head = lines.next().unwrap();
    assert!(head.starts_with("pipe  ready  at http://127.0.0.1:"), "{shown}");
    let rows: Vec<Vec<&str>> = lines.map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(rows[3], ["0_1", "restoring", "25%", "0", "0", "15", "1", "2021-05-01T14:30:00Z", "in:1:15"], "{shown}");
    assert!(rows.iter().any(|row| row.starts_with(&["f", "1"]) && row.contains(&"first.wasm")), "{shown}");
    *host.fake.reasons.lock().unwrap() = vec!["task 0_1 has stopped: a trap".into()];
    let outcome = host.run(&["status", "pipe"], b"");
    assert!(outcome.code == 1 && outcome.out.contains("NOT READY") && outcome.out.contains("a trap"), "{outcome:?}");
    let json = host.run(&["status", "--json"], b"");
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &value["ready"], &value["tasks"][1]["positions"][0]["end"]), (1, &false.into(), &30.into()));
}

#[test]
fn a_watch_goes_on_over_a_restart_of_the_host() {
    let mut host = setup();
    let mut child = host.command(&["status", "--watch", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let end = |lines: &mut dyn Iterator<Item = String>| {
        let look: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        look["tasks"][0]["positions"][0]["end"].as_i64().unwrap()
    };
    assert_eq!(end(&mut lines), 0);
    host.server.take().unwrap().stop();
    assert!(told.next().unwrap().contains("http://127.0.0.1:"));
    host.start();
    host.ok(&["produce", "in", "--partition", "0"], b"x\n");
    while end(&mut lines) == 0 {}
    child.kill().unwrap();
    child.wait().unwrap();
}
