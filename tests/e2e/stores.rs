//! Questions to stores of a running host in local mode: each kind of store, as of the last commit, never of what is not committed yet, and
//! the same after a restart.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use millstream_tests::host::{Host, Said, ask};
use millstream_tests::wait::eventually;
use serde_json::{Value, json};

use crate::manifests::Place;

const MANIFEST: &str = "pipeline: visits
functions:
  alarm: { component: {alarm.wasm} }
  how-many: { component: {count.wasm} }
sources:
  in: { topic: in, partitions: 3 }
  names: { topic: names, partitions: 3 }
steps:
  all: { from: in, group: key, count: { format: text } }
  windows: { from: in, group: key, window: { tumbling: 10s, grace: 1h }, count: { format: text } }
  sessions: { from: in, group: key, window: { session: 5s, grace: 1h }, count: { format: text } }
  sliding: { from: in, group: key, window: { sliding: 5s, grace: 1h }, count: { format: text } }
  by-function: { from: in, group: key, window: { sliding: 5s, grace: 1h }, aggregate: how-many }
  panes: { from: in, group: key, window: { hopping: 10s, advance: 5s, panes: true, grace: 1h }, aggregate: how-many }
  all-by-function: { from: in, group: key, aggregate: how-many }
  name: { from: names, table: {} }
  alarms: { from: in, process: alarm, stores: { last: { ttl: 1h } }, outputs: [silent, again] }
sinks:
  out: { from: [all, windows, sessions, sliding, by-function, panes, all-by-function], topic: out, key-format: json }
  names: { from: name, topic: copies }
  alarms: { from: [alarms.silent, alarms.again], topic: alarms }
";

fn say(host: &Host, topic: &str, records: &[Value]) {
    let token = fs::read_to_string(host.folder.join("token")).expect("the host has a token");
    let lines: String = records.iter().map(|record| format!("{record}\n")).collect();
    let request = ureq::post(format!("{}/v1/topics/{topic}/records", host.url))
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/x-ndjson");
    request.send(lines).expect("the host takes records");
}

fn question(host: &Host, path: &str) -> Said {
    ask(&format!("{}/v1/stores/{path}", host.url)).expect("the host answers")
}

/// Windows and values, in order.
fn rows(said: &Said) -> Vec<(Value, Value, Value)> {
    let rows = said.body["rows"].as_array().into_iter().flatten();
    rows.map(|row| (row["key"].clone(), row["window"].clone(), row["value"].clone())).collect()
}

fn compare(host: &Host) {
    let window = |start: i64, end: i64| json!({ "start": start, "end": end });
    let said = question(host, "all/keys/a");
    assert_eq!((said.status, rows(&said)), (200, vec![(json!("a"), Value::Null, json!(4))]), "{said:?}");
    assert_eq!((&said.body["rows"][0]["timestamp"], &said.body["next"]), (&json!(30_000), &Value::Null));
    let said = question(host, "windows/keys/a");
    let all = [(window(0, 10_000), 2), (window(10_000, 20_000), 1), (window(30_000, 40_000), 1)];
    assert_eq!(rows(&said), all.clone().map(|(window, count)| (json!("a"), window, json!(count))));
    let said = question(host, "windows/keys/a?from=1&to=10000");
    assert_eq!(rows(&said), [(json!("a"), window(10_000, 20_000), json!(1))]);
    let said = question(host, "windows/keys?from=a&to=b&window-from=1&window-to=10000");
    assert_eq!(rows(&said), [(json!("a"), window(10_000, 20_000), json!(1))]);
    let said = question(host, "windows/windows?to=0");
    let mut found = rows(&said);
    found.sort_by_key(|(key, ..)| key.to_string());
    assert_eq!(found, [(json!("a"), window(0, 10_000), json!(2)), (json!("b/c"), window(0, 10_000), json!(1))]);
    let said = question(host, "sessions/keys/a");
    let all = [(window(1_000, 4_000), 2), (window(12_000, 12_000), 1), (window(30_000, 30_000), 1)];
    assert_eq!(rows(&said), all.map(|(window, count)| (json!("a"), window, json!(count))));
    assert_eq!(rows(&question(host, "all/keys/b%2Fc")), [(json!("b/c"), Value::Null, json!(1))]);
    assert_eq!(rows(&question(host, "all/keys/Yi9j?key-encoding=base64")).len(), 1);
    assert_eq!(rows(&question(host, "name/keys/x")), [(json!("x"), Value::Null, json!("{\"is\":\"Xaver\"}"))]);
    let said = question(host, "name/keys/y");
    assert_eq!((said.status, &said.body["type"]), (404, &json!("/v1/problems/unknown-key")), "it was removed");
    assert!(said.body["partition"].is_u64(), "{}", said.body);
    let said = question(host, "name/keys?limit=1");
    assert_eq!(rows(&said).len(), 1);
    let next = said.body["next"].as_str().expect("there is more");
    assert_eq!(rows(&question(host, &format!("name/keys?cursor={next}"))).len(), 1);
    let said = question(host, "alarms-last/keys/a");
    // It was written in the first sixteenth of its ttl, of an hour.
    assert_eq!((said.status, &said.body["rows"][0]["timestamp"]), (200, &json!(0)), "{}", said.body);
    assert!(said.body["rows"][0]["value"].as_str().is_some_and(|value| value.ends_with('v')), "{}", said.body);
    let closed = question(host, "alarms-timers/keys");
    assert_eq!((closed.status, &closed.body["type"]), (403, &json!("/v1/problems/store-closed")));
    compare_put_together(host);
    assert_eq!(question(host, "counts/keys/a").body["type"], "/v1/problems/unknown-store");
}

