//! The command line at its edges: output that cannot be written, files that are too large or no text, ports in use, filters
//! of the log that are none. Not here: manifests' errors one by one, which golden files hold.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use millstream_tests::host::{Host, program, run};
use serde_json::Value;

use super::manifests::{function, stamped};

fn text(output: &Output) -> (i32, String, String) {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), of(&output.stdout), of(&output.stderr))
}

/// Arguments of every command that prints without a host.
fn printing(place: &super::manifests::Place) -> Vec<Vec<String>> {
    let manifest = place.manifest.to_string_lossy().into_owned();
    let component = function("stamp-v1").to_string_lossy().into_owned();
    let input = place.folder.with_extension("in");
    fs::write(&input, "a\n").unwrap();
    let input = input.to_string_lossy().into_owned();
    let commands: [&[&str]; 11] = [
        &["check", &manifest],
        &["check", &manifest, "--json"],
        &["graph", &manifest],
        &["inspect", &component],
        &["inspect", &component, "--json"],
        &["test", &manifest, "--input", &input, "--raw"],
        &["verify", &component, "--input", &input, "--raw"],
        &["verify", &component, "--input", &input, "--raw", "--json"],
        &["generate"],
        &["schema"],
        &["completions", "bash"],
    ];
    commands.iter().map(|command| command.iter().map(|a| (*a).to_string()).collect()).collect()
}

#[test]
fn what_cannot_be_written_is_said_and_a_closed_pipe_is_no_failure() {
    let place = stamped(1);
    for args in printing(&place) {
        let ended = |out: Stdio| {
            let child = Command::new(program()).args(&args).stdin(Stdio::null()).stdout(out).output().unwrap();
            let (code, _, said) = text(&child);
            assert!(!said.contains("panicked"), "{args:?}: {said}");
            (code, said)
        };
        let (code, said) = ended(File::options().write(true).open("/dev/full").unwrap().into());
        assert!(code == 1 && said.contains("No space left on device"), "{args:?}: {code} {said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(ended(writer.into()), (0, String::new()), "{args:?}");
    }
}

#[test]
fn completions_offer_the_commands_and_no_others() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = text(&run(&["completions", shell]));
        assert!(code == 0 && script.contains("deploy") && script.contains("watch"), "{shell}");
        assert!(!script.contains("compile-component"), "{shell}: what hosts start is no command of the user's");
    }
}

#[test]
fn a_file_that_no_host_would_take_is_not_read_to_its_end() {
    let place = stamped(1);
    let large = place.folder.with_extension("wasm");
    File::create(&large).unwrap().set_len(64 << 30).unwrap();
    let input = place.folder.with_extension("in");
    fs::write(&input, "a\n").unwrap();
    let (large, input) = (large.to_string_lossy(), input.to_string_lossy());
    for args in [&["inspect", &large][..], &["verify", &large, "--raw", "--input", &input]] {
        let (code, _, said) = text(&run(args));
        assert!(code == 1 && said.contains("67108864 bytes"), "{args:?}: {said}");
    }
    let manifest = fs::read_to_string(&place.manifest).unwrap();
    let manifest = manifest.replace(&*function("keep-all").to_string_lossy(), &large);
    fs::write(&place.manifest, manifest).unwrap();
    let (code, said, _) = text(&run(&["check", &place.manifest.to_string_lossy()]));
    assert!(code == 1 && said.contains("67108864 bytes") && said.contains("pipeline.yaml:"), "{said}");
}

