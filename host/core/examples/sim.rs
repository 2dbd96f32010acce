//! The simulator by hand: `--seed N` plays one seed again, `--seeds N --from M` plays many, `--planted BUG` counts the seeds
//! that see a planted bug. One host's own log, or, with `--fleet`, several hosts on Kafka's terms.

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use std::process::ExitCode;
use std::time::Instant;

use simulator::{PLANTED, Shell, case::FULL};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let text = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let option = |name: &str| text(name).and_then(|t| t.parse::<u64>().ok());
    let shell = if args.iter().any(|a| a == "--fleet") { Shell::Fleet } else { Shell::Local };
    let (from, count) = match option("--seed") {
        Some(seed) => (seed, 1),
        None => (option("--from").unwrap_or(0), option("--seeds").unwrap_or(1_000)),
    };
    if let Some((planted, shell)) =
        PLANTED.iter().find(|p| text("--planted").is_some_and(|t| *t == format!("{:?}", p.0)))
    {
        let seen = (from..from + count).filter(|seed| shell.run(*seed, FULL, *planted).is_err()).count();
        println!("{planted:?}: seen by {seen} of {count} seeds");
        return ExitCode::SUCCESS;
    }
    let started = Instant::now();
    for (done, seed) in (1..=count).zip(from..) {
        let checked = std::panic::catch_unwind(|| simulator::check(shell, seed));
        if let Err(why) = checked.unwrap_or_else(|_| Err(format!("seed {seed}: a panic"))) {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
        if done % 10_000 == 0 || done == count {
            println!("{done} seeds, {:.0} a second", done as f64 / started.elapsed().as_secs_f64());
        }
    }
    ExitCode::SUCCESS
}
