//! Hosts that are away for longer than their group waits, frozen or dead: others take their tasks over, and nothing that was not
//! committed comes out of it.

use std::time::{Duration, Instant};

use millstream_test_broker::Cluster;
use millstream_tests::host::Host;
use millstream_tests::wait::eventually;
use rustix::process::Signal;

use super::pipes::{CLASSIC, CONSUMER, Pipe, SESSION, running, runs, share, signal};

const PARTITIONS: usize = 4;

/// Before and behind the repartition topic.
const TASKS: usize = 2 * PARTITIONS;

/// Tasks with state have names that begin so.
const HAS_STATE: &str = "1_";

/// Seconds until a survivor has everything: the session, a rebalance, and replays, on a busy machine.
const TAKEOVER_SECONDS: u64 = 30;

fn pipe(what: &str, kafka: &str) -> Pipe {
    Pipe::new(&Cluster::shared().bootstrap(), what, PARTITIONS as u32, kafka)
}

/// Two hosts that share the tasks.
fn two(pipe: &Pipe) -> [Host; 2] {
    let hosts = ["a", "b"].map(|name| pipe.start(name, &[]));
    share(hosts.each_ref(), TASKS, 60);
    hosts
}

/// Stops a host in the middle of a transaction.
fn freeze_in_a_transaction(pipe: &Pipe, host: &Host) {
    let changelog = pipe.place.changelog("counts");
    eventually("the host is stopped in a transaction", 60, || {
        signal(host, Signal::STOP);
        // The other host's is over by then, as it goes on.
        let is_open = || pipe.place.is_open(&changelog, PARTITIONS as u32).unwrap();
        if is_open() && std::iter::repeat_with(is_open).take(5).all(|open| open) {
            return Ok(());
        }
        signal(host, Signal::CONT);
        Err("none was open".to_string())
    });
}

fn a_frozen_host_is_out_and_comes_back(what: &str, kafka: &str) {
    let (n, per_second) = (90_000, 5_000);
    let pipe = pipe(what, kafka);
    let [a, b] = two(&pipe);
    let filler = pipe.trickle(n, per_second);
    freeze_in_a_transaction(&pipe, &a);
    std::thread::sleep(SESSION);
    runs(&b, TASKS, TAKEOVER_SECONDS);
    // The heir goes on for a while.
    let before = pipe.place.results(PARTITIONS as u32).unwrap().len();
    eventually("the heir's results are out", 30, || {
        let now = pipe.place.results(PARTITIONS as u32).map_err(|why| format!("{why:#}"))?.len();
        if now > before { Ok(()) } else { Err(format!("{now} results")) }
    });
    signal(&a, Signal::CONT);
    share([&a, &b], TASKS, 60);
    filler.join().unwrap();
    pipe.compare(n, 120);
    let told = pipe.told("a", "out of its group");
    assert!(!told.is_empty(), "the host was told that it was out");
    for host in [a, b] {
        assert!(host.stop().success());
    }
}

#[test]
fn a_frozen_host_is_out_and_comes_back_classic() {
    a_frozen_host_is_out_and_comes_back("frozen", CLASSIC);
}

#[test]
fn a_frozen_host_is_out_and_comes_back_consumer() {
    a_frozen_host_is_out_and_comes_back("frozen-new", CONSUMER);
}

/// Its transaction would be open for a minute: the survivor ends it, and replays what it never held.
#[test]
fn a_survivor_ends_what_a_dead_host_left_open_and_replays_its_state_once() {
    let (n, per_second) = (75_000, 5_000);
    let pipe = pipe("dead", &format!("{CLASSIC}, transaction.timeout.ms: 60000"));
    let [a, b] = two(&pipe);
    let filler = pipe.trickle(n, per_second);
    let mut its = running(&a);
    its.retain(|task| task.starts_with(HAS_STATE));
    assert!(!its.is_empty());
    std::thread::sleep(Duration::from_secs(2));
    freeze_in_a_transaction(&pipe, &a);
    let opened = pipe.restored("b").len();
    a.kill();
    let killed = Instant::now();
    runs(&b, TASKS, TAKEOVER_SECONDS);
    println!("taken over after {:?}", killed.elapsed());
    let mut replayed = pipe.restored("b").split_off(opened);
    replayed.retain(|(task, _)| its.contains(task));
    assert!(replayed.iter().all(|(_, bytes)| *bytes > 0), "a state came from nowhere: {replayed:?}");
    let tasks: Vec<&String> = replayed.iter().map(|(task, _)| task).collect();
    assert_eq!(tasks.len(), its.len(), "each state is replayed once: {replayed:?}");
    // A worker that had nothing of the dead host's to wait for has its tasks before that.
    eventually("what the dead host left open is ended", 30, || {
        match pipe.told("b", "ended what a host that is gone") {
            told if told.is_empty() => Err("nobody has told it".to_string()),
            _ => Ok(()),
        }
    });
    filler.join().unwrap();
    pipe.compare(n, 60);
    assert!(b.stop().success());
}
