//! The sum over all test binaries of a run, read from what the test runner prints while it is passed on.
//!
//! Only the runner's stable lines are read (`test result: …` and `test NAME ... FAILED`); a binary that dies before
//! printing a result is noticed by cargo's exit code instead.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Failed tests that are named again at the end.
const FAILED_NAMES_MAX: usize = 50;

/// How many tests passed, failed, were skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// The first [`FAILED_NAMES_MAX`] of the failed.
    pub failed_names: Vec<String>,
}

impl Counts {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        let room = FAILED_NAMES_MAX.saturating_sub(self.failed_names.len());
        self.failed_names.extend(other.failed_names.iter().take(room).cloned());
    }

    /// `N passed, N failed`, with `, N skipped` when there are any. Continuous integration reads exactly this.
    pub fn summary(&self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            line.push_str(&format!(", {} skipped", self.skipped));
        }
        line
    }

    /// Takes in one line of a test runner's output; other lines change nothing.
    pub fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            // `ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s`
            let numbers = rest.split_once(". ").map_or(rest, |(_, numbers)| numbers);
            for part in numbers.split("; ") {
                let Some((number, what)) = part.trim().split_once(' ') else { continue };
                let Ok(number) = number.parse::<u64>() else { continue };
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.skipped += number,
                    _ => {}
                }
            }
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED"))
            && self.failed_names.len() < FAILED_NAMES_MAX
        {
            self.failed_names.push(name.to_owned());
        }
    }
}

/// Runs a test command, passes its output on to standard output line by line, and sums its results into `counts`.
pub fn run_counting(command: &mut Command, counts: &mut Counts) -> Result<()> {
    pass_on(command, &mut std::io::stdout(), counts)
}

fn pass_on(command: &mut Command, reader: &mut dyn Write, counts: &mut Counts) -> Result<()> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start the tests")?;
    let mut lines = BufReader::new(child.stdout.take().context("take the tests' output")?);
    let mut bytes = Vec::new();
    // Lines as bytes: a test may print what is not UTF-8.
    while lines.read_until(b'\n', &mut bytes).context("read the tests' output")? > 0 {
        // A reader that went away (`| head`) does not stop the tests.
        let _ = reader.write_all(&bytes);
        counts.read(String::from_utf8_lossy(&bytes).trim_end());
        bytes.clear();
    }
    let status = child.wait().context("wait for the tests")?;
    if !status.success() {
        bail!("the tests ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_binaries_are_summed() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 0.01s",
            "test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.50s",
            "a test that prints 5 passed; 9 failed",
        ] {
            counts.read(line);
        }
        assert_eq!(counts, Counts { passed: 42, failed: 1, skipped: 2, failed_names: vec!["a::c".to_owned()] });
        assert_eq!(counts.summary(), "42 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn names_of_failed_tests_are_bounded() {
        let mut counts = Counts::default();
        for number in 0..FAILED_NAMES_MAX + 1 {
            counts.read(&format!("test t{number} ... FAILED"));
        }
        assert_eq!(counts.failed_names.len(), FAILED_NAMES_MAX);
        let mut sum = Counts::default();
        sum.add(&counts);
        sum.add(&counts);
        assert_eq!(sum.failed_names.len(), FAILED_NAMES_MAX);
    }

    #[test]
    fn a_runner_that_fails_is_an_error_and_its_output_is_still_counted() {
        let script = "printf 'x\\377\\n'; echo 'test result: ok. 4 passed; 0 failed; 0 ignored'; exit 101";
        let mut counts = Counts::default();
        let mut passed_on = Vec::new();
        // Not `run_counting`: the runner of this very test would count these lines as its own.
        let result = pass_on(Command::new("sh").args(["-c", script]), &mut passed_on, &mut counts);
        assert_eq!(result.unwrap_err().to_string(), "the tests ended with exit status: 101");
        assert_eq!(counts.passed, 4);
        assert_eq!(passed_on, b"x\xff\ntest result: ok. 4 passed; 0 failed; 0 ignored\n");
    }
}
