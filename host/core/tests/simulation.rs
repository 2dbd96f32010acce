//! The simulator's short form: many seeds, and bugs planted around the engine that it must see. The long form is
//! `cargo run -p millstream-core --example sim`.

mod simulator;

use simulator::case::FULL;
use simulator::{Planted, check, run};

/// Seeds of the short form.
const SEEDS: u64 = 10_000;

/// Threads that share them.
const THREADS: u64 = 2;

#[test]
fn no_seed_differs_from_the_oracle() {
    let share = |thread| move || (0..SEEDS).filter(|s| s % THREADS == thread).find_map(|seed| check(seed).err());
    let threads: Vec<_> = (0..THREADS).map(|thread| std::thread::spawn(share(thread))).collect();
    for thread in threads {
        if let Some(why) = thread.join().expect("a simulation panicked; `--example sim` says with which seed") {
            panic!("{why}\nagain: cargo run -p millstream-core --example sim -- --seed N");
        }
    }
}

/// Seeds within which a planted bug must be seen.
const CANARY_SEEDS: u64 = 500;

fn is_caught(planted: Planted) {
    let caught = (0..CANARY_SEEDS).filter(|seed| run(*seed, FULL, planted).is_err()).count();
    assert!(caught > 0, "{planted:?} was not seen in {CANARY_SEEDS} seeds");
    println!("{planted:?}: seen by {caught} of {CANARY_SEEDS} seeds");
}

#[test]
fn a_wrong_commit_order_is_caught() {
    is_caught(Planted::CommitOrder);
}

#[test]
fn a_lost_late_record_is_caught() {
    is_caught(Planted::LostLate);
}

#[test]
fn time_lost_across_a_repartition_is_caught() {
    is_caught(Planted::RepartitionTime);
}

#[test]
fn a_write_of_a_failed_call_is_caught() {
    is_caught(Planted::FailedWrite);
}

#[test]
fn a_skipped_switch_is_caught() {
    is_caught(Planted::SkippedSwitch);
}
