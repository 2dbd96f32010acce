//! The simulator's short form: many seeds, and bugs planted around the engine that it must see. The long form is
//! `cargo run -p millstream-core --example sim`.

mod simulator;

use simulator::case::FULL;
use simulator::{PLANTED, Planted, Shell, check};

/// Seeds of the short form, with one host's own log and with a fleet on Kafka's terms.
const SEEDS: [(Shell, u64); 2] = [(Shell::Local, 10_000), (Shell::Fleet, 6_000)];

/// Threads that share them.
const THREADS: u64 = 2;

fn none_differs(shell: Shell) {
    let (_, seeds) = SEEDS.into_iter().find(|(s, _)| *s == shell).expect("each shell has its seeds");
    let share =
        move |thread| move || (0..seeds).filter(|s| s % THREADS == thread).find_map(|seed| check(shell, seed).err());
    let threads: Vec<_> = (0..THREADS).map(|thread| std::thread::spawn(share(thread))).collect();
    for thread in threads {
        if let Some(why) = thread.join().expect("a simulation panicked; `--example sim` says with which seed") {
            panic!("{why}\nagain: cargo run -p millstream-core --example sim -- --seed N, for a fleet with --fleet");
        }
    }
}

#[test]
fn no_seed_of_one_host_differs_from_the_oracle() {
    none_differs(Shell::Local);
}

#[test]
fn no_seed_of_a_fleet_differs_from_the_oracle() {
    none_differs(Shell::Fleet);
}

/// Seeds within which a planted bug must be seen.
const CANARY_SEEDS: u64 = 1_000;

fn is_caught(planted: Planted) {
    let (_, shell) = PLANTED.into_iter().find(|(p, _)| *p == planted).expect("each is planted somewhere");
    let seen = (0..CANARY_SEEDS).find_map(|seed| shell.run(seed, FULL, planted).err().map(|why| (seed, why)));
    let (seed, why) = seen.unwrap_or_else(|| panic!("{planted:?} was not seen in {CANARY_SEEDS} seeds"));
    println!("{planted:?}: first seen by seed {seed}: {}", why.lines().next().unwrap_or_default());
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

#[test]
fn metadata_read_after_a_rejoin_is_caught() {
    is_caught(Planted::MetadataAfterRejoin);
}

#[test]
fn a_restore_that_ends_at_the_last_stable_offset_is_caught() {
    is_caught(Planted::RestoreToLso);
}

#[test]
fn a_state_older_than_removals_live_is_caught() {
    is_caught(Planted::OldTombstones);
}

#[test]
fn a_state_written_before_the_commit_is_known_is_caught() {
    is_caught(Planted::WriteBeforeCommit);
}

#[test]
fn a_guess_on_an_unknown_outcome_is_caught() {
    is_caught(Planted::GuessOnUnknown);
}

#[test]
fn silence_while_nobody_can_look_is_caught() {
    is_caught(Planted::StaleEnds);
}

#[test]
fn an_epoch_that_a_process_counts_for_itself_is_caught() {
    is_caught(Planted::EpochOfItsOwn);
}

#[test]
fn a_void_proposal_that_runs_is_caught() {
    is_caught(Planted::VoidActivated);
}

#[test]
fn a_switch_between_commits_is_caught() {
    is_caught(Planted::SwitchInInterval);
}

#[test]
fn a_host_that_comes_up_with_an_old_version_is_caught() {
    is_caught(Planted::OldVersionAtStart);
}

#[test]
fn a_component_that_is_removed_before_the_log_says_so_is_caught() {
    is_caught(Planted::CollectedUnread);
}

#[test]
fn a_component_that_is_removed_where_it_was_put_again_is_caught() {
    is_caught(Planted::CollectedByName);
}

#[test]
fn a_state_that_keeps_its_layout_is_caught() {
    is_caught(Planted::KeptLayout);
}

#[test]
fn a_call_that_is_taken_back_untold_is_caught() {
    is_caught(Planted::UntoldTakeBack);
}
