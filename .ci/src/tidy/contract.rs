//! Checks on the contract and the sample functions: what is released stays as it was, what is there is listed.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use sha2::{Digest, Sha256};

use super::{Violation, assert_none, files, shown, text};
use crate::run::root;

/// A file under `wit/` by its path from there, and its digest in hex.
type Digested = (String, String);

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The words of a line that look like a SHA-256 in hex.
fn digests(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Every released file stands in `wit/README.md` on a line with its digest, and every digest there is that of a file
/// on its line. So neither the text nor the record of it can change alone.
fn recorded(readme: &str, released: &[Digested]) -> Vec<Violation> {
    let path = "wit/README.md";
    let mut violations = Vec::new();
    for (file, digest) in released {
        let line = readme.lines().find(|line| line.contains(file.as_str()) && digests(line).next().is_some());
        match line {
            Some(line) if digests(line).any(|word| word == digest) => {}
            Some(_) => violations.push(Violation::new(
                &format!("wit/{file}"),
                0,
                format!("differs from what {path} records; it is {digest}"),
            )),
            None => violations.push(Violation::new(
                &format!("wit/{file}"),
                0,
                format!("is not recorded in {path}; it is {digest}"),
            )),
        }
    }
    for (number, line) in readme.lines().enumerate() {
        let stray = line.contains("released/") && digests(line).next().is_some();
        if stray && !released.iter().any(|(file, _)| line.contains(file.as_str())) {
            violations.push(Violation::new(path, number + 1, "records a file that is not there"));
        }
    }
    violations
}

/// Every folder under `udfs/` is named in its README, in backticks or as a link.
fn listed(readme: &str, folders: &BTreeSet<String>) -> Vec<Violation> {
    let named = |folder: &str| {
        let forms = [format!("`{folder}`"), format!("`{folder}/`"), format!("({folder})"), format!("({folder}/")];
        forms.iter().any(|form| readme.contains(form.as_str()))
    };
    let missing = folders.iter().filter(|folder| !named(folder));
    missing.map(|folder| Violation::new("udfs/README.md", 0, format!("does not list `{folder}`"))).collect()
}

#[test]
fn released_contracts_are_as_recorded() {
    let released: Vec<Digested> = files()
        .iter()
        .filter_map(|path| path.strip_prefix("wit/").filter(|path| path.starts_with("released/")))
        .map(|path| (path.to_owned(), hex_digest(&fs::read(root().join("wit").join(path)).unwrap())))
        .collect();
    assert!(!released.is_empty(), "wit/released holds no contract");
    assert_none(recorded(&text("wit/README.md").expect("wit/README.md is there"), &released));
}

#[test]
fn every_sample_function_is_listed() {
    let paths = files();
    let folders: BTreeSet<_> = paths
        .iter()
        .filter_map(|path| path.strip_prefix("udfs/")?.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .collect();
    assert!(!folders.is_empty(), "udfs/ holds no function");
    assert_none(listed(&text("udfs/README.md").expect("udfs/README.md is there"), &folders));
}

#[test]
fn a_changed_release_is_seen() {
    let digest = hex_digest(b"text");
    let released = [("released/0.1.0/udf.wit".to_owned(), digest.clone())];
    let right = format!("# Contract\n| `released/0.1.0/udf.wit` | `{digest}` |\n");
    assert_eq!(recorded(&right, &released), []);
    let other = right.replace(&digest, &hex_digest(b"other"));
    assert!(shown(&recorded(&other, &released))[0].starts_with("wit/released/0.1.0/udf.wit: differs"));
    assert!(shown(&recorded("# Contract\n", &released))[0].starts_with("wit/released/0.1.0/udf.wit: is not recorded"));
    assert_eq!(shown(&recorded(&right, &[])), ["wit/README.md:2: records a file that is not there"]);
}

#[test]
fn the_digest_is_sha_256() {
    assert_eq!(hex_digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_function_that_is_not_listed_is_seen() {
    let folders = ["count-rust", "only-ip-rust", "cases"].map(str::to_owned).into();
    let readme = "# Samples\n| `only-ip-rust` | [cases](cases/) | a count |\n";
    assert_eq!(shown(&listed(readme, &folders)), ["udfs/README.md: does not list `count-rust`"]);
}
