//! States in another layout on a fleet: a version that reads those that are stored, and going back from it, while records flow and a host is
//! killed; all states are counted on from what they were, and the fleet learns when a layout is stored no more.

use millstream_core::partition::partition_for_key;
use millstream_tests::host::Host;
use millstream_tests::kafka::{Place, Sent};
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::function;
use super::pipes::{CLASSIC, CONSUMER, Pipe, share};

const PARTITIONS: u32 = 4;

/// Keys of all partitions: more in each than a sweep looks at in one interval.
const KEYS: usize = 12_000;

/// A record's timestamp; nothing here goes by it.
const TIME_MS: i64 = 1_619_879_400_000;

fn manifest(place: &Place) -> String {
    format!(
        "functions:
  count: {{ component: {{count.wasm}} }}
sources:
  in: {{ topic: {}, start: earliest }}
steps:
  counts: {{ from: in, group: key, aggregate: count }}
sinks:
  out: {{ from: counts, topic: {} }}
",
        place.input(),
        place.output()
    )
}

/// One record more for each key.
fn send(pipe: &Pipe) {
    let record = |n: usize| {
        let key = format!("k{n}").into_bytes();
        let partition = partition_for_key(&key, PARTITIONS);
        Sent { topic: pipe.place.input(), partition, key: Some(key), value: Some(b"abc".to_vec()), timestamp: TIME_MS }
    };
    pipe.place.send(&(0..KEYS).map(record).collect::<Vec<_>>()).unwrap();
}

/// Waits until so many results have this value, and that many alone.
fn all_are(pipe: &Pipe, value: &str) {
    eventually(&format!("all keys come to {value:?}"), 120, || {
        let mut count = 0;
        let read = pipe.place.each_value(&pipe.place.output(), PARTITIONS, |_, _, came| {
            count += usize::from(came == Some(value.as_bytes()));
        });
        read.map_err(|why| format!("{why:#}"))?;
        if count == KEYS { Ok(()) } else { Err(format!("{count} of {KEYS}")) }
    });
}

fn layouts(host: &Host) -> Result<Value, String> {
    Ok(host.get("/v1/functions")?[0]["layouts"].clone())
}

/// Waits until the fleet knows that all states are in this layout.
fn stored_in(hosts: &[&Host], layout: u32) {
    for host in hosts {
        eventually(&format!("all states are in layout {layout}"), 120, || match layouts(host)? {
            one if one == serde_json::json!([layout]) => Ok(()),
            several => Err(several.to_string()),
        });
    }
}

fn there_and_back(what: &str, kafka: &str) {
    let pipe = Pipe::another(what, &["in", "out"], PARTITIONS, kafka, manifest);
    let name = pipe.place.name.clone();
    let (a, mut b) = (pipe.start("a", &[]), pipe.start("b", &[]));
    share([&a, &b], PARTITIONS as usize, 60);
    send(&pipe);
    all_are(&pipe, "1");
    a.ok(&["deploy", "--now", &format!("{name}/count"), &function("count-bytes").to_string_lossy()]);
    // Some states were turned by then, and some are turned by whoever has its tasks afterwards.
    b.kill_now();
    send(&pipe);
    all_are(&pipe, "2 records, 3 bytes");
    stored_in(&[&a], 1);
    let b = pipe.start("b", &[]);
    share([&a, &b], PARTITIONS as usize, 120);
    b.ok(&["rollback", &format!("{name}/count")]);
    send(&pipe);
    all_are(&pipe, "3");
    stored_in(&[&a, &b], 0);
    assert!(a.stop().success() && b.stop().success());
}

#[test]
fn states_go_into_another_layout_and_back() {
    there_and_back("layouts", CLASSIC);
}

#[test]
fn states_go_into_another_layout_and_back_by_the_consumer_protocol() {
    there_and_back("layouts8", CONSUMER);
}
