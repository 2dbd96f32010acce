//! A version whose states have another layout: those that are stored are brought into it, on touch and by and by, over deaths; and back,
//! where it turns them back, else it is not gone back from.

use millstream_tests::host::Host;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::{Place, function};

/// Keys: more than a sweep looks at in one interval, so that it takes several.
const KEYS: usize = 20_000;

/// Every operator that keeps a function's states beside groups: those of sessions and of slices.
fn kept() -> Place {
    Place::new(
        "pipeline: counted
functions:
  count: { component: {count.wasm} }
sources:
  in: { topic: in, partitions: 1 }
steps:
  sessions: { from: in, group: key, window: { session: 1d }, aggregate: count }
  slides: { from: in, group: key, window: { sliding: 1d }, aggregate: count }
  panes: { from: in, group: key, window: { hopping: 2d, advance: 1d, panes: true }, aggregate: count }
sinks:
  sessions: { from: sessions, topic: sessions, partitions: 1 }
  slides: { from: slides, topic: slides, partitions: 1 }
  panes: { from: panes, topic: panes, partitions: 1 }
",
    )
}

fn counted(window: &str) -> Place {
    Place::new(&format!(
        "pipeline: counted
functions:
  count: {{ component: {{count.wasm}} }}
sources:
  in: {{ topic: in, partitions: 1 }}
steps:
  counts: {{ from: in, group: key, {window}aggregate: count }}
sinks:
  out: {{ from: counts, topic: out, partitions: 1 }}
"
    ))
}

/// Writes a record of so many bytes for each of these keys.
fn produce(host: &Host, place: &Place, keys: std::ops::Range<usize>, value: &str) {
    let file = place.folder.with_extension("txt");
    std::fs::write(&file, keys.map(|key| format!("k{key}={value}\n")).collect::<String>()).unwrap();
    host.ok(&["produce", "in", "--key-separator", "=", &file.to_string_lossy()]);
}

fn handled(host: &Host, records: u64) {
    eventually(&format!("{records} records are handled"), 60, || {
        let tasks = host.get("/v1/tasks")?;
        let offset = tasks[0]["positions"][0]["offset"].as_u64();
        if offset == Some(records) { Ok(()) } else { Err(tasks.to_string()) }
    });
}

/// Layouts in which states may be stored.
fn layouts(host: &Host) -> Value {
    host.get("/v1/functions").unwrap()[0]["layouts"].clone()
}

fn sweep(host: &Host) -> Value {
    host.get("/v1/tasks").unwrap()[0]["sweeps"][0].clone()
}

/// The last results, in order.
fn results(host: &Host, from: usize) -> Vec<String> {
    let max = (from + KEYS).to_string();
    let all = host.ok(&["consume", "out", "--from", "earliest", "--max", &max, "--format", "raw"]);
    all.lines().skip(from).map(str::to_string).collect()
}

fn deploy(host: &Host, file: &str) {
    host.ok(&["deploy", "--now", "counted/count", &function(file).to_string_lossy()]);
}

#[test]
fn stored_states_are_brought_into_the_layout_of_a_new_version() {
    let place = counted("");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&host, &place, 0..KEYS, "ab");
    handled(&host, KEYS as u64);
    assert_eq!(sweep(&host), Value::Null, "nothing is to be brought anywhere");
    let before = results(&host, 0).len();
    deploy(&host, "count-bytes");
    eventually("the sweep has begun", 30, || match sweep(&host)["migrated"].as_u64() {
        Some(migrated) if migrated > 0 => Ok(()),
        _ => Err(sweep(&host).to_string()),
    });
    // In the middle, or behind; what is done stays done.
    host.kill();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let done = eventually("all are brought into it", 60, || match sweep(&host) {
        sweep if sweep["done"] == true => Ok(sweep),
        sweep => Err(sweep.to_string()),
    });
    assert_eq!((&done["layout"], &done["looked"]), (&1.into(), &(KEYS as u64).into()), "{done}");
    let metrics = host.ok(&["status", "counted", "--json"]);
    assert!(metrics.contains("\"sweeps\""), "{metrics}");
    assert_eq!(results(&host, 0).len(), before, "nothing comes out of it");
    // Every state counts on from what it was.
    produce(&host, &place, 0..KEYS, "xyz");
    handled(&host, 2 * KEYS as u64);
    let after = results(&host, before);
    assert!(after.len() == KEYS && after.iter().all(|value| value == "2 records, 3 bytes"), "{:?}", after.first());
    // And back, by the version that is gone back from; over a death too.
    eventually("no state is in layout 0 any more", 30, || match layouts(&host) {
        one if one == serde_json::json!([1]) => Ok(()),
        several => Err(several.to_string()),
    });
    host.ok(&["rollback", "counted/count"]);
    let half = before + KEYS;
    produce(&host, &place, 0..KEYS / 2, "v");
    handled(&host, 5 * KEYS as u64 / 2);
    host.kill();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    produce(&host, &place, KEYS / 2..KEYS, "v");
    handled(&host, 3 * KEYS as u64);
    let after = results(&host, half);
    assert!(after.len() == KEYS && after.iter().all(|value| value == "3"), "{:?}", after.first());
    eventually("all states are in layout 0", 60, || match layouts(&host) {
        one if one == serde_json::json!([0]) => Ok(()),
        several => Err(several.to_string()),
    });
    assert!(host.stop().success());
}

