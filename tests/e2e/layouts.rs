//! A version whose states have another layout: those that are stored are brought into it, on touch and by and by, over deaths; and it is
//! not gone back to a version that cannot read them.

use millstream_tests::host::Host;
use millstream_tests::wait::eventually;
use serde_json::Value;

use super::manifests::{Place, function};

/// Keys: more than a sweep looks at in one interval, so that it takes several.
const KEYS: usize = 20_000;

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
    let said = host.cli(&["rollback", "counted/count"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.code() == Some(1) && text.contains("states are stored in layout 1"), "{text}");
    assert!(host.stop().success());
}

#[test]
fn states_that_stay_in_their_layout_refuse_a_version_with_another() {
    let place = counted("window: { session: 10s }, ");
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let said = host.cli(&["deploy", "--now", "counted/count", &function("count-bytes").to_string_lossy()]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        said.status.code() == Some(1) && text.contains("states of `counts`") && text.contains("layout 0"),
        "{text}"
    );
    deploy(&host, "count");
    assert!(host.stop().success());
}