/// Windows that are put together from slices, and what functions make of their states.
fn compare_put_together(host: &Host) {
    let window = |start: i64, end: i64| json!({ "start": start, "end": end });
    let text = |count: i64| json!(count.to_string());
    // What the sample keeps: eight bytes, the lowest first.
    let state = |count: i64| json!(String::from_utf8((count as u64).to_le_bytes().to_vec()).unwrap());
    let sliding = [(0, 5_000, 2), (1_001, 6_001, 1), (7_000, 12_000, 1), (25_000, 30_000, 1)];
    let panes = [(0, 10_000, 2), (5_000, 15_000, 1), (10_000, 20_000, 1), (25_000, 35_000, 1), (30_000, 40_000, 1)];
    let of = |all: &[(i64, i64, i64)], value: &dyn Fn(i64) -> Value| -> Vec<_> {
        all.iter().map(|(start, end, count)| (json!("a"), window(*start, *end), value(*count))).collect()
    };
    assert_eq!(rows(&question(host, "sliding/keys/a")), of(&sliding, &|count| json!(count)));
    assert_eq!(rows(&question(host, "by-function/keys/a")), of(&sliding, &state));
    assert_eq!(rows(&question(host, "by-function/keys/a?values=results")), of(&sliding, &text));
    assert_eq!(rows(&question(host, "by-function/keys/a?from=1&to=7000")), of(&sliding[1..3], &state));
    assert_eq!(rows(&question(host, "panes/keys/a?values=results")), of(&panes, &text));
    assert_eq!(rows(&question(host, "panes/keys?to=b&values=results")), of(&panes, &text));
    let some = question(host, "panes/windows?from=25000&limit=1&partition=0");
    let all: Vec<_> =
        (0..3).flat_map(|p| rows(&question(host, &format!("panes/windows?from=25000&partition={p}")))).collect();
    assert_eq!((some.status, all), (200, of(&panes[3..], &state)));
    assert_eq!(rows(&question(host, "all-by-function/keys/a?values=results")), [(json!("a"), Value::Null, text(4))]);
    let refused = question(host, "all/keys/a?values=results");
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (400, &json!("/v1/problems/bad-parameter")),
        "{}",
        refused.body
    );
}

