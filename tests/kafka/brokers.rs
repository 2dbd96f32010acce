//! Brokers that die and come back under load: commits end one way or the other, and counts are right.

use std::time::Duration;

use millstream_test_broker::{Cluster, Stop};

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe, random};

/// Lines a second while brokers come and go.
const PER_SECOND: usize = 4_000;

/// Seconds that a death and a rebirth take, with what lies between two.
const KILL_SECONDS: usize = 14;

/// Whether hosts die too, each time after a broker has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hosts {
    Live,
    Die,
}

fn counts_survive(mut cluster: Cluster, brokers: usize, what: &str, kafka: &str, kills: usize, fate: Hosts) {
    let n = PER_SECOND * KILL_SECONDS * kills;
    let partitions = 4;
    let pipe = Pipe::telling_late(&cluster.bootstrap(), what, partitions, kafka);
    let names = ["a", "b"];
    let mut hosts = names.map(|name| pipe.start(name, &[]));
    let filler = pipe.trickle(n, PER_SECOND);
    let mut seed = 4;
    println!("seed {seed}");
    for kill in 0..kills {
        std::thread::sleep(Duration::from_millis(2_000 + random(&mut seed) % 2_000));
        cluster.stop(kill % brokers, Stop::Kill);
        std::thread::sleep(Duration::from_millis(random(&mut seed) % 1_000));
        let which = (random(&mut seed) % 2) as usize;
        if fate == Hosts::Die {
            hosts[which].kill_now();
        }
        cluster.start(kill % brokers);
        if fate == Hosts::Die {
            hosts[which] = pipe.start(names[which], &[]);
        }
    }
    filler.join().unwrap();
    pipe.compare(n, 180);
    for host in hosts {
        assert!(host.stop().success());
    }
}

fn counts_survive_kills_of_the_broker(kafka: &str) {
    counts_survive(Cluster::one(), 1, "broker", kafka, if long() { 10 } else { 2 }, Hosts::Live);
}

#[test]
fn counts_survive_kills_of_the_broker_classic() {
    counts_survive_kills_of_the_broker(CLASSIC);
}

#[test]
fn counts_survive_kills_of_the_broker_consumer() {
    counts_survive_kills_of_the_broker(CONSUMER);
}

#[test]
fn counts_survive_kills_of_one_of_three_brokers() {
    let (kills, protocols) = if long() { (9, vec![CLASSIC, CONSUMER]) } else { (1, vec![CLASSIC]) };
    for kafka in protocols {
        counts_survive(Cluster::three(), 3, "brokers", kafka, kills, Hosts::Live);
    }
}

#[test]
fn counts_survive_kills_of_brokers_and_hosts() {
    let (kills, protocols) = if long() { (9, vec![CLASSIC, CONSUMER]) } else { (1, vec![CONSUMER]) };
    for kafka in protocols {
        counts_survive(Cluster::three(), 3, "all", kafka, kills, Hosts::Die);
    }
}

/// A host whose brokers are away ends all the same when it is asked to, and loses nothing.
#[test]
fn a_host_without_brokers_can_be_stopped() {
    let n = 20_000;
    let mut cluster = Cluster::one();
    let pipe = Pipe::new(&cluster.bootstrap(), "away", 2, CLASSIC);
    pipe.fill(n);
    let host = pipe.start("a", &[]);
    super::pipes::runs(&host, 4, 60);
    cluster.stop(0, Stop::Kill);
    std::thread::sleep(Duration::from_secs(3));
    assert!(host.stop().success());
    // What goes wrong is told by the connection where it does, and not by each client once more.
    let twice = |line: &serde_json::Value| line["fields"]["facility"] == "ERROR";
    let told = pipe.told("a", "").into_iter().filter(twice).collect::<Vec<_>>();
    assert!(told.is_empty(), "{} lines: {told:?}", told.len());
    cluster.start(0);
    let host = pipe.start("a", &[]);
    pipe.compare(n, 60);
    assert!(host.stop().success());
}
