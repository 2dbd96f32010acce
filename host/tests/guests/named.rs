//! Every misbehaving function is tried by a test. Which fault it must end with, the tests themselves say.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where tests stand that run functions.
const TESTS: [&str; 3] = ["host/wasm/tests", "host/tests", "tests/e2e"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The texts of all Rust files in a folder and below it.
fn texts(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => texts(&path),
                false if path.extension().is_some_and(|e| e == "rs") => vec![fs::read_to_string(path).unwrap()],
                false => Vec::new(),
            }
        })
        .collect()
}

#[test]
fn every_misbehaving_function_is_named_by_a_test() {
    let sources = ["udfs/misbehaving-rust/examples", "udfs/misbehaving-wat"].map(|folder| root().join(folder));
    let files = sources.iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let names = files.filter_map(|file| Some(file.unwrap().path().file_stem()?.to_str()?.to_string()));
    let there: BTreeSet<String> = names.filter(|name| name.starts_with("bad-")).collect();
    assert!(there.len() > 60, "{there:?}");
    let texts: Vec<String> = TESTS.iter().flat_map(|folder| texts(&root().join(folder))).collect();
    // A name between quotation marks, or before `.wasm` in a manifest: `bad-trap` is not said by `bad-trap-add`.
    let said = |name: &&String| {
        let forms = [format!("\"{name}\""), format!("{name}.wasm")];
        texts.iter().any(|text| forms.iter().any(|form| text.contains(form)))
    };
    let silent: Vec<_> = there.iter().filter(|name| !said(name)).collect();
    assert!(silent.is_empty(), "no test names {silent:?}");
}
