//! The worker's door: what it must do whatever the pipeline is. Each test once failed; what records become is the transcripts'
//! and the simulator's matter.

#[path = "flow/functions.rs"]
mod functions;
#[path = "worker/harness.rs"]
mod harness;

use std::sync::Arc;

use harness::{Host, commit, topology_of};
use millstream_core::commit::{CommitOutcome, Interval};
use millstream_core::error::Verdict;
use millstream_core::record::{Batch, BatchBuilder};
use millstream_core::state::CHANGE_BYTES;
use millstream_core::task::TaskId;
use millstream_core::topology::graph::Topology;
use millstream_core::topology::spec::*;
use millstream_core::worker::{Effect, Input, Settings};

/// A pipeline without state: a value is stamped with the version that saw it.
fn topology(partitions: u32) -> Arc<Topology> {
    topology_of(Operator::Map { function: "stamp".into(), form: MapForm::MapValues }, partitions)
}

fn host(partitions: u32, epoch: u64, settings: Settings) -> Host {
    Host::of(topology(partitions), epoch, settings)
}

fn values(values: &[&[u8]]) -> Batch {
    let mut out = BatchBuilder::default();
    values.iter().for_each(|v| out.push(None, Some(v), 1, []));
    out.finish()
}

#[test]
fn many_full_inputs_do_not_stand_in_each_others_way() {
    let settings = Settings { interval_bytes_max: 10_000, waiting_bytes_max: 50_000, ..Settings::default() };
    let mut host = host(20, 1, settings);
    let large = values(&[&[b'v'; 1_000][..]; 9]);
    for p in 0..20 {
        host.open(p, None);
        host.fetched(p, 0, large.clone());
    }
    assert!(host.worker.wants().is_empty(), "enough waits");
    let mut taken = 0;
    for _ in 0..100 {
        host.now += 1;
        for effect in host.step(Input::Tick) {
            if let Effect::Commit(interval) = effect {
                taken += interval.parts.iter().map(|p| p.records).sum::<u64>();
                host.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
            }
        }
    }
    assert_eq!(taken, 20 * 9);
    assert_eq!(host.worker.wants().len(), 20);
}

/// Steps that keep something of each key.
fn with_state() -> Vec<Operator> {
    let count = |form: Option<WindowForm>| {
        let window = form.map(|form| Window { form, grace_ms: 1_000 });
        let emit = if window.is_some() { Emit::OnClose } else { Emit::OnUpdate };
        let fold = Fold::Count(CountFormat::Long);
        Operator::Aggregate(Aggregate { fold, window, emit, emit_every_update: false, partitions: None })
    };
    vec![
        count(None),
        count(Some(WindowForm::Hopping { size_ms: 10, advance_ms: 10 })),
        count(Some(WindowForm::Session { gap_ms: 10 })),
        count(Some(WindowForm::Sliding { difference_ms: 10 })),
        Operator::Table { partitions: None, history_ms: None },
        Operator::Table { partitions: None, history_ms: Some(10) },
        Operator::Deduplicate(Deduplicate { function: None, within_ms: 10, grace_ms: 0, partitions: None }),
    ]
}

#[test]
fn an_interval_is_closed_when_much_has_changed_though_nothing_has_come_out() {
    const RECORDS: usize = 10;
    const CHANGES: usize = 100;
    for operator in with_state() {
        let settings = Settings {
            interval_bytes_max: CHANGES * CHANGE_BYTES,
            commit_interval_ms: 1_000_000,
            ..Settings::default()
        };
        let mut host = Host::of(topology_of(operator.clone(), 1), 1, settings);
        host.open(0, None);
        let (mut closed, mut changes) = (Vec::new(), 0);
        for round in 0..50 {
            let mut batch = BatchBuilder::default();
            (0..RECORDS).for_each(|i| batch.push(Some(format!("{round} {i}").as_bytes()), Some(b"v"), 1, []));
            host.fetched(0, (round * RECORDS) as i64, batch.finish());
            for effect in host.step(Input::Tick) {
                let Effect::Commit(interval) = effect else { continue };
                closed.push(interval.parts[0].records);
                changes += interval.parts[0].changes.iter().map(Vec::len).sum::<usize>();
                host.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
            }
        }
        // A change of each record at least, and a batch more than there is room for.
        assert!(closed.len() >= 4, "{operator:?}: {closed:?}");
        assert!(closed.iter().all(|n| *n as usize <= CHANGES + RECORDS), "{operator:?}: {closed:?}");
        assert!(changes >= closed.iter().sum::<u64>() as usize, "{operator:?}: {changes} changes of {closed:?}");
    }
}

