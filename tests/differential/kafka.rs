//! Kafka Streams: one Java process that takes case after case.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use millstream_tests::peers;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Case;
use crate::case::{Outcome, Record};

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
        java.arg(classes.path().join("state"));
        java.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = java.spawn().expect("start Java; `./x test` installs it");
        let (input, output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        Self { child, input, output: BufReader::new(output), _classes: classes }
    }

    pub fn run<C: Case>(&mut self, case: &C) -> Result<Vec<Outcome>, String> {
        Ok(self.ask(&told(case))?.iter().map(|r| outcome(case.is_windowed(), r)).collect())
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

/// A case as the Java side reads it.
pub fn told<C: Case>(case: &C) -> Value {
    let record = |r: &Record| json!([C::TOPICS[r.side as usize], r.key, r.value, r.time]);
    let mut told = case.json();
    told["topics"] = json!(C::TOPICS);
    told["records"] = case.records().iter().map(record).collect();
    told
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