#[test]
fn a_manifest_that_is_no_text_is_told_as_json_too() {
    let place = stamped(1);
    fs::write(&place.manifest, b"pipeline: p\n# caf\xe9\n").unwrap();
    let (code, said, _) = text(&run(&["check", &place.manifest.to_string_lossy(), "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["problems"][0]["line"], &said["problems"][0]["column"]), (1, &2.into(), &6.into()));
}

#[test]
fn verify_does_not_pass_a_function_that_it_could_not_try() {
    let place = stamped(1);
    let input = place.folder.with_extension("in");
    let verify = |lines: &str| {
        fs::write(&input, lines).unwrap();
        text(&run(&["verify", &function("count").to_string_lossy(), "--input", &input.to_string_lossy()]))
    };
    let (code, _, said) = verify("{\"value\":\"a\"}\n");
    assert!(code == 1 && said.contains("no record") && said.contains("key"), "{said}");
    let (code, said, _) = verify("{\"key\":\"k\",\"value\":\"a\"}\n");
    assert!(code == 0 && !said.contains(" 0 ns a record"), "{said}");
    let (code, _, said) = verify("a\n");
    assert!(code == 1 && said.contains("line 1") && said.contains("--raw"), "{said}");
}

#[test]
fn verify_names_some_of_many_records_that_fail() {
    let place = stamped(1);
    let input = place.folder.with_extension("in");
    fs::write(&input, "x\n".repeat(30)).unwrap();
    let component = function("bad-trap-always");
    let args = ["verify", &component.to_string_lossy(), "--raw", "--input", &input.to_string_lossy()];
    let (_, said, erred) = text(&run(&args));
    assert_eq!(said.matches("fails by itself").count(), 10, "{said}{erred}");
    assert!(said.contains("… and 20 more records"), "{said}");
}

#[test]
fn graph_as_json_holds_what_the_pictures_show() {
    let place = stamped(1);
    let manifest = place.manifest.to_string_lossy().into_owned();
    let (code, said, _) = text(&run(&["graph", &manifest, "--json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    let boxes = said["boxes"].as_array().unwrap();
    let names: Vec<&str> = boxes.iter().map(|b| b["lines"][0].as_str().unwrap()).collect();
    let arrows = said["arrows"].as_array().unwrap().len();
    let (_, mermaid, _) = text(&run(&["graph", &manifest]));
    assert_eq!((code, arrows), (0, mermaid.lines().filter(|line| line.contains("-->")).count()), "{said}");
    assert!(names.contains(&"stamped") && said["frames"][0]["title"].as_str().unwrap().contains("task"), "{said}");
}

#[test]
fn test_takes_values_and_answers_as_json() {
    let place = stamped(1);
    let (input, expect) = (place.folder.with_extension("in"), place.folder.with_extension("out"));
    fs::write(&input, "a\nb").unwrap();
    fs::write(&expect, "{\"value\":\"v1:a\"}\n{\"value\":\"v1:b\"}\n").unwrap();
    let (manifest, input, expect_at) =
        (place.manifest.to_string_lossy(), input.to_string_lossy(), expect.to_string_lossy());
    let with = |more: &[&str]| {
        let args = [&["test", &manifest, "--input", &input, "--expect", &expect_at][..], more].concat();
        text(&run(&args))
    };
    let (code, said, _) = with(&["--raw", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["same"], &said["results"]), (0, &true.into(), &2.into()), "{said}");
    fs::write(&expect, "{\"value\":\"v1:a\"}\n{\"value\":\"v1:c\"}\n").unwrap();
    let (code, said, _) = with(&["--raw", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let diff = said["diff"].as_str().unwrap();
    assert!(code == 1 && said["same"] == false && diff.contains("-{\"value\":\"v1:c\"}"), "{said}");
    let (code, _, said) = with(&[]);
    assert!(code == 1 && said.contains("line 1") && said.contains("--raw"), "{said}");
    fs::write(&expect, "{\"valeu\":\"v1:a\"}\n").unwrap();
    let (code, _, said) = with(&["--raw"]);
    assert!(code == 1 && said.contains("no field `valeu`") && said.contains("timestamp"), "{said}");
}

#[test]
fn what_is_wrong_with_where_to_listen_is_told_before_anything_runs() {
    let place = stamped(1);
    let (manifest, folder) = (place.manifest.to_string_lossy(), place.folder.to_string_lossy());
    let listen = |address: &str| text(&run(&["run", &manifest, "--local", &folder, "--listen", address]));
    for wrong in ["7070", "localhost:7070", "127.0.0.1:80000"] {
        let (code, _, said) = listen(wrong);
        assert!(code == 2 && said.contains("127.0.0.1:7070"), "{said}");
    }
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (address, part) in [(taken.as_str(), "--listen takes another port"), ("0.0.0.0:0", "no TLS")] {
        let (code, _, said) = listen(address);
        assert!(code == 1 && said.contains(part), "{said}");
        assert!(!said.contains("opening"), "no task has begun: {said}");
        assert_eq!(said.matches("in use").count(), usize::from(address == taken), "said once: {said}");
    }
    drop(holder);
}

#[test]
fn what_is_logged_is_a_level_or_refused() {
    let place = stamped(1);
    // A port in use, so that a host that takes the filter ends as well.
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let mut command = Command::new(program());
    command.args(["run", &place.manifest.to_string_lossy(), "--local", &place.folder.to_string_lossy()]);
    command.args(["--listen", &taken]).env("MILLSTREAM_LOG", "verbose").stdin(Stdio::null());
    let (code, _, said) = text(&command.output().unwrap());
    assert!(code == 1 && said.contains("`verbose`") && said.contains("debug"), "{said}");
}

#[test]
fn a_refusal_over_kept_settings_says_that_they_were_kept() {
    let place = stamped(1);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let settings = place.folder.with_extension("json");
    fs::write(&settings, "{\"action\":\"Login\"}").unwrap();
    let (with, without) = (function("only-action"), function("keep-all"));
    host.ok(&["deploy", "--now", "stamped/keep", &with.to_string_lossy(), "--config", &settings.to_string_lossy()]);
    let (code, _, said) = text(&host.cli(&["deploy", "--now", "stamped/keep", &without.to_string_lossy()]));
    assert!(code == 1 && said.contains("{\"action\":\"Login\"}") && said.contains("--config"), "{said}");
    fs::write(&settings, "{}").unwrap();
    host.ok(&["deploy", "--now", "stamped/keep", &without.to_string_lossy(), "--config", &settings.to_string_lossy()]);
    let missing = place.folder.join("nowhere");
    let (code, _, said) = text(&host.cli(&["status", "--token-file", &missing.to_string_lossy()]));
    assert!(code == 1 && said.matches("No such file").count() == 1, "said once: {said}");
    assert!(host.stop().success());
}
