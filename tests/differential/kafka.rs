//! Kafka Streams: one Java process that takes case after case.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use millstream_tests::peers;
use serde_json::Value;
use tempfile::TempDir;

use crate::Case as _;
use crate::case::{Case, Outcome, Window};
use crate::{joins, streams, tables};

pub struct Judge {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _classes: TempDir,
}

impl Judge {
    pub fn start() -> Self {
        let libs = millstream_test_broker::libs();
        let classes = tempfile::tempdir().expect("make a folder");
        peers::compile(&libs, classes.path()).expect("compile the peers");
        let mut java = peers::command(&libs, classes.path(), "Cases", "512m").expect("name the classes");
        java.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = java.spawn().expect("start Java; `./x test` installs it");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, input, output: BufReader::new(output), _classes: classes }
    }

    pub fn run(&mut self, case: &Case) -> Result<Vec<Outcome>, String> {
        let windowed = case.window != Window::None;
        Ok(self.ask(&case.json())?.iter().map(|r| outcome(windowed, r)).collect())
    }

    pub fn join(&mut self, case: &joins::Case) -> Result<Vec<Outcome>, String> {
        Ok(self.ask(&case.json())?.iter().map(|r| outcome(false, r)).collect())
    }

    pub fn join_streams(&mut self, case: &streams::Case) -> Result<Vec<Outcome>, String> {
        Ok(self.ask(&case.json())?.iter().map(|r| outcome(false, r)).collect())
    }

    pub fn table(&mut self, case: &tables::Case) -> Result<Vec<Outcome>, String> {
        Ok(self.ask(&case.json())?.iter().map(|r| outcome(false, r)).collect())
    }

    fn ask(&mut self, case: &Value) -> Result<Vec<Value>, String> {
        let mut line = String::new();
        writeln!(self.input, "{case}").map_err(|e| format!("Java has ended: {e}"))?;
        self.output.read_line(&mut line).map_err(|e| format!("Java has ended: {e}"))?;
        serde_json::from_str(&line).map_err(|e| format!("Java says `{line}`: {e}"))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A windowed key is shown as `key@start/end`.
fn outcome(windowed: bool, result: &Value) -> Outcome {
    let text = |name: &str| result[name].as_str().map(str::to_string);
    let number = |name: &str| result[name].as_i64().expect("a number");
    let (mut key, mut window) = (text("key").unwrap_or_default(), None);
    if windowed {
        let (own, bounds) = key.rsplit_once('@').expect("a windowed key");
        let (start, end) = bounds.split_once('/').expect("bounds");
        window = Some((end.parse().expect("an end"), start.parse().expect("a start")));
        key = own.to_string();
    }
    Outcome { by: number("by") as usize, window, key, value: text("value"), time: number("time") }
}
