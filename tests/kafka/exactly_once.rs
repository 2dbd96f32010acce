//! The access-log example over many lines on a real broker: exactly the counts of a plain fold, whatever is killed meanwhile.

use millstream_test_broker::Cluster;
use millstream_tests::host::surprises;

use super::long;
use super::pipes::{CLASSIC, CONSUMER, Pipe};

#[test]
fn counts_are_those_of_a_plain_fold() {
    let n = if long() { 20_000_000 } else { 200_000 };
    for partitions in if long() { vec![4, 12] } else { vec![4] } {
        let pipe = Pipe::new(&Cluster::shared().bootstrap(), "fold", partitions, CLASSIC);
        pipe.fill(n);
        let host = pipe.start("a", &[]);
        pipe.compare(n, 600);
        assert!(host.stop().success());
        assert_eq!(surprises(&pipe.log("a"), &[]), Vec::<String>::new());
    }
}

/// One of two hosts dies without a warning, again and again, and is started again on its directory.
fn counts_survive_kills_of_hosts(kafka: &str) {
    let (n, kills, partitions) = if long() { (20_000_000, 50, 12) } else { (400_000, 4, 4) };
    let pipe = Pipe::new(&Cluster::shared().bootstrap(), "kills", partitions, kafka);
    let hosts = pipe.killing(n, kills, 20_210_501);
    pipe.compare(n, 600);
    for host in hosts {
        assert!(host.stop().success());
    }
}

#[test]
fn counts_survive_kills_of_hosts_classic() {
    counts_survive_kills_of_hosts(CLASSIC);
}

#[test]
fn counts_survive_kills_of_hosts_consumer() {
    counts_survive_kills_of_hosts(CONSUMER);
}

/// The same with sessions: their results are known by end and start, and brought together while tasks move.
#[test]
fn sessions_survive_kills_of_hosts() {
    let (n, kills, partitions) = if long() { (5_000_000, 20, 12) } else { (200_000, 3, 4) };
    let pipe = Pipe::of_sessions(&Cluster::shared().bootstrap(), "sessions", partitions, CONSUMER);
    let hosts = pipe.killing(n, kills, 20_261_126);
    pipe.compare_sessions(n, 600);
    for host in hosts {
        assert!(host.stop().success());
    }
}
