//! The simulator: cases, functions, an oracle, and a world of workers, a log, a database and faults; all from a seed.

pub mod case;
pub mod native;
pub mod oracle;
mod world;

use case::{Case, FULL, Limits, Rng};

/// A bug planted in the simulated shell, to see that the simulator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    Nothing,
    /// State is applied before it is known whether the commit is there.
    CommitOrder,
    /// Records of a late topic are lost.
    LostLate,
    /// A switch is not written to the history.
    SkippedSwitch,
}

/// Runs one seed.
///
/// # Errors
/// What differs from the oracle.
pub fn run(seed: u64, limits: Limits, planted: Planted) -> Result<(), String> {
    let mut rng = Rng(seed);
    let case = Case::new(&mut rng, limits);
    world::World::new(case, rng, planted)?.run()
}

/// Runs one seed; a failing one is made smaller.
///
/// # Errors
/// The seed, the smallest limits at which it fails, and what differs.
pub fn check(seed: u64) -> Result<(), String> {
    let Err(mut why) = run(seed, FULL, Planted::Nothing) else { return Ok(()) };
    let mut best = FULL;
    let fewer = [30, 10, 4, 2, 1].map(|records| Limits { records, ..FULL });
    for records in [FULL].into_iter().chain(fewer) {
        for steps in (0..=FULL.steps).rev() {
            for faults in [true, false] {
                let limits = Limits { records: records.records, steps, faults };
                if let Err(smaller) = run(seed, limits, Planted::Nothing) {
                    (best, why) = (limits, smaller);
                }
            }
        }
    }
    Err(format!("seed {seed}: smallest at {best:?}\n{why}"))
}
