//! The simulator: random pipelines on workers over a log and a database, with faults, judged record by record. All from a
//! seed.

pub mod canonical;
pub mod case;
mod chaos;
mod database;
pub mod judge;
pub mod native;
pub mod oracle;
pub mod rng;
pub mod roles;
pub mod watch;
mod world;

use case::{Case, FULL, Size};
use rng::Rng;

/// A bug planted around the engine, to see that the simulator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    Nothing,
    /// State is applied before it is known whether the commit is there.
    CommitOrder,
    /// Records of a late topic are lost.
    LostLate,
    /// What is read of repartition topics does not say how far it lies behind.
    RepartitionTime,
    /// What a failed call has written counts.
    FailedWrite,
    /// A switch is not written to the history.
    SkippedSwitch,
}

/// Runs one seed.
///
/// # Errors
/// What differs from the oracle.
pub fn run(seed: u64, size: Size, planted: Planted) -> Result<(), String> {
    let case = Case::new(seed, size);
    let told = told(&case);
    let world = world::World::new(case, Rng::new(seed, 3), planted)?;
    chaos::run(world).map_err(|why| format!("{why}\n{told}"))
}

/// A case, for reading.
fn told(case: &Case) -> String {
    let spec = &case.spec;
    let mut lines: Vec<String> = spec.sources.iter().map(|s| format!("{s:?}")).collect();
    lines.extend(spec.steps.iter().map(|s| format!("{s:?}")));
    lines.extend(spec.sinks.iter().map(|s| format!("{s:?}")));
    lines.extend(case.roles.iter().enumerate().map(|(f, role)| format!("f{f}: {role:?}")));
    lines.push(format!("{:?} {:?}", case.partitions, case.limits));
    lines.join("\n")
}

/// Runs one seed; a failing one is made smaller.
///
/// # Errors
/// The seed, the smallest size at which it fails, and what differs.
pub fn check(seed: u64) -> Result<(), String> {
    let Err(mut why) = run(seed, FULL, Planted::Nothing) else { return Ok(()) };
    let mut best = FULL;
    let mut try_with = |size: Size| {
        if let Err(smaller) = run(seed, size, Planted::Nothing) {
            (best, why) = (size, smaller);
        }
    };
    for steps in (0..=FULL.steps).rev() {
        for records in [FULL.records, 20, 8, 4, 2, 1] {
            for (faults, swaps) in [(true, true), (true, false), (false, true), (false, false)] {
                try_with(Size { records, steps, faults, swaps });
            }
        }
    }
    Err(format!("seed {seed}: smallest at {best:?}\n{why}"))
}
