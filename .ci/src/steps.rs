//! Long work as numbered steps: which of how many is running, how long each took, which failed.
//!
//! A failed step does not stop the others: one run tells everything that is wrong.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::counts::Counts;

/// The steps of one command.
pub struct Steps {
    total: usize,
    started: usize,
    begin: Instant,
    failures: Vec<String>,
    counts: Counts,
}

impl Steps {
    /// `total` is how many times [`Steps::run`] will be called.
    pub fn new(total: usize) -> Self {
        Self { total, started: 0, begin: Instant::now(), failures: Vec::new(), counts: Counts::default() }
    }

    /// Runs one step. A step that fails without a failed test (it did not compile, is not formatted) counts as one
    /// failure, so that the summary never says `0 failed` after something went wrong.
    pub fn run<T>(&mut self, what: &str, step: impl FnOnce(&mut Counts) -> Result<T>) -> Option<T> {
        self.started += 1;
        let place = format!("[{}/{}]", self.started, self.total);
        eprintln!("{place} {what}");
        let begin = Instant::now();
        let mut counts = Counts::default();
        let result = step(&mut counts);
        if result.is_err() && counts.failed == 0 {
            counts.failed = 1;
        }
        self.counts.add(&counts);
        let took = seconds(begin.elapsed());
        match result {
            Ok(value) => {
                eprintln!("{place} {what}: done in {took}");
                Some(value)
            }
            Err(error) => {
                eprintln!("{place} {what}: FAILED after {took}: {error:#}");
                self.failures.push(format!("{what}: {error:#}"));
                None
            }
        }
    }

    /// Says what failed, and writes the summary as the last line of `out`. True when nothing failed.
    pub fn finish(self, out: &mut dyn Write) -> bool {
        eprintln!("all steps took {}", seconds(self.begin.elapsed()));
        for name in &self.counts.failed_names {
            eprintln!("failed test: {name}");
        }
        for failure in &self.failures {
            eprintln!("failed step: {failure}");
        }
        // The exit code tells the same to those who no longer read.
        let _ = writeln!(out, "{}", self.counts.summary());
        self.failures.is_empty() && self.counts.failed == 0
    }
}

fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1} s", duration.as_secs_f64()),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_step_that_fails_without_a_failed_test_counts_as_one_failure() {
        let mut steps = Steps::new(2);
        steps.run("passes", |counts| {
            counts.passed += 3;
            Ok(())
        });
        let nothing: Option<()> = steps.run("does not compile", |_| bail!("no such crate"));
        assert!(nothing.is_none());
        let mut out = Vec::new();
        assert!(!steps.finish(&mut out));
        assert_eq!(out, b"3 passed, 1 failed\n");
    }

    #[test]
    fn a_step_with_failed_tests_counts_those_only() {
        let mut steps = Steps::new(1);
        let nothing: Option<()> = steps.run("tests", |counts| {
            counts.failed += 2;
            bail!("exit code 101")
        });
        assert!(nothing.is_none());
        assert_eq!(steps.counts.summary(), "0 passed, 2 failed");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
