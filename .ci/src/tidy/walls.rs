//! Walls between crates: who may depend on whom. The same as in `deny.toml`, without needing cargo-deny.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, assert_none, shown, text};
use crate::run::{cargo, output};

/// All that the core may be linked with. Each is pure: no clock, file, socket, thread.
const CORE_ALLOWED: [&str; 3] = ["foldhash", "hashbrown", "thiserror"];

/// Crates around the core; none knows another, the host joins them.
const SHELLS: [&str; 6] = [
    "millstream-formats",
    "millstream-kafka",
    "millstream-local",
    "millstream-rocksdb",
    "millstream-wasm",
    "millstream-web",
];

/// Foreign libraries, by the start of their names, and the one crate that may name them.
const OWNERS: [(&str, &str); 15] = [
    ("rocksdb", "millstream-rocksdb"),
    ("librocksdb", "millstream-rocksdb"),
    ("wasmtime", "millstream-wasm"),
    ("cranelift", "millstream-wasm"),
    ("wit-", "millstream-wasm"),
    ("wasmparser", "millstream-wasm"),
    ("axum", "millstream-web"),
    ("hyper", "millstream-web"),
    ("tower", "millstream-web"),
    ("prometheus", "millstream-web"),
    ("rdkafka", "millstream-kafka"),
    ("rskafka", "millstream-kafka"),
    ("prost", "millstream-formats"),
    ("protox", "millstream-formats"),
    ("rustls", "millstream-formats"),
];

/// The data path: nothing asynchronous is linked into these.
const SYNCHRONOUS: [&str; 6] = [
    "millstream-core",
    "millstream-formats",
    "millstream-kafka",
    "millstream-local",
    "millstream-rocksdb",
    "millstream-wasm",
];

/// An edge between packages, as its manifest declares it (normal, build or dev).
type Edge = (String, String);

/// The edges of the workspace's members. Read as plain JSON: the crate that types it would switch on features of libraries
/// that the product shares, and so have them built twice, once for tests and once for the program.
fn edges() -> Vec<Edge> {
    let shape = ["metadata", "--format-version", "1", "--no-deps", "--quiet"];
    let metadata: Value = serde_json::from_str(&output(&mut cargo(&shape)).unwrap()).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.iter().any(|package| package["name"] == "millstream-core"));
    let name = |of: &Value| of["name"].as_str().unwrap().to_owned();
    let edges = packages.iter().flat_map(|package| {
        let dependencies = package["dependencies"].as_array().unwrap();
        dependencies.iter().map(move |to| (name(package), name(to)))
    });
    edges.collect()
}

/// The names of all that a package is linked with in normal builds of itself alone; procedural macros are not linked.
fn linked(package: &str) -> BTreeSet<String> {
    let shape = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"];
    let tree = output(cargo(&["tree", "--quiet", "--package", package]).args(shape)).unwrap();
    let names = tree.lines().filter_map(|line| line.split(' ').next()).filter(|name| *name != package);
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn shells_apart(edges: &[Edge]) -> Vec<Violation> {
    let forbidden = |from: &str, to: &str| {
        SHELLS.contains(&from) && (to == "millstream" || SHELLS.contains(&to))
            || from == "millstream-core" && to.starts_with("millstream")
    };
    let wrong = edges.iter().filter(|(from, to)| forbidden(from, to));
    wrong.map(|(from, to)| Violation::new(from, 0, format!("depends on {to}"))).collect()
}

fn foreign_owned(edges: &[Edge]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (from, to) in edges {
        for (name, owner) in OWNERS {
            if to.starts_with(name) && from != owner {
                violations.push(Violation::new(from, 0, format!("depends on {to}, which only {owner} may")));
            }
        }
    }
    violations
}

fn core_within(linked: &BTreeSet<String>) -> Vec<Violation> {
    let others = linked.iter().filter(|name| !CORE_ALLOWED.contains(&name.as_str()));
    others.map(|name| Violation::new("millstream-core", 0, format!("is linked with {name}"))).collect()
}

fn synchronous(package: &str, linked: &BTreeSet<String>) -> Vec<Violation> {
    let runtimes = ["tokio", "async-std", "smol", "futures-executor"];
    let found = linked.iter().filter(|name| runtimes.contains(&name.as_str()));
    found.map(|name| Violation::new(package, 0, format!("is linked with {name}"))).collect()
}

/// The compiler holds the core's walls by these two lines, so they must stay.
fn core_attributes(path: &str, text: &str) -> Vec<Violation> {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => return vec![Violation::new(path, 0, format!("does not parse: {error}"))],
    };
    let has_no_std = file.attrs.iter().any(|attribute| attribute.path().is_ident("no_std"));
    let forbids_unsafe = file.attrs.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("forbid") && list.tokens.to_string().contains("unsafe_code"),
        _ => false,
    });
    let needed = [("#![no_std]", has_no_std), ("#![forbid(unsafe_code)]", forbids_unsafe)];
    let missing = needed.iter().filter(|(_, there)| !there);
    missing.map(|(attribute, _)| Violation::new(path, 1, format!("lacks `{attribute}`"))).collect()
}

