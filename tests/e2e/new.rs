//! `millstream new` and `componentize`: a project in every language that there is a template for builds, and its cases pass, by
//! the commands that were printed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use millstream_tests::host::{program, run};

use super::manifests::function;

fn text(output: &Output) -> (i32, String, String) {
    let of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), of(&output.stdout), of(&output.stderr))
}

/// Languages, as the program lists them.
fn languages() -> Vec<String> {
    let (code, _, said) = text(&run(&["new", "a", "--lang", "no-such-language"]));
    assert_eq!(code, 1, "{said}");
    let (_, list) = said.split_once("There are: ").unwrap_or_else(|| panic!("{said}"));
    list.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// Every file of a folder, by its path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                out.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    out
}

/// Runs the commands that `new` printed, with this program as `millstream`; cargo uses what is on the machine. There is no host to
/// deploy to: the cases of the file that would be deployed are run instead.
fn follow(folder: &Path, commands: &str) {
    let instead = |line: &str| match line.strip_prefix("millstream deploy ").and_then(|rest| rest.split_once(' ')) {
        Some((_, file)) => format!("millstream cases {file} *.cases\n"),
        None => format!("{line}\n"),
    };
    let commands: String = commands.lines().map(instead).collect();
    assert!(commands.contains("millstream cases "), "{commands}");
    let bin = folder.with_extension("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(program(), bin.join("millstream")).unwrap();
    let path = std::env::join_paths(
        [bin].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .unwrap();
    let mut command = Command::new("bash");
    command.args(["-euc", &commands]).env("PATH", path).env("CARGO_NET_OFFLINE", "true").stdin(Stdio::null());
    for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER"] {
        command.env_remove(name);
    }
    let (code, said, erred) = text(&command.output().unwrap());
    assert_eq!(code, 0, "{commands}\n{said}{erred}");
    assert!(said.contains(" 0 failed"), "its cases were run: {said}{erred}");
}

fn made(folder: &Path, language: &str, more: &[&str]) -> (String, String) {
    let path = folder.to_string_lossy();
    let (code, said, erred) = text(&run(&[&["new", &path, "--lang", language], more].concat()));
    assert_eq!(code, 0, "{language}: {said}{erred}");
    for (path, bytes) in files(folder) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let whole = !text.contains("{{name") && !path.to_string_lossy().contains("{{");
        assert!(whole, "{language}: {}", path.display());
    }
    (said, erred)
}

#[test]
fn a_project_in_every_language_builds_and_its_cases_pass() {
    let place = tempfile::tempdir().unwrap();
    let languages = languages();
    assert!(languages.contains(&"rust".to_string()), "{languages:?}");
    for language in languages {
        let folder = place.path().join(format!("some-{language}"));
        let (commands, said) = made(&folder, &language, &[]);
        // Where a tool is not on this machine, which one is what is tested.
        match said.split_once("Not on this machine:") {
            None => follow(&folder, &commands),
            Some((_, missing)) => assert!(missing.lines().nth(1).is_some_and(|line| line.len() > 4), "{said}"),
        }
    }
}

#[test]
fn every_kind_of_the_rust_template_builds() {
    let place = tempfile::tempdir().unwrap();
    let shared = place.path().join("target");
    fs::create_dir_all(&shared).unwrap();
    for kind in ["mapper", "aggregator"] {
        let folder = place.path().join(format!("some-{kind}"));
        let (commands, said) = made(&folder, "rust", &["--kind", kind]);
        assert!(said.contains(&format!("a function in Rust, a {kind}")), "{said}");
        if said.contains("Not on this machine:") {
            continue;
        }
        std::os::unix::fs::symlink(&shared, folder.join("target")).unwrap();
        follow(&folder, &commands);
    }
}

#[test]
fn what_cannot_be_made_is_said_and_nothing_is_written() {
    let place = tempfile::tempdir().unwrap();
    let refused = |name: &str, more: &[&str]| {
        let path = place.path().join(name).to_string_lossy().into_owned();
        let before = files(place.path());
        let (code, _, said) = text(&run(&[&["new", &path], more].concat()));
        assert!(code == 1 && files(place.path()) == before, "{name}: {said}");
        said
    };
    assert!(refused("Only_IP", &["--lang", "rust"]).contains("is no name of a function"));
    assert!(refused("a", &["--lang", "rsut"]).contains("did you mean `rust`?"));
    assert!(refused("a", &["--lang", "rust", "--kind", "poet"]).contains("it has `filter`, `mapper`"));
    fs::create_dir(place.path().join("full")).unwrap();
    fs::write(place.path().join("full/file"), "mine").unwrap();
    assert!(refused("full", &["--lang", "rust"]).contains("not empty"));
    fs::create_dir(place.path().join("vacant")).unwrap();
    made(&place.path().join("vacant"), "rust", &[]);
}

#[test]
fn what_is_missing_on_the_machine_is_said() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a");
    let output =
        Command::new(program()).args(["new", &path.to_string_lossy(), "--lang", "rust"]).env("PATH", "").output();
    let (code, said, erred) = text(&output.unwrap());
    assert!(code == 0 && erred.contains("Not on this machine:\n  cargo: rustup, from"), "{erred}");
    assert!(erred.contains("the Rust target wasm32-unknown-unknown: rustup target add"), "{erred}");
    assert!(said.starts_with("cd ") && said.contains("\ncargo test\n"), "{said}");
}

#[test]
fn a_core_module_is_named_as_one_with_the_command_that_helps() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    fs::write(path("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    fs::write(path("t.cases"), "cases: [{ name: n, start: {} }]").unwrap();
    fs::write(path("in"), "a\n").unwrap();
    let core = path("core.wasm");
    for args in [
        &["inspect", &core][..],
        &["cases", &core, &path("t.cases")],
        &["verify", &core, "--raw", "--input", &path("in")],
    ] {
        let (code, said, erred) = text(&run(args));
        assert!(code == 1 && (said + &erred).contains("millstream componentize FILE.wasm -o"), "{args:?}: {erred}");
    }
    let (code, _, said) = text(&run(&["componentize", &core, "-o", &path("out.wasm")]));
    assert!(code == 1 && said.contains("exports no function of the contract"), "{said}");
    assert!(!Path::new(&path("out.wasm")).exists());
    let component = function("only-ip").to_string_lossy().into_owned();
    let (code, _, said) = text(&run(&["componentize", &component, "-o", &path("out.wasm")]));
    assert!(code == 1 && said.contains("it is a component already"), "{said}");
}
