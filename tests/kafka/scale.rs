//! More hosts and fewer under load, each with its own state directory.

use std::collections::BTreeMap;

use millstream_kafka::producer::Producer;
use millstream_test_broker::Cluster;
use millstream_tests::wait::eventually;
use rustix::process::Signal;

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe, runs, share, signal};

const PARTITIONS: usize = 6;

/// Before and behind the repartition topic.
const TASKS: usize = 2 * PARTITIONS;

/// Waits until the hosts have done something more.
fn go_on(pipe: &Pipe) {
    let results = || pipe.place.results(pipe.partitions).map_err(|why| format!("{why:#}"));
    let before = results().unwrap().len();
    eventually("results go on", 30, || {
        let now = results()?.len();
        if now > before + 100 { Ok(()) } else { Err(format!("{now} results")) }
    });
}

fn one_two_three_and_back(what: &str, kafka: &str) {
    let (n, per_second) = if long() { (5_000_000, 50_000) } else { (160_000, 5_000) };
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), what, PARTITIONS as u32, kafka);
    let filler = pipe.trickle(n, per_second);
    let leave = &["--leave-on-stop"];
    let a = pipe.start("a", leave);
    share([&a], TASKS, 60);
    go_on(&pipe);
    let b = pipe.start("b", leave);
    share([&a, &b], TASKS, 60);
    go_on(&pipe);
    let c = pipe.start("c", leave);
    share([&a, &b, &c], TASKS, 60);
    go_on(&pipe);
    assert!(b.stop().success());
    share([&a, &c], TASKS, 60);
    assert!(c.stop().success());
    share([&a], TASKS, 60);
    filler.join().unwrap();
    pipe.compare(n, 120);
    let whole = pipe.place.bytes(&pipe.place.changelog("counts"), PARTITIONS as u32).unwrap();
    assert!(a.stop().success());
    let mut replayed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    ["b", "c"].iter().flat_map(|host| pipe.restored(host)).for_each(|(task, bytes)| {
        // What had been written when the task first left `a`: whoever took it over had nothing of it.
        replayed.entry(task).or_default().push(bytes);
    });
    for (task, all) in &replayed {
        let left_with = *all.iter().filter(|bytes| **bytes > 0).min().unwrap_or(&0);
        let whole = whole[task.rsplit('_').next().unwrap().parse::<usize>().unwrap()];
        let back: u64 = pipe.restored("a").iter().filter(|(t, _)| t == task).map(|(_, bytes)| bytes).sum();
        println!("task {task}: left with {left_with} bytes, {whole} at the end, {back} replayed by who had it");
        assert!(left_with > 0, "{task} was replayed by nobody: {all:?}");
        assert!(back <= whole - left_with, "task {task} came back and was replayed beyond its tail");
    }
    assert!(replayed.len() >= 4, "four tasks have moved at least: {replayed:?}");
}

#[test]
fn one_host_two_three_and_one_again_classic() {
    one_two_three_and_back("scale", CLASSIC);
}

/// The long form only, for its time; frozen hosts and restarts try this protocol in the short one too.
#[test]
fn one_host_two_three_and_one_again_consumer() {
    if !long() {
        return;
    }
    one_two_three_and_back("scale-new", CONSUMER);
}

/// What workers left open that there are not any more would hold up the log for a minute.
#[test]
fn fewer_workers_end_what_the_others_left_open() {
    let (n, partitions) = (60_000, 4);
    let kafka = format!("{CLASSIC}, transaction.timeout.ms: 60000");
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "workers", partitions, &kafka);
    let filler = pipe.trickle(n / 2, 10_000);
    let host = pipe.start("a", &["--workers", "4"]);
    runs(&host, 8, 60);
    filler.join().unwrap();
    signal(&host, Signal::STOP);
    // As its workers 2 and 3 would have it open, had they been stopped in the middle of a commit.
    let id = std::fs::read_to_string(pipe.folder("a").join("host-id")).unwrap();
    let properties = pipe.place.properties(&[("transaction.timeout.ms", "60000")]).unwrap();
    let mut left: Vec<Producer> = [2, 3].map(|worker| open(&pipe, &properties, id.trim(), worker)).into();
    assert!(pipe.place.is_open(&pipe.place.output(), partitions).unwrap());
    host.kill();
    let host = pipe.start("a", &["--workers", "2"]);
    runs(&host, 8, 30);
    eventually("nothing is open", 10, || match pipe.place.is_open(&pipe.place.output(), partitions) {
        Ok(false) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    pipe.fill_part(n / 2, n);
    pipe.compare(n, 60);
    assert!(host.stop().success());
    left.clear();
}

/// A producer with the id of a worker, that has written a record which nobody may ever see.
fn open(pipe: &Pipe, properties: &millstream_kafka::config::Properties, host: &str, worker: u32) -> Producer {
    use millstream_core::record::BatchBuilder;
    use millstream_kafka::fetch::TopicPartition;
    use std::time::Duration;
    let wait = Duration::from_secs(10);
    let id = format!("{}-{host}-{worker}", pipe.place.name);
    let mut producer = Producer::new(properties, &id, 1 << 20).unwrap();
    producer.init(wait).unwrap();
    producer.begin().unwrap();
    let mut builder = BatchBuilder::default();
    builder.push(Some(b"never seen"), Some(b"never seen"), 1, []);
    let to = TopicPartition::new(pipe.place.output(), worker as i32);
    producer.produce(&to, &builder.finish(), 0, wait).unwrap();
    eventually("it is written", 10, || {
        producer.poll();
        match pipe.place.is_open(&pipe.place.output(), pipe.partitions) {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    producer
}