#[test]
fn sessions_and_slices_go_into_another_layout_and_back() {
    let place = kept();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    // Each key has a session, a window that ends with its newest record, and two of panes, with all of its records; and windows with fewer.
    let all_are = |host: &Host, records: u64, value: &str| {
        produce(host, &place, 0..10, "abc");
        handled(host, records);
        for (topic, windows) in [("sessions", 10), ("slides", 10), ("panes", 20)] {
            let all = host.ok(&["consume", topic, "--from", "earliest", "--max", "100000", "--format", "raw"]);
            let whole = all.lines().filter(|line| *line == value).count();
            assert_eq!(whole, windows, "{topic}, of {value}: {all}");
        }
    };
    all_are(&host, 10, "1");
    deploy(&host, "count-bytes");
    all_are(&host, 20, "2 records, 3 bytes");
    host.kill();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    all_are(&host, 30, "3 records, 6 bytes");
    host.ok(&["rollback", "counted/count"]);
    all_are(&host, 40, "4");
    assert!(host.stop().success());
}

/// Records: key, value, time. Then what all alarms say, so many at least, in their order.
fn alarms(host: &Host, place: &Place, records: &[(&str, &str, i64)], at_least: usize) -> Vec<String> {
    let file = place.folder.with_extension("json");
    let line = |(key, value, time): &(&str, &str, i64)| {
        serde_json::json!({ "key": key, "value": value, "timestamp": time }).to_string() + "\n"
    };
    std::fs::write(&file, records.iter().map(line).collect::<String>()).unwrap();
    host.ok(&["produce", "in", "--format", "json", &file.to_string_lossy()]);
    eventually(&format!("{at_least} alarms are told"), 30, || {
        let all = host.ok(&["consume", "silent", "--from", "earliest", "--max", "1000", "--format", "raw"]);
        let all: Vec<String> = all.lines().filter(|line| !line.is_empty()).map(str::to_string).collect();
        if all.len() >= at_least { Ok(all) } else { Err(format!("{all:?}")) }
    })
}

#[test]
fn entries_of_a_processor_go_into_another_layout_and_back() {
    let place = Place::new(
        "pipeline: counted
functions:
  count: { component: {alarm.wasm} }
sources:
  in: { topic: in, partitions: 1 }
steps:
  alarms: { from: in, process: count, stores: { last: {} }, outputs: [silent, again] }
sinks:
  silent: { from: alarms.silent, topic: silent, partitions: 1 }
  again: { from: alarms.again, topic: again, partitions: 1 }
",
    );
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    alarms(&host, &place, &[("a", "up", 1_000), ("b", "up", 2_000), ("z", "up", 10_000)], 0);
    handled(&host, 3);
    deploy(&host, "alarm-counted");
    // What a record asks for, and what a timer does: b's at 32 s, z's at 40 s, a's at 50 s.
    let told = alarms(&host, &place, &[("a", "still up", 20_000), ("c", "up", 60_000)], 3);
    assert_eq!(told, ["up, 0 records", "up, 0 records", "still up, 1 records"]);
    host.kill();
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    eventually("all entries are in layout 1", 30, || match layouts(&host) {
        one if one == serde_json::json!([1]) => Ok(()),
        several => Err(several.to_string()),
    });
    host.ok(&["rollback", "counted/count"]);
    let told = alarms(&host, &place, &[("d", "up", 100_000)], 4);
    assert_eq!(told[3..], ["up"], "c's at 90 s, by the version that knows nothing of counts");
    eventually("all entries are in layout 0", 30, || match layouts(&host) {
        one if one == serde_json::json!([0]) => Ok(()),
        several => Err(several.to_string()),
    });
    assert!(host.stop().success());
}

#[test]
fn what_is_not_turned_back_is_not_gone_back_from() {
    let place = counted("");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    deploy(&host, "bad-migrator-oneway");
    let said = host.cli(&["rollback", "counted/count"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    let told = ["states may be stored in layout 1", "this version reads layout 0", "does not turn them back"];
    assert!(said.status.code() == Some(1) && told.iter().all(|part| text.contains(part)), "{text}");
    assert!(host.stop().success());
}
