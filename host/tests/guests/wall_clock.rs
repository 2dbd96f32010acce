//! What a function that asks WASI for the time is told: the same in every run. Under `millstream test` 1970; in a running
//! host when its version was first deployed, whenever and however often it is asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream::runtime::Host;
use millstream::runtime::fleet::Asked;
use millstream::runtime::memory::memory;
use millstream_core::record::BatchBuilder;
use millstream_core::state::keyspace::{Durability, Keyspaces};
use millstream_local::Append;

use crate::{driver, feed, function, pipeline, registry, values, worker};

fn start(db: &Arc<dyn Keyspaces>) -> Arc<Host> {
    Host::start(pipeline("surroundings", "map: bad"), db.clone(), registry(), 1).unwrap()
}

/// The wall clock that the function saw for a record given now: `seconds.nanoseconds`.
fn told(host: &Host) -> String {
    let log = &host.storage.log;
    let before = log.end_offset("out", 0).unwrap();
    let mut batch = BatchBuilder::default();
    batch.push(None, Some(b"a"), 0, []);
    let append = Append { topic: "in".into(), partition: 0, batch: batch.finish() };
    log.append(vec![append], Vec::new(), Durability::Process).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut generation = 0;
    while log.end_offset("out", 0).unwrap() == before {
        assert!(Instant::now() < deadline, "no result came out");
        generation = log.wait(generation, Duration::from_millis(50));
    }
    let result = log.read("out", 0, before, 1 << 20).unwrap().batch;
    wall(&String::from_utf8_lossy(result.values.get(0).unwrap()))
}

/// The time in what the function saw.
fn wall(seen: &str) -> String {
    let after = seen.split_once("; wall ").map(|(_, after)| after);
    after.and_then(|after| after.split_once(';')).unwrap_or_else(|| panic!("no time in {seen}")).0.to_string()
}

#[test]
fn a_version_is_told_when_it_was_first_deployed() {
    let db = memory();
    let host = start(&db);
    let first = told(&host);
    let deployed = host.fleet.in_force("bad").unwrap().version.proposed_at;
    assert!(deployed > 0);
    assert_eq!(first, format!("{}.{:09}", deployed / 1_000, deployed % 1_000 * 1_000_000));
    host.stop();
    let host = start(&db);
    assert_eq!(told(&host), first, "after a restart");
    let other = std::fs::read(function("identity")).unwrap();
    let asked = Asked { component: &other, settings: None, origin: "test", signature: "" };
    host.fleet.deploy(vec![("bad", asked)], None).unwrap();
    let again = host.fleet.rollback("bad", None).unwrap().activation.unwrap().version.proposed_at;
    assert_ne!(again, deployed, "a deployment of its own");
    assert_eq!(told(&host), first, "after a rollback");
    host.stop();
}

#[test]
fn under_test_it_is_1970() {
    worker(|| {
        let mut driver = driver(&registry(), "surroundings", "map: bad");
        feed(&mut driver, &["a"]).unwrap();
        let seen: Vec<_> = values(&driver, "out").iter().map(|seen| wall(seen)).collect();
        assert_eq!(seen, ["0.000000000"]);
    });
}
