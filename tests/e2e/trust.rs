//! Pipelines that trust keys: what nobody of them has signed runs nowhere.

use std::fs;
use std::path::Path;

use millstream_tests::host::{Host, run};

use super::manifests::{Place, function};

fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn only_what_a_trusted_key_has_signed_is_taken() {
    let temporary = tempfile::tempdir().unwrap();
    let at = |name: &str| temporary.path().join(name);
    let (key, other) = (at("team.key"), at("other.key"));
    let public = ok(&["sign", "--new-key", text(&key)]).trim().to_string();
    ok(&["sign", "--new-key", text(&other)]);
    assert!(refused(&["sign", "--new-key", text(&key)]).contains("File exists"), "a key is not lost");
    let (first, next) = (at("first.wasm"), at("next.wasm"));
    fs::copy(function("keep-all"), &first).unwrap();
    fs::copy(function("only-ip"), &next).unwrap();
    let place = Place::new(&format!(
        "pipeline: trusting
trust: [\"{public}\"]
functions:
  keep: {{ component: {} }}
  drop: {{ component: {} }}
sources:
  in: {{ topic: in }}
steps:
  kept: {{ from: in, filter: keep }}
  rest: {{ from: in, filter-not: drop }}
sinks:
  out: {{ from: kept, topic: out }}
  other: {{ from: rest, topic: rest }}
",
        first.display(),
        first.display()
    ));
    let start = ["run", text(&place.manifest), "--local", text(&place.folder)];
    let said = refused(&start);
    assert!(said.contains("is not signed") && said.contains("millstream sign trusting/"), "{said}");
    // The two functions are of one file: each has a signature of its own, and beside a file there is one.
    ok(&["sign", "trusting/keep", text(&first), "--key", text(&key)]);
    let said = refused(&start);
    assert!(said.contains("not that of this file for function `drop`"), "signed for another function: {said}");
    let second = at("second.wasm");
    fs::copy(&first, &second).unwrap();
    ok(&["sign", "trusting/drop", text(&second), "--key", text(&key)]);
    let manifest = fs::read_to_string(&place.manifest).unwrap();
    let of_drop = format!("drop: {{ component: {} }}", first.display());
    assert!(manifest.contains(&of_drop), "{manifest}");
    fs::write(&place.manifest, manifest.replace(&of_drop, &format!("drop: {{ component: {} }}", second.display())))
        .unwrap();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let deploy = |more: &[&str]| {
        let all = [&["deploy", "trusting/keep", text(&next), "--now", "--local", text(&place.folder)], more].concat();
        run(&all)
    };
    let stderr = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let said = stderr(deploy(&[]));
    assert!(said.contains("is not signed") && said.contains("the version before runs on"), "{said}");
    ok(&["sign", "trusting/keep", text(&next), "--key", text(&other)]);
    assert!(stderr(deploy(&[])).contains("by a key that it trusts"), "a stranger's");
    let elsewhere = at("elsewhere.sig");
    ok(&["sign", "trusting/keep", text(&next), "--key", text(&key), "-o", text(&elsewhere)]);
    let done = deploy(&["--signature", text(&elsewhere)]);
    assert!(done.status.success(), "{done:?}");
    // What was signed once need not be signed again to go back to it.
    host.ok(&["rollback", "trusting/keep"]);
    let history = host.get("/v1/functions/keep/history").unwrap();
    let count = |what: &str| history[what].as_array().unwrap().len();
    assert_eq!((count("versions"), count("rejected")), (3, 2), "{history}");
    assert!(host.stop().success());
    trusting_others(&place, &ok(&["sign", "--new-key", text(&at("third.key"))]));
}

/// A host that trusts others does not go on with what is in force.
fn trusting_others(place: &Place, public: &str) {
    let manifest = fs::read_to_string(&place.manifest).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("trust:")).unwrap().to_string();
    fs::write(&place.manifest, manifest.replace(&line, &format!("trust: [\"{}\"]", public.trim()))).unwrap();
    let said = refused(&["run", text(&place.manifest), "--local", text(&place.folder)]);
    assert!(said.contains("by a key that it trusts"), "{said}");
}
