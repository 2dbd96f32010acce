//! The simulator: random pipelines on workers over a log and a database, with faults, judged record by record. All from a
//! seed.

pub mod canonical;
pub mod case;
mod chaos;
mod database;
pub mod ends;
pub mod fleet;
mod formats;
pub mod judge;
mod layouts;
pub mod native;
pub mod oracle;
pub mod processors;
pub mod rng;
pub mod roles;
mod standing;
mod waits;
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
    /// Of a fleet: whoever lost a task and came back commits what it did before with the generation of now.
    MetadataAfterRejoin,
    /// A state is made again up to the last stable offset, which an acknowledged commit may lie behind.
    RestoreToLso,
    /// A state that is older than removals live in its changelog is used.
    OldTombstones,
    /// A changelog that was read in part makes the whole state count as new. Seldom seen: by one seed in a thousand or less, so
    /// only by the long form.
    FreshPartial,
    /// A host's state is written before it is known that the commit is there.
    WriteBeforeCommit,
    /// An unknown outcome counts as an abort.
    GuessOnUnknown,
    /// That a partition was at its end counts for ever, also while nobody can look.
    StaleEnds,
    /// A process counts epochs for itself: what it runs has none of the control log.
    EpochOfItsOwn,
    /// A process that has prepared a proposal takes it as in force when it comes to nothing.
    VoidActivated,
    /// A version takes over in the middle of an interval.
    SwitchInInterval,
    /// A process starts with what was in force once, and does not read on.
    OldVersionAtStart,
    /// A process removes a component as soon as it says that it should be collected.
    CollectedUnread,
    /// A process that reads that a component was collected removes it wherever it is, also where it was put again meanwhile.
    CollectedByName,
    /// States are said to be in the layout of a new version and stay in the old one.
    KeptLayout,
    /// Whoever watches calls of processors is not told that some are taken back.
    UntoldTakeBack,
}

/// The planted bugs, and where each is planted.
pub const PLANTED: [(Planted, Shell); 20] = [
    (Planted::CommitOrder, Shell::Local),
    (Planted::LostLate, Shell::Local),
    (Planted::RepartitionTime, Shell::Local),
    (Planted::FailedWrite, Shell::Local),
    (Planted::SkippedSwitch, Shell::Local),
    (Planted::MetadataAfterRejoin, Shell::Fleet),
    (Planted::RestoreToLso, Shell::Fleet),
    (Planted::OldTombstones, Shell::Fleet),
    (Planted::FreshPartial, Shell::Fleet),
    (Planted::WriteBeforeCommit, Shell::Fleet),
    (Planted::GuessOnUnknown, Shell::Fleet),
    (Planted::StaleEnds, Shell::Fleet),
    (Planted::EpochOfItsOwn, Shell::Fleet),
    (Planted::VoidActivated, Shell::Fleet),
    (Planted::SwitchInInterval, Shell::Fleet),
    (Planted::OldVersionAtStart, Shell::Fleet),
    (Planted::CollectedUnread, Shell::Fleet),
    (Planted::CollectedByName, Shell::Fleet),
    (Planted::KeptLayout, Shell::Local),
    (Planted::UntoldTakeBack, Shell::Local),
];

/// What stands around the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// Workers of one host over its own log, which commits all at once.
    Local,
    /// Several hosts on Kafka's terms.
    Fleet,
}

impl Shell {
    /// Runs one seed.
    ///
    /// # Errors
    /// What differs from the oracle.
    pub fn run(self, seed: u64, size: Size, planted: Planted) -> Result<(), String> {
        if self == Shell::Fleet {
            return fleet::run(seed, size, planted);
        }
        let case = Case::new(seed, size);
        let told = told(&case);
        let world = world::World::new(case, Rng::new(seed, 3), planted).map_err(|why| format!("{why}\n{told}"))?;
        chaos::run(world).map_err(|why| format!("{why}\n{told}"))
    }
}

/// A case, for reading.
fn told(case: &Case) -> String {
    let spec = &case.spec;
    let mut lines: Vec<String> = spec.sources.iter().map(|s| format!("{s:?}")).collect();
    lines.extend(spec.steps.iter().map(|s| format!("{s:?}")));
    lines.extend(spec.sinks.iter().map(|s| format!("{s:?}")));
    lines.extend(case.roles.iter().enumerate().map(|(f, role)| format!("f{f}: {role:?}")));
    lines.push(format!("{:?} {:?} {:?}", spec.max_idle, case.partitions, case.limits));
    lines.join("\n")
}

/// Runs one seed; a failing one is made smaller.
///
/// # Errors
/// The seed, the smallest size at which it fails, and what differs.
pub fn check(shell: Shell, seed: u64) -> Result<(), String> {
    let Err(mut why) = shell.run(seed, FULL, Planted::Nothing) else { return Ok(()) };
    let mut best = FULL;
    let mut try_with = |size: Size| {
        if let Err(smaller) = shell.run(seed, size, Planted::Nothing) {
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
    Err(format!("{shell:?}, seed {seed}: smallest at {best:?}\n{why}"))
}
