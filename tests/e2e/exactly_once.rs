//! The access-log example over many lines, killed without warning again and again: exactly the counts of a plain fold.

use std::path::Path;
use std::time::Duration;

use millstream_tests::access::{self, differences, expected, fill, lines, results};
use millstream_tests::host::{Host, surprises};
use millstream_tests::wait::eventually;

use super::{long, manifests};

const PARTITIONS: u32 = 4;
const ADDRESSES: u32 = 1_000;

/// SplitMix64, for instants of death.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Records that the tasks have taken and committed, by their positions.
fn done(host: &Host) -> Result<(i64, i64), String> {
    let tasks = host.get("/v1/tasks")?;
    let positions =
        tasks.as_array().into_iter().flatten().flat_map(|t| t["positions"].as_array().into_iter().flatten());
    let (mut at, mut end) = (0, 0);
    for position in positions {
        at += position["offset"].as_i64().ok_or("no offset")?;
        end += position["end"].as_i64().ok_or("no end")?;
    }
    Ok((at, end))
}

/// Waits until as many results are there as windows were counted.
fn all_out(host: &Host, results: usize, seconds: u64) {
    eventually("all results are out", seconds, || {
        let topics = host.get("/v1/topics")?;
        let output = topics.as_array().into_iter().flatten().find(|t| t["name"] == access::OUTPUT);
        let partitions = output.and_then(|t| t["partitions"].as_array()).ok_or("no output topic")?;
        let there: i64 = partitions.iter().filter_map(|p| p["end"].as_i64()).sum();
        if there >= results as i64 { Ok(()) } else { Err(format!("{there} of {results} results")) }
    });
}

fn compare(folder: &Path, n: usize) {
    let expected = expected(lines(n, ADDRESSES));
    let got = results(folder).unwrap_or_else(|why| panic!("{why:#}"));
    let differences = differences(&expected, &got);
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn counts_are_those_of_a_plain_fold() {
    let n = if long() { 5_000_000 } else { 200_000 };
    let place = manifests::access_counts(PARTITIONS);
    fill(&place.folder, PARTITIONS, lines(n, ADDRESSES)).unwrap();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    all_out(&host, expected(lines(n, ADDRESSES)).len(), 300);
    assert!(host.stop().success());
    compare(&place.folder, n);
    assert_eq!(surprises(&place.log(), &[]), Vec::<String>::new());
}

#[test]
fn counts_survive_kills_at_random_instants() {
    let (n, kills) = if long() { (5_000_000, 20) } else { (400_000, 4) };
    let place = manifests::access_counts(PARTITIONS);
    fill(&place.folder, PARTITIONS, lines(n, ADDRESSES)).unwrap();
    let mut seed = 20_210_501;
    println!("seed {seed}");
    let mut before = (0, 0);
    for number in 0..kills {
        let host = Host::ready(&place.manifest, &place.folder, &[]);
        let (at, _) = eventually("positions are known", 30, || done(&host));
        // Everything committed before is there again, and nothing began anew.
        assert!(at >= before.0, "after kill {number} the tasks stand at {at}, before it at {}", before.0);
        std::thread::sleep(Duration::from_millis(20 + random(&mut seed) % 400));
        before = done(&host).unwrap_or((at, 0));
        host.kill();
        println!("killed at {} of {} (all topics)", before.0, before.1);
    }
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    all_out(&host, expected(lines(n, ADDRESSES)).len(), 300);
    assert!(host.stop().success());
    compare(&place.folder, n);
    assert_eq!(surprises(&place.log(), &[]), Vec::<String>::new());
}
