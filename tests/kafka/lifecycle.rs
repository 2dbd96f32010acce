//! Stops and restarts that are wanted, and pipelines that have nothing to do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::Cluster;
use millstream_tests::kafka::Place;
use millstream_tests::wait::eventually;

use super::pipes::{CLASSIC, CONSUMER, Pipe, running, runs, share};

/// What was done must be committed within this once a host is asked to stop.
const STOP: Duration = Duration::from_secs(2);

fn committed(pipe: &Pipe) -> BTreeMap<TopicPartition, i64> {
    let all: Vec<_> = (0..pipe.partitions).map(|p| TopicPartition::new(pipe.place.input(), p as i32)).collect();
    let found = pipe.place.admin().unwrap().committed(&pipe.place.name, &all).unwrap();
    found.into_iter().map(|(partition, committed)| (partition, committed.offset)).collect()
}

fn ends(pipe: &Pipe) -> BTreeMap<TopicPartition, i64> {
    let all: Vec<_> = (0..pipe.partitions).map(|p| TopicPartition::new(pipe.place.input(), p as i32)).collect();
    let found = pipe.place.admin().unwrap().watermarks(&all).unwrap();
    found.into_iter().map(|(partition, ends)| (partition, ends.high)).collect()
}

/// A host that is stopped under load commits soon and is let go, keeps its place, and has its tasks at once when it is back: the
/// other host is not disturbed. Its state is as it left it.
fn a_restart_disturbs_nobody(what: &str, kafka: &str) {
    let (n, partitions) = (80_000, 4);
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), what, partitions, kafka);
    let (a, b) = (pipe.start("a", &[]), pipe.start("b", &[]));
    let shares = share([&a, &b], 2 * partitions as usize, 60);
    let filler = pipe.trickle(n, 10_000);
    std::thread::sleep(Duration::from_secs(2));
    let (assigned, restored) = (pipe.told("b", "giving up").len(), pipe.restored("a").len());
    let began = Instant::now();
    assert!(a.stop().success());
    let stopped = began.elapsed();
    let began = Instant::now();
    let a = pipe.start("a", &[]);
    runs(&a, 4, 30);
    println!("stopped within {stopped:?}, back after {:?}", began.elapsed());
    assert_eq!([running(&a), running(&b)], shares);
    assert_eq!(pipe.told("b", "giving up").len(), assigned, "the other host was disturbed");
    let replayed: u64 = pipe.restored("a").iter().skip(restored).map(|(_, bytes)| bytes).sum();
    assert_eq!(replayed, 0, "what was committed is in the state that was left");
    assert!(stopped < STOP, "stopping took {stopped:?}");
    filler.join().unwrap();
    pipe.compare(n, 60);
    for host in [a, b] {
        assert!(host.stop().success());
    }
}

/// A source that begins at its end begins there once: what is written while its host is away is read, though nothing was before.
#[test]
fn a_source_that_begins_at_its_end_begins_there_once() {
    let (n, partitions) = (40_000, 2);
    let place = Place::new(&Cluster::shared().bootstrap(), "latest", partitions).unwrap();
    let pipe = Pipe::starting(place, partitions, "latest");
    // Of no window that counts later.
    pipe.place
        .fill(partitions, ["[2021-05-01 00:00:00] IP: 10.0.0.1, User: Before, Action: Login".to_string()].into_iter())
        .unwrap();
    let host = pipe.start("a", &[]);
    runs(&host, 4, 60);
    eventually("where it begins is committed", 20, || {
        let committed = committed(&pipe);
        if committed == ends(&pipe) { Ok(()) } else { Err(format!("{committed:?}")) }
    });
    assert!(host.stop().success());
    pipe.fill(n);
    let host = pipe.start("a", &[]);
    pipe.compare(n, 60);
    assert!(host.stop().success());
}

#[test]
fn a_restart_disturbs_nobody_classic() {
    a_restart_disturbs_nobody("restart", CLASSIC);
}

#[test]
fn a_restart_disturbs_nobody_consumer() {
    a_restart_disturbs_nobody("restart-new", CONSUMER);
}

/// Once everything is read the committed offsets are the ends of the logs, with the markers of transactions in them, and what the
/// host says of its lag goes by them.
#[test]
fn an_idle_pipeline_has_no_lag() {
    let n = 40_000;
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "idle", 2, CLASSIC);
    pipe.fill(n);
    let host = pipe.start("a", &[]);
    pipe.compare(n, 60);
    eventually("the offsets are the ends", 20, || {
        let (committed, ends) = (committed(&pipe), ends(&pipe));
        if committed == ends { Ok(()) } else { Err(format!("{committed:?}, the ends {ends:?}")) }
    });
    eventually("the host says so", 20, || {
        let tasks = host.get("/v1/tasks")?;
        let mut positions = tasks.as_array().unwrap().iter().flat_map(|task| task["positions"].as_array().unwrap());
        if positions.clone().count() == 4 && positions.all(|p| p["offset"] == p["end"]) {
            return Ok(());
        }
        Err(tasks.to_string())
    });
    assert!(host.stop().success());
}
