//! `guarantee: at-least-once`: nothing is lost, results are seen at once, and what a failure between writing and committing brings
//! about, which exactly once does not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_test_broker::Cluster;
use millstream_tests::access::{Counts, differences, expected, lines};
use millstream_tests::host::surprises;
use millstream_tests::kafka::Place;
use millstream_tests::wait::eventually;

use super::long;
use super::pipes::{ADDRESSES, CLASSIC, CONSUMER, Pipe};

/// How often a host is killed, at the most, until results come twice.
const TRIES_MAX: usize = 20;

/// Lines that come each time.
const LINES_PER_TRY: usize = 20_000;

fn pipe(what: &str, protocol: &str, more: &str) -> Pipe {
    let partitions = 4;
    let place = Place::new(&Cluster::shared().bootstrap(), what, partitions).unwrap();
    Pipe::with(place, partitions, protocol, &format!("guarantee: at-least-once\n{more}"))
}

/// Every value that came out for each window, in order; read with what exactly once needs, which changes nothing here.
fn results(pipe: &Pipe) -> BTreeMap<(i64, String), Vec<u64>> {
    let mut all: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    let each = |key, count| {
        all.entry(key).or_default().push(count);
        Ok(())
    };
    pipe.place.each_result(pipe.partitions, each).unwrap();
    all
}

/// Waits until every window of `n` lines came out; gives how many results came more than once or count a line more than once. No window
/// may ever come out with less than what a plain fold counts.
fn compare(pipe: &Pipe, n: usize, seconds: u64) -> usize {
    let expected = expected(lines(n, ADDRESSES));
    let all = eventually("all windows are out", seconds, || {
        let all = results(pipe);
        let missing = expected.keys().filter(|key| !all.contains_key(*key)).count();
        if missing == 0 { Ok(all) } else { Err(format!("{missing} of {} windows are missing", expected.len())) }
    });
    let low: Vec<_> = expected.iter().filter(|(key, count)| all[*key].iter().any(|got| got < *count)).collect();
    let told: Vec<_> = low.iter().take(5).map(|(key, count)| format!("{key:?}: {:?} of {count}", all[*key])).collect();
    assert!(low.is_empty(), "{} windows have less than was counted: {told:?}", low.len());
    assert!(all.keys().all(|key| expected.contains_key(key)), "a window came out that never was");
    let more = |(key, values): (&(i64, String), &Vec<u64>)| {
        values.len() - 1 + usize::from(values.iter().any(|count| *count > expected[key]))
    };
    all.iter().map(more).sum()
}

#[test]
fn without_failures_counts_are_those_of_a_plain_fold() {
    let n = 200_000;
    let pipe = pipe("least", CLASSIC, "");
    pipe.fill(n);
    let host = pipe.start("a", &[]);
    compare(&pipe, n, 300);
    let once: Counts = results(&pipe).into_iter().map(|(key, values)| (key, values.iter().sum())).collect();
    let differences = differences(&expected(lines(n, ADDRESSES)), &once);
    assert!(differences.is_empty(), "{differences}");
    let end = pipe.place.end(&pipe.place.output(), pipe.partitions).unwrap();
    assert_eq!(end as usize, once.len(), "a transaction would have a marker behind its records");
    assert!(host.stop().success());
    assert_eq!(surprises(&pipe.log("a"), &[]), Vec::<String>::new());
}

/// Hosts die at random instants.
fn kills(protocol: &str) {
    let (n, kills) = if long() { (10_000_000, 50) } else { (400_000, 4) };
    let pipe = pipe("least-kills", protocol, "");
    let hosts = pipe.killing(n, kills, 20_210_502);
    let duplicates = compare(&pipe, n, 600);
    println!("{duplicates} results came twice, or with lines counted twice");
    hosts.into_iter().for_each(|host| assert!(host.stop().success()));
}

#[test]
fn nothing_is_lost_while_hosts_are_killed() {
    kills(CLASSIC);
    if long() {
        kills(CONSUMER);
    }
}

/// A host is killed right after what an interval makes of its state is there: its offsets are not yet. With exactly once nobody would have
/// seen it ([`super::exactly_once`] takes any result that comes twice, or counts a line twice, for an error). Lines come for each try
/// anew, so that a slow machine has as many tries as a quick one.
#[test]
fn results_come_twice_after_a_failure_before_their_offsets_are_committed() {
    let partitions = 4;
    let place = Place::new(&Cluster::shared().bootstrap(), "least-twice", partitions).unwrap();
    let pipe = Pipe::with(place, partitions, CLASSIC, "guarantee: at-least-once\ncommit-interval: 1s\n");
    let mut host = pipe.start("a", &[]);
    let undone = || pipe.told("a", "its changelogs hold what was not committed").len();
    let (mut lines, mut tries) = (0, 0);
    let mut more = || {
        pipe.fill_part(lines, lines + LINES_PER_TRY);
        lines += LINES_PER_TRY;
        lines
    };
    more();
    while undone() < 3 && tries < TRIES_MAX {
        written_more(&pipe, &pipe.place.changelog("counts"), &mut more);
        host.kill_now();
        host = pipe.start("a", &[]);
        tries += 1;
    }
    let duplicates = compare(&pipe, more(), 600);
    println!("{tries} kills, {} of them between writing and committing", undone());
    assert!(undone() > 0, "of {tries} kills none fell between writing and committing");
    assert!(duplicates > 0, "nothing came twice after {} such kills", undone());
    assert!(host.stop().success());
}

/// Gives a pipe more to do, and waits until there is more in a topic. Without a pause: what is written next are the offsets.
fn written_more(pipe: &Pipe, topic: &str, more: &mut impl FnMut() -> usize) {
    let end = || pipe.place.end(topic, pipe.partitions).unwrap();
    eventually("there is a state", 60, || if end() > 0 { Ok(()) } else { Err("none".to_string()) });
    let before = end();
    more();
    let deadline = Instant::now() + Duration::from_secs(60);
    while end() == before {
        assert!(Instant::now() < deadline, "nothing is written");
    }
}