#[test]
fn what_has_changed_once_takes_no_more_room_when_it_changes_again() {
    // What a table passes on is a result each time.
    for operator in with_state().into_iter().filter(|operator| !matches!(operator, Operator::Table { .. })) {
        let settings =
            Settings { interval_bytes_max: 10 * CHANGE_BYTES, commit_interval_ms: 1_000_000, ..Settings::default() };
        let mut host = Host::of(topology_of(operator.clone(), 1), 1, settings);
        host.open(0, None);
        for offset in 0..500 {
            let mut batch = BatchBuilder::default();
            batch.push(Some(b"k"), Some(b"v"), 1, []);
            host.fetched(0, offset, batch.finish());
            let effects = host.step(Input::Tick);
            assert!(effects.is_empty(), "{operator:?}: {effects:?}");
        }
    }
}

#[test]
fn dry_inputs_are_fetched_though_others_are_full() {
    let mut host = host(2, 1, Settings { waiting_bytes_max: 100, ..Settings::default() });
    host.open(0, None);
    host.open(1, None);
    host.fetched(0, 0, values(&[&[b'v'; 1_000][..]]));
    assert_eq!(host.worker.wants(), [(TaskId { sub: 0, partition: 1 }, 0, 0)]);
}

#[test]
fn a_clock_turned_back_does_not_stop_commits() {
    let mut host = host(1, 1, Settings::default());
    host.open(0, None);
    host.fetched(0, 0, values(&[b"a"]));
    assert!(host.step(Input::Tick).is_empty());
    host.now -= 3_600_000;
    assert!(host.step(Input::Tick).is_empty(), "no time is known to have passed");
    host.now += Settings::default().commit_interval_ms;
    assert_eq!(commit(&host.step(Input::Tick)).closed_at, host.now);
}

#[test]
fn a_drain_while_a_commit_is_under_way_is_not_forgotten() {
    let mut host = host(1, 1, Settings::default());
    host.open(0, None);
    host.fetched(0, 0, values(&[b"a"]));
    host.step(Input::Tick);
    let first = commit(&host.step(Input::Drain));
    host.fetched(0, 1, values(&[b"b"]));
    host.step(Input::Tick);
    assert!(host.step(Input::Drain).is_empty());
    let effects = host.step(Input::Outcome { interval: first.id, outcome: CommitOutcome::Committed });
    assert!(matches!(&effects[0], Effect::Committed(done) if done.id == first.id));
    assert_eq!(commit(&effects[1..]).parts[0].positions, [(0, 2)]);
}

#[test]
fn an_idle_task_is_committed_again_where_it_stands() {
    let mut host = host(2, 1, Settings::default());
    for partition in 0..2 {
        host.open(partition, None);
    }
    host.fetched(0, 0, values(&[b"a"]));
    host.step(Input::Tick);
    let first = commit(&host.step(Input::Drain));
    host.step(outcome(&first, CommitOutcome::Committed));
    host.now += 1_000_000;
    assert!(host.step(Input::Tick).is_empty(), "nothing has happened");
    assert!(host.step(Input::Recommit).is_empty(), "it is another interval's matter");
    host.now += 100;
    let again = commit(&host.step(Input::Tick));
    let positions = |interval: &Interval| interval.parts.iter().map(|p| p.positions.clone()).collect::<Vec<_>>();
    assert_eq!(positions(&again), [vec![(0, 1)], vec![(0, 0)]]);
    assert!(again.parts.iter().all(|part| part.outputs.is_empty() && part.records == 0));
}

#[test]
fn a_task_that_never_ran_is_committed_where_it_begins() {
    let mut host = host(1, 1, Settings::default());
    let task = TaskId { sub: 0, partition: 0 };
    assert!(host.step(Input::Open { task, meta: None, start: vec![7] }).is_empty());
    let first = commit(&host.step(Input::Drain));
    assert_eq!(first.parts[0].positions, [(0, 7)]);
    host.step(outcome(&first, CommitOutcome::Committed));
    host.step(Input::Close { task });
    host.open(0, Some(first.parts[0].meta.clone()));
    assert!(host.step(Input::Drain).is_empty(), "it is known where it stands");
}

#[test]
fn epochs_never_fall_when_a_task_moves() {
    let mut newer = host(1, 7, Settings::default());
    newer.open(0, None);
    let meta = commit(&newer.step(Input::Drain)).parts[0].meta.clone();
    let mut older = host(1, 6, Settings::default());
    let effects = older.open(0, Some(meta.clone()));
    assert!(
        matches!(&effects[..], [Effect::Stopped { verdict: Verdict::Retry(why), .. }] if why.contains("epoch 7")),
        "{effects:?}"
    );
    assert!(newer.open(0, Some(meta)).is_empty() || newer.worker.committing());
}

