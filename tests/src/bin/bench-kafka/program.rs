//! Programs that the bench starts: they end when their standard input does, so none is left behind. The host is not one of them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// How long a program may take to end.
const END_SECONDS: u64 = 30;
/// Last lines of a log that are shown.
const LOG_LINES: usize = 30;

/// A running program.
pub struct Program {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl Program {
    /// Starts a program; what it says goes to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let errors = File::create(log).context("make the log of a program")?;
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().with_context(|| format!("start {}", command.get_program().display()))?;
        let (commands, answers) = (child.stdin.take(), child.stdout.take().context("its output")?);
        Ok(Self { child, commands, answers: BufReader::new(answers), log: log.to_path_buf() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Gives it a line.
    ///
    /// # Errors
    /// With its log, when it has ended.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let told = self.commands.as_mut().map(|commands| writeln!(commands, "{line}").and_then(|()| commands.flush()));
        told.context("it was stopped")?.with_context(|| self.said())
    }

    /// Gives it a line, and waits for the line that it answers.
    ///
    /// # Errors
    /// As [`Program::tell`].
    pub fn ask(&mut self, line: &str) -> anyhow::Result<String> {
        self.tell(line)?;
        let mut answer = String::new();
        let read = self.answers.read_line(&mut answer).context("read a program's answer")?;
        if read == 0 {
            bail!("{}", self.said());
        }
        Ok(answer.trim().to_string())
    }

    /// Nothing, while it runs.
    ///
    /// # Errors
    /// With its log, when it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("a program ended with {status}: {}", self.said()),
            None => Ok(()),
        }
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("it said last:\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
    }

    /// Ends it, and waits for it.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.commands.take());
        let until = Instant::now() + Duration::from_secs(END_SECONDS);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                bail!("a program did not end within {END_SECONDS} s; {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Of a bench that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