#[test]
fn crates_around_the_core_do_not_know_each_other() {
    assert_none(shells_apart(&edges()));
}

#[test]
fn each_foreign_library_has_one_crate() {
    assert_none(foreign_owned(&edges()));
}

#[test]
fn the_core_is_linked_with_nothing_but_what_is_allowed() {
    let linked = linked("millstream-core");
    assert!(linked.contains("hashbrown"), "{linked:?}");
    assert_none(core_within(&linked));
}

#[test]
fn nothing_asynchronous_is_on_the_data_path() {
    assert_none(SYNCHRONOUS.iter().flat_map(|package| synchronous(package, &linked(package))).collect());
    // The same question where the answer is yes, so that an empty answer means something.
    assert!(!synchronous("millstream-web", &linked("millstream-web")).is_empty());
}

#[test]
fn the_core_keeps_the_attributes_that_hold_its_walls() {
    let path = "host/core/src/lib.rs";
    assert_none(core_attributes(path, &text(path).expect("the core has a lib.rs")));
}

#[test]
fn wrong_edges_are_seen() {
    let edge = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let wrong = [
        edge("millstream-local", "millstream-rocksdb"),
        edge("millstream-web", "millstream"),
        edge("millstream-core", "millstream-wasm"),
    ];
    assert_eq!(shells_apart(&wrong).len(), wrong.len());
    assert_eq!(shells_apart(&[edge("millstream-local", "millstream-core"), edge("millstream", "millstream-web")]), []);

    let wrong = [edge("millstream", "rocksdb"), edge("millstream-local", "wasmtime-wasi"), edge("millstream", "axum")];
    assert_eq!(foreign_owned(&wrong).len(), wrong.len());
    let right = [edge("millstream-rocksdb", "rocksdb"), edge("millstream", "millstream-rocksdb")];
    assert_eq!(foreign_owned(&right), []);
}

#[test]
fn a_core_that_is_linked_with_more_is_seen() {
    let linked = ["hashbrown", "tokio"].map(str::to_owned).into();
    assert_eq!(shown(&core_within(&linked)), ["millstream-core: is linked with tokio"]);
}

#[test]
fn a_core_without_its_attributes_is_seen() {
    let wrong = "//! #![no_std]\n// #![forbid(unsafe_code)]\n#![deny(unsafe_code)]\n";
    let expected = ["lib.rs:1: lacks `#![no_std]`", "lib.rs:1: lacks `#![forbid(unsafe_code)]`"];
    assert_eq!(shown(&core_attributes("lib.rs", wrong)), expected);
    assert_eq!(core_attributes("lib.rs", "#![no_std]\n#![forbid(unsafe_code, unused)]\n"), []);
}