#[test]
fn a_task_is_not_opened_while_its_last_interval_is_being_committed() {
    let mut host = host(1, 1, Settings::default());
    host.open(0, None);
    host.fetched(0, 0, values(&[b"a"]));
    host.step(Input::Tick);
    let interval = commit(&host.step(Input::Drain));
    let effects = host.open(0, None);
    assert!(matches!(&effects[..], [Effect::Stopped { verdict: Verdict::Retry(_), .. }]), "{effects:?}");
    host.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
    assert!(host.open(0, Some(interval.parts[0].meta.clone())).is_empty());
    assert_eq!(host.worker.tasks().map(|t| t.positions()).collect::<Vec<_>>(), [[1]]);
}

#[test]
fn much_poison_ends_intervals_early_and_breaks_no_function() {
    let mut host = host(1, 1, Settings::default());
    host.open(0, None);
    let bad = values(&[b"bad!"; 2_048].map(|v| &v[..]));
    let (mut skipped, mut offset) = (0, 0);
    for _ in 0..40 {
        host.fetched(0, offset, bad.clone());
        offset += 2_048;
        for effect in host.step(Input::Tick) {
            match effect {
                Effect::Commit(interval) => {
                    skipped += interval.parts[0].dropped.values().sum::<u64>();
                    host.step(Input::Outcome { interval: interval.id, outcome: CommitOutcome::Committed });
                }
                other => assert!(matches!(other, Effect::Committed(_)), "{other:?}"),
            }
        }
    }
    skipped += commit(&host.step(Input::Drain)).parts[0].dropped.values().sum::<u64>();
    assert_eq!(skipped, 40 * 2_048);
}

/// A host with two tasks, an interval of one record of the first that is being committed, and a record of each taken in since.
fn committing() -> (Host, Arc<Interval>) {
    let mut host = host(2, 1, Settings::default());
    for partition in 0..2 {
        host.open(partition, None);
    }
    // The first interval tells of their versions.
    let first = commit(&host.step(Input::Drain));
    host.step(outcome(&first, CommitOutcome::Committed));
    host.fetched(0, 0, values(&[b"a"]));
    host.step(Input::Tick);
    let interval = commit(&host.step(Input::Drain));
    host.fetched(0, 1, values(&[b"b"]));
    host.fetched(1, 0, values(&[b"c"]));
    host.step(Input::Tick);
    (host, interval)
}

fn outcome(interval: &Interval, outcome: CommitOutcome) -> Input {
    Input::Outcome { interval: interval.id, outcome }
}

#[test]
fn a_fenced_interval_takes_what_its_tasks_did_since_with_it_and_no_other_task() {
    let verdicts = |outcome_is: CommitOutcome| {
        let (mut host, interval) = committing();
        let mut effects = host.step(outcome(&interval, outcome_is));
        effects.extend(host.step(Input::Drain));
        let [Effect::Stopped { task, verdict, .. }, Effect::Commit(next)] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!((task.partition, next.parts.len(), next.parts[0].task.partition), (0, 1, 1));
        verdict.clone()
    };
    assert_eq!(verdicts(CommitOutcome::Fenced("by x".into())), Verdict::Fenced("by x".into()));
    assert_eq!(verdicts(CommitOutcome::Fatal("no".into())), Verdict::Fatal("no".into()));
}

#[test]
fn what_was_closed_is_not_committed_again() {
    let (mut host, interval) = committing();
    host.step(Input::Close { task: TaskId { sub: 0, partition: 0 } });
    assert!(host.step(outcome(&interval, CommitOutcome::Aborted)).is_empty());
    assert!(!host.worker.committing());
    assert!(host.open(0, None).is_empty(), "it may come back");
    let (mut host, interval) = committing();
    host.step(outcome(&interval, CommitOutcome::Unknown));
    host.step(Input::Close { task: TaskId { sub: 0, partition: 0 } });
    let effects = host.step(Input::Resolved { interval: interval.id, there: true });
    assert!(matches!(&effects[..], [Effect::Committed(done)] if done.parts.len() == 1), "what is there is there");
}

#[test]
fn a_drain_ends_when_an_interval_is_given_up_for_its_tasks() {
    let (mut host, interval) = committing();
    assert!(host.step(Input::Drain).is_empty());
    let effects = host.step(outcome(&interval, CommitOutcome::Fenced("by x".into())));
    assert_eq!(commit(&effects[1..]).parts[0].task.partition, 1);
}

/// Found by a fleet (seed 2444): the same interval was asked for again and again, with a part whose task was not open any more.
#[test]
fn what_has_stopped_is_not_committed_again_and_opens_where_its_last_commit_left_it() {
    let (mut host, interval) = committing();
    let effects = host.open(0, Some(interval.parts[0].meta.clone()));
    assert!(matches!(&effects[..], [Effect::Stopped { verdict: Verdict::Retry(_), .. }]), "{effects:?}");
    assert!(host.step(outcome(&interval, CommitOutcome::Aborted)).is_empty());
    assert!(!host.worker.committing() && host.open(0, None).is_empty());
}
