//! The simulator by hand: `--seed N` plays one seed again, `--seeds N --from M` plays many.

#[path = "../tests/simulator/mod.rs"]
#[allow(dead_code)] // bugs are planted by the tests alone
mod simulator;

use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)?.parse::<u64>().ok());
    let (from, count) = match option("--seed") {
        Some(seed) => (seed, 1),
        None => (option("--from").unwrap_or(0), option("--seeds").unwrap_or(1_000)),
    };
    let started = Instant::now();
    for (done, seed) in (1..=count).zip(from..) {
        if let Err(why) = simulator::check(seed) {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
        if done % 1_000 == 0 || done == count {
            println!("{done} seeds, {:.0} a second", done as f64 / started.elapsed().as_secs_f64());
        }
    }
    ExitCode::SUCCESS
}
