//! The access-log example over many lines on a real broker: exactly the counts of a plain fold, whatever is killed meanwhile.

use std::time::Duration;

use millstream_test_broker::Cluster;
use millstream_tests::access::{differences, expected, lines};
use millstream_tests::host::{Host, surprises};
use millstream_tests::kafka::Place;
use millstream_tests::wait::eventually;

use super::{long, manifests};

const ADDRESSES: u32 = 1_000;

/// A dead host's tasks go to others after this.
const SESSION_MS: u32 = 6_000;

/// SplitMix64, for instants of death.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A manifest like the demo's, on a broker.
fn manifest(place: &Place) -> manifests::Place {
    manifests::Place::new(&format!(
        "pipeline: {name}
kafka: {{ bootstrap.servers: \"{bootstrap}\", session.timeout.ms: {SESSION_MS} }}
functions:
  only-ip: {{ component: {{only-ip.wasm}} }}
  extract-ip: {{ component: {{extract-ip.wasm}} }}
sources:
  log-lines: {{ topic: {input} }}
steps:
  ip-lines: {{ from: log-lines, filter: only-ip }}
  by-ip: {{ from: ip-lines, map: extract-ip }}
  counts: {{ from: by-ip, group: key, window: {{ tumbling: 10s, grace: 2s }}, count: {{ format: text }}, emit: on-close, idle: 2s }}
sinks:
  out: {{ from: counts, topic: {output}, key-format: kafka }}
",
        name = place.name,
        bootstrap = place.bootstrap,
        input = place.input(),
        output = place.output(),
    ))
}

/// Waits until as many results are there as windows were counted, and compares them.
fn compare(place: &Place, partitions: u32, n: usize, seconds: u64) {
    let expected = expected(lines(n, ADDRESSES));
    let got = eventually("all results are out", seconds, || {
        let got = place.results(partitions).map_err(|why| format!("{why:#}"))?;
        if got.len() >= expected.len() {
            return Ok(got);
        }
        std::thread::sleep(Duration::from_secs(1));
        Err(format!("{} of {} results", got.len(), expected.len()))
    });
    let differences = differences(&expected, &got);
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn counts_are_those_of_a_plain_fold() {
    let n = if long() { 20_000_000 } else { 200_000 };
    for partitions in if long() { vec![4, 12] } else { vec![4] } {
        let place = Place::new(&Cluster::shared().bootstrap(), "fold", partitions).unwrap();
        place.fill(partitions, lines(n, ADDRESSES)).unwrap();
        let here = manifest(&place);
        let host = Host::on_kafka(&here.manifest, &here.folder, &[]);
        compare(&place, partitions, n, 600);
        assert!(host.stop().success());
        assert_eq!(surprises(&here.log(), &[]), Vec::<String>::new());
    }
}

/// One of two hosts dies without a warning, again and again, and is started again on its directory.
#[test]
fn counts_survive_kills_of_hosts() {
    let (n, kills, partitions) = if long() { (20_000_000, 50, 12) } else { (400_000, 4, 4) };
    let place = Place::new(&Cluster::shared().bootstrap(), "kills", partitions).unwrap();
    let here = manifest(&place);
    let folders = [here.folder.with_extension("a"), here.folder.with_extension("b")];
    let start = |which: usize| Host::on_kafka(&here.manifest, &folders[which], &[]);
    let mut hosts = [start(0), start(1)];
    let filler = {
        let place = Place { bootstrap: place.bootstrap.clone(), name: place.name.clone() };
        std::thread::spawn(move || place.fill(partitions, lines(n, ADDRESSES)))
    };
    let mut seed = 20_210_501;
    println!("seed {seed}");
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(500 + random(&mut seed) % 2_500));
        let which = (random(&mut seed) % 2) as usize;
        hosts[which].kill_now();
        hosts[which] = start(which);
    }
    filler.join().unwrap().unwrap();
    compare(&place, partitions, n, 600);
    for host in hosts {
        assert!(host.stop().success());
    }
}
