//! Generated access-log lines: for the demo, trials and measurements. The same seed gives the same lines.

use std::io::{BufWriter, Write as _};
use std::process::ExitCode;

use anyhow::Context;
use jiff::Timestamp;

/// Prints access-log lines, the same for the same options.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Example: millstream generate --lines 1000000 > lines.txt\n\nExit codes: 0 written; 1 failed; 2 the command line is wrong."
)]
pub struct Args {
    /// How many
    #[arg(long, default_value_t = 100)]
    lines: u64,
    /// Another seed gives other lines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Different addresses
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    addresses: u32,
    /// Lines a second of event time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    per_second: u32,
    /// How far lines may be out of order, milliseconds
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(0..=3_600_000))]
    disorder_ms: u32,
}

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let lines = Lines::new(Shape {
        seed: args.seed,
        addresses: args.addresses,
        per_second: args.per_second,
        disorder_ms: args.disorder_ms,
    });
    let mut out = BufWriter::new(std::io::stdout().lock());
    for line in lines.take(usize::try_from(args.lines)?) {
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            other => other.context("write the lines")?,
        }
    }
    match out.flush() {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
        other => other.context("write the lines")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What lines look like together.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Another seed gives other lines.
    pub seed: u64,
    /// Different addresses.
    pub addresses: u32,
    /// Lines a second of event time.
    pub per_second: u32,
    /// How far lines may be out of order, milliseconds.
    pub disorder_ms: u32,
}

/// 2021-05-01T14:30:00Z.
pub const FIRST_MS: i64 = 1_619_879_400_000;

/// One line in this many has no `IP:`.
const NOISE_ONE_IN: u64 = 20;

const USERS: [&str; 6] = ["Alice", "Bob", "Carol", "Dave", "Erin", "Frank"];
const ACTIONS: [&str; 5] = ["Login", "Logout", "View", "Upload", "Delete"];

/// An endless run of lines.
#[derive(Clone, Debug)]
pub struct Lines {
    shape: Shape,
    made: u64,
    state: u64,
}

impl Lines {
    /// Lines of a shape, from its first.
    pub fn new(shape: Shape) -> Self {
        Self { shape, made: 0, state: shape.seed }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let due_ms = self.made * 1_000 / u64::from(self.shape.per_second);
        self.made += 1;
        let early_ms = self.below(u64::from(self.shape.disorder_ms) + 1);
        let time = FIRST_MS + i64::try_from(due_ms.saturating_sub(early_ms)).ok()?;
        let time = Timestamp::from_millisecond(time).ok()?.strftime("%Y-%m-%d %H:%M:%S");
        if self.below(NOISE_ONE_IN) == 0 {
            return Some(format!("[{time}] health check passed"));
        }
        // A product of two is small more often than large: some addresses are busier than others.
        let (a, b) = (self.below(1 << 16), self.below(1 << 16));
        let address = (((a * b) >> 16) * u64::from(self.shape.addresses)) >> 16;
        let (user, action) = (USERS[self.below(6) as usize], ACTIONS[self.below(5) as usize]);
        let (high, low) = (address / 250, address % 250 + 1);
        Some(format!("[{time}] IP: 192.168.{high}.{low}, User: {user}, Action: {action}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_for_the_same_seed_and_within_their_shape() {
        let shape = Shape { seed: 7, addresses: 30, per_second: 10, disorder_ms: 1_500 };
        let lines: Vec<String> = Lines::new(shape).take(500).collect();
        assert_eq!(lines, Lines::new(shape).take(500).collect::<Vec<_>>());
        assert_ne!(lines, Lines::new(Shape { seed: 8, ..shape }).take(500).collect::<Vec<_>>());
        assert!(lines[0].starts_with("[2021-05-01 14:30:00] "), "{}", lines[0]);
        let noise = lines.iter().filter(|l| !l.contains("IP:")).count();
        assert!((5..60).contains(&noise), "{noise} of 500 lines without an address");
        // 499 lines at 10 a second: the last is at most 49.9 s and at least 48.4 s behind the first.
        assert!(lines[499].starts_with("[2021-05-01 14:30:4"), "{}", lines[499]);
        let mut addresses: Vec<&str> = lines.iter().filter_map(|l| l.split("IP: ").nth(1)?.split(',').next()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert!((10..=30).contains(&addresses.len()), "{addresses:?}");
    }
}
