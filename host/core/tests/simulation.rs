//! The simulator's short form: many seeds, and bugs planted in its shell that it must see.

mod simulator;

use simulator::case::FULL;
use simulator::{Planted, check, run};

/// Seeds of the short form.
const SEEDS: u64 = 10_000;

#[test]
fn no_seed_differs_from_the_oracle() {
    let threads: Vec<_> = (0..2)
        .map(|half| std::thread::spawn(move || (0..SEEDS).filter(|s| s % 2 == half).find_map(|seed| check(seed).err())))
        .collect();
    for thread in threads {
        if let Some(why) = thread.join().expect("a simulation panicked") {
            panic!("{why}\nagain: cargo run -p millstream-core --example sim -- --seed N");
        }
    }
}

/// Seeds within which a planted bug must be seen.
const CANARY_SEEDS: u64 = 500;

fn is_caught(planted: Planted) {
    assert!((0..CANARY_SEEDS).any(|seed| run(seed, FULL, planted).is_err()), "{planted:?} was not seen");
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
fn a_skipped_switch_is_caught() {
    is_caught(Planted::SkippedSwitch);
}
