//! The mechanical half of `docs/style.md`, as tests: source text, walls between crates, documents, the contract,
//! the SDKs as packages.
//!
//! Each check is a function from a file's path and text to violations, tried on small wrong texts beside it, and then
//! run over everything that git lists (also files not yet committed). All violations are shown, not the first.

mod contract;
mod docs;
mod packages;
mod source;
mod walls;

use std::{collections::BTreeSet, fmt, fs, process::Command};

use crate::run::{output, root};

/// One thing that is not as the style asks, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: String,
    /// From 1; 0 when it is about the file as a whole.
    line: usize,
    what: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.what),
            line => write!(formatter, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Fails with all violations, one a line.
fn assert_none(mut violations: Vec<Violation>) {
    violations.sort();
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{} violation(s):\n{}", lines.len(), lines.join("\n"));
}

/// Every file of the project, by its path from the root: what git tracks and what it would track.
fn files() -> Vec<String> {
    let mut git = Command::new("git");
    // The checkout may belong to someone else than who tests it (containers); only names of files are asked for.
    git.args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = output(git.current_dir(root())).expect("git lists the files; the tidy tests need a checkout");
    let paths: BTreeSet<_> = listed.split('\0').filter(|path| root().join(path).is_file()).map(str::to_owned).collect();
    assert!(paths.contains("Cargo.toml"), "git listed {} files, without Cargo.toml", paths.len());
    paths.into_iter().collect()
}

/// The files whose name ends so, with their text; bytes that are not UTF-8 are replaced.
fn texts(ending: &str) -> Vec<(String, String)> {
    let wanted = files().into_iter().filter(|path| path.ends_with(ending));
    wanted.filter_map(|path| Some((path.clone(), text(&path)?))).collect()
}

/// A file's text; none when it went away since git listed it.
fn text(path: &str) -> Option<String> {
    let bytes = fs::read(root().join(path)).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Only the messages, for the checks' own tests.
fn shown(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(ToString::to_string).collect()
}