#[test]
fn every_kind_of_store_answers_and_after_a_restart_too() {
    let place = Place::new(MANIFEST);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let listed = host.get("/v1/stores").unwrap();
    let answers = |name: &str| -> Value {
        let store = listed.as_array().unwrap().iter().find(|store| store["name"] == name);
        store.unwrap_or_else(|| panic!("no {name} in {listed}"))["answers"].clone()
    };
    assert_eq!((answers("all"), answers("windows")), (json!(["key", "keys"]), json!(["key", "keys", "windows"])));
    assert_eq!((answers("sessions"), answers("alarms-timers")), (json!(["key", "keys", "windows"]), json!([])));
    let visit = |key: &str, timestamp: i64| json!({ "key": key, "value": "v", "timestamp": timestamp });
    let name = |key: &str, value: Value| json!({ "key": key, "value": value, "timestamp": 5 });
    say(
        &host,
        "in",
        &[visit("a", 1_000), visit("a", 4_000), visit("b/c", 2_000), visit("a", 12_000), visit("a", 30_000)],
    );
    let xaver = name("x", json!("{\"is\":\"Xaver\"}"));
    say(&host, "names", &[xaver, name("y", json!("Yvonne")), name("z", json!("Zoe")), name("y", Value::Null)]);
    eventually("all is committed", 30, || {
        let rows = [question(&host, "all/keys"), question(&host, "name/keys")];
        let count = |said: &Said| said.body["rows"].as_array().map_or(0, Vec::len);
        let last = question(&host, "all/keys/a").body["rows"][0]["value"] == 4;
        if last && rows.iter().all(|said| count(said) == 2) { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    compare(&host);
    assert!(host.stop().success());
    let host = Host::start(&place.manifest, &place.folder, &[]);
    compare(&host);
    assert!(host.stop().success());
}

const TRAPS: &str = "pipeline: traps
functions:
  traps: { component: {bad-trap-finish.wasm} }
sources:
  in: { topic: in, partitions: 1 }
steps:
  open: { from: in, group: key, window: { tumbling: 10s, grace: 1h }, aggregate: traps, emit: on-close }
sinks:
  out: { from: open, topic: out, key-format: json }
";

/// A function that fails for a question fails its answer, and nothing of the pipeline.
#[test]
fn a_function_that_fails_fails_the_answer_alone() {
    let place = Place::new(TRAPS);
    let host = Host::ready(&place.manifest, &place.folder, &[]);
    let visit = |key: &str| json!({ "key": key, "value": "v", "timestamp": 1_000 });
    say(&host, "in", &[visit("good"), visit("trap")]);
    eventually("both are committed", 30, || match rows(&question(&host, "open/windows")).len() {
        2 => Ok(()),
        other => Err(format!("{other} rows")),
    });
    let failed = question(&host, "open/keys/trap?values=results");
    assert_eq!((failed.status, &failed.body["type"]), (500, &json!("/v1/problems/function-failed")), "{failed:?}");
    let detail = failed.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("store `open`: the function that has made its states trapped"), "{detail}");
    assert_eq!(rows(&question(&host, "open/keys/good?values=results")).len(), 1, "the next has an instance of its own");
    say(&host, "in", &[visit("good"), visit("later")]);
    eventually("the pipeline goes on", 30, || match rows(&question(&host, "open/windows")).len() {
        3 => Ok(()),
        other => Err(format!("{other} rows")),
    });
    assert!(host.stop().success());
}

const COUNTING: &str = "pipeline: counting
commit-interval: 300ms
sources:
  in: { topic: in, partitions: 1 }
steps:
  counts: { from: in, group: key, count: { format: text } }
sinks:
  out: { from: counts, topic: out }
";

/// Counts of both keys and the position of one answer: together they are it.
fn look(host: &Host) -> i64 {
    let said = question(host, "counts/keys?from=a&to=c");
    assert_eq!(said.status, 200, "{said:?}");
    let counts: Vec<i64> = rows(&said).iter().map(|(.., value)| value.as_i64().unwrap()).collect();
    let position = said.body["as_of"][0]["positions"][0]["offset"].as_i64().unwrap_or(0);
    assert_eq!(counts.iter().sum::<i64>(), position, "an answer is of one commit: {}", said.body);
    position
}

/// What is answered is what was committed, while records flow, and after a death what was answered is still there.
#[test]
fn no_answer_shows_what_is_not_committed() {
    let place = Place::new(COUNTING);
    let mut host = Host::ready(&place.manifest, &place.folder, &[]);
    let record =
        |i: usize| json!({ "key": if i.is_multiple_of(2) { "a" } else { "b" }, "value": "v", "timestamp": 1_000 + i });
    let mut last = 0;
    for death in 0..3 {
        let fed = AtomicBool::new(false);
        let (mut looks, mut moves) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for piece in 0..60 {
                    let piece: Vec<Value> = (0..101).map(|i| record(piece * 101 + i)).collect();
                    say(&host, "in", &piece);
                    std::thread::sleep(Duration::from_millis(20));
                }
                fed.store(true, Ordering::SeqCst);
            });
            while !fed.load(Ordering::SeqCst) {
                let position = look(&host);
                assert!(position >= last, "{position} after {last}");
                (looks, moves, last) = (looks + 1, moves + i64::from(position > last), position);
            }
        });
        assert!(looks > 20 && moves >= 2, "{moves} commits were seen in {looks} looks");
        let began = Instant::now();
        host.kill();
        host = Host::ready(&place.manifest, &place.folder, &[]);
        let position = look(&host);
        assert!(
            position >= last,
            "death {death}: {last} was answered, and {position} is there after {:?}",
            began.elapsed()
        );
    }
    eventually("all is counted", 30, || match look(&host) {
        18_180 => Ok(()),
        position => Err(format!("{position}")),
    });
}
