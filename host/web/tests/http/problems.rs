//! Every kind of problem that a caller can cause, as the whole document.

use millstream_web::{Kind, Problem};
use serde_json::json;

use crate::call::{Answer, Running, running};

const IN: &str = "/v1/topics/in/records";
const F: &str = "/v1/functions/f";
const RAW: &str = "text/plain";
const JSON: &str = "application/x-ndjson";

/// Method, path, content type, body, kind, detail.
type Case = (&'static str, &'static str, &'static str, &'static [u8], Kind, &'static str);

const CASES: &[Case] = &[
    (
        "GET",
        "/v2/tasks",
        "",
        b"",
        Kind::UnknownPath,
        "there is nothing at /v2/tasks; /v1/openapi.json says what there is",
    ),
    ("GET", "/v1/problems/x", "", b"", Kind::UnknownPath, "no problem is named `x`"),
    ("POST", "/v1/tasks", "", b"x", Kind::MethodNotAllowed, "POST does not fit /v1/tasks"),
    ("DELETE", IN, "", b"", Kind::MethodNotAllowed, "DELETE does not fit /v1/topics/in/records"),
    (
        "GET",
        "/v1/tasks?pipelin=a",
        "",
        b"",
        Kind::BadParameter,
        "pipelin: unknown field `pipelin`, expected `pipeline`",
    ),
    ("GET", "/v1/topics/%FF/records", "", b"", Kind::BadParameter, "Invalid UTF-8 in `topic`"),
    ("GET", "/v1/topics/in/records?max=many", "", b"", Kind::BadParameter, "max: invalid digit found in string"),
    (
        "GET",
        "/v1/topics/in/records?max=0",
        "",
        b"",
        Kind::BadParameter,
        "max: 0 records; 1 to 50000 are given at a time",
    ),
    (
        "GET",
        "/v1/topics/in/records?max=50001",
        "",
        b"",
        Kind::BadParameter,
        "max: 50001 records; 1 to 50000 are given at a time",
    ),
    (
        "GET",
        "/v1/topics/in/records?wait-ms=30001",
        "",
        b"",
        Kind::BadParameter,
        "wait-ms: 30001 ms; at most 30000 are waited",
    ),
    (
        "GET",
        "/v1/topics/in/records?format=xml",
        "",
        b"",
        Kind::BadParameter,
        "format: `xml` is neither `json` nor `raw`",
    ),
    (
        "GET",
        "/v1/topics/in/records?offset=x",
        "",
        b"",
        Kind::BadParameter,
        "offset: `x` is none of earliest, latest, a number, PARTITION:OFFSET,…",
    ),
    ("GET", "/v1/topics/in/records?offset=0:x", "", b"", Kind::BadParameter, "offset: `0:x` is not PARTITION:OFFSET"),
    (
        "GET",
        "/v1/topics/in/records?offset=0:1&partition=0",
        "",
        b"",
        Kind::BadParameter,
        "offset: it names partitions already; leave `partition` out",
    ),
    (
        "GET",
        "/v1/topics/in/records?key-separator=x",
        "",
        b"",
        Kind::BadParameter,
        "key-separator: JSON lines have their keys in them; it is for raw lines",
    ),
    (
        "GET",
        "/v1/topics/in/records?partition=2",
        "",
        b"",
        Kind::UnknownPartition,
        "topic `in` has 2 partitions, none is 2",
    ),
    (
        "GET",
        "/v1/topics/in/records?offset=0:0,7:0",
        "",
        b"",
        Kind::UnknownPartition,
        "topic `in` has 2 partitions, none is 7",
    ),
    ("GET", "/v1/topics/x/records", "", b"", Kind::UnknownTopic, "there is no `x`"),
    ("GET", "/v1/stores/x/keys/a", "", b"", Kind::UnknownStore, "there is no `x`"),
    ("GET", "/v1/stores/counts/keys/%FF", "", b"", Kind::BadParameter, "Invalid UTF-8 in `key`"),
    (
        "GET",
        "/v1/stores/counts/keys?limit=0",
        "",
        b"",
        Kind::BadParameter,
        "limit: 0 rows; 1 to 1000 are given at a time",
    ),
    (
        "GET",
        "/v1/stores/counts/windows?limit=1001",
        "",
        b"",
        Kind::BadParameter,
        "limit: 1001 rows; 1 to 1000 are given at a time",
    ),
    (
        "GET",
        "/v1/stores/counts/keys?cursor=AAAA",
        "",
        b"",
        Kind::BadParameter,
        "cursor: `AAAA` is not what an answer's `next` said",
    ),
    (
        "GET",
        "/v1/stores/counts/keys?cursor=AAAAAQ&partition=0",
        "",
        b"",
        Kind::BadParameter,
        "cursor: it is of partition 1, not of 0",
    ),
    (
        "GET",
        "/v1/stores/counts/keys?key-encoding=hex",
        "",
        b"",
        Kind::BadParameter,
        "key-encoding: unknown variant `hex`, expected `utf8` or `base64`",
    ),
    ("GET", "/v1/functions/g/history", "", b"", Kind::UnknownFunction, "there is no `g`"),
    (
        "POST",
        IN,
        "",
        b"x",
        Kind::MediaType,
        "the body's type is ``; records are application/x-ndjson (JSON lines) or text/plain (raw lines)",
    ),
    (
        "POST",
        "/v1/topics/in/records?partition=x",
        RAW,
        b"x",
        Kind::BadParameter,
        "partition: `x` is neither a partition's number nor `by-key`",
    ),
    (
        "POST",
        "/v1/topics/in/records?timestamp=x",
        RAW,
        b"x",
        Kind::BadParameter,
        "timestamp: `x` is neither `now` nor milliseconds since 1970",
    ),
    (
        "POST",
        "/v1/topics/in/records?key-separator=",
        RAW,
        b"x",
        Kind::BadParameter,
        "key-separator: it has 1 to 64 bytes and no newline",
    ),
    (
        "POST",
        "/v1/topics/in/records?key-separator=x",
        JSON,
        b"",
        Kind::BadParameter,
        "key-separator: JSON lines have their keys in them; it is for raw lines",
    ),
    (
        "POST",
        "/v1/topics/in/records?producer=a",
        RAW,
        b"x",
        Kind::BadParameter,
        "producer and sequence belong together: both or neither",
    ),
    (
        "POST",
        "/v1/topics/in/records?producer=a&sequence=0",
        RAW,
        b"x",
        Kind::BadParameter,
        "sequence: it counts from 1",
    ),
    (
        "POST",
        "/v1/topics/in/records?producer=a_b&sequence=1",
        RAW,
        b"x",
        Kind::BadParameter,
        "producer: it has 1 to 64 letters, digits and `-`",
    ),
    ("POST", "/v1/topics/in/records?producer=a&sequence=2", RAW, b"x", Kind::OutOfStep, "request 2 follows 0"),
    ("POST", "/v1/topics/pipe-x/records", RAW, b"x", Kind::InternalTopic, "`pipe-x` belongs to the pipeline"),
    ("PUT", F, "", b"", Kind::BadBody, "the body is empty; it must be the component's file"),
    (
        "PUT",
        "/v1/functions/f?settings=3",
        "",
        b"x",
        Kind::BadParameter,
        "settings: not a JSON object: invalid type: integer `3`, expected a map at line 1 column 1",
    ),
    (
        "POST",
        "/v1/functions/f/rollback",
        "",
        b"{\"too\":1}",
        Kind::BadBody,
        "not what is expected: unknown field `too`, expected `to` at line 1 column 6",
    ),
    ("POST", "/v1/functions/f/rollback", "", b"{\"to\":9}", Kind::UnknownVersion, "`f` has no version 9"),
];

fn expected(kind: Kind, detail: &str, path: &str) -> serde_json::Value {
    let (status, name, title, _) = kind.row();
    let type_ = format!("/v1/problems/{name}");
    let instance = path.split('?').next();
    json!({ "type": type_, "title": title, "status": status, "detail": detail, "instance": instance })
}

fn document(answer: &Answer) -> serde_json::Value {
    let _ = answer.problem();
    serde_json::from_slice(&answer.body).unwrap()
}

fn ask(host: &Running, method: &str, path: &str, type_: &str, body: &[u8]) -> Answer {
    host.send(method, path, type_, body)
}

#[test]
fn documents_are_whole() {
    let host = running();
    for (method, path, type_, body, kind, detail) in CASES {
        let answer = ask(&host, method, path, type_, body);
        assert_eq!(document(&answer), expected(*kind, detail, path), "{method} {path}");
    }
    assert_eq!(host.fake.records("in", 0).len() + host.fake.records("in", 1).len(), 0, "nothing was written");
}

#[test]
fn documents_with_more_in_them() {
    let host = running();
    let with = |answer: Answer, kind: Kind, detail: &str, path: &str, more: serde_json::Value| {
        let mut want = expected(kind, detail, path);
        more.as_object().unwrap().iter().for_each(|(name, value)| want[name] = value.clone());
        assert_eq!(document(&answer), want);
    };
    let bad = host.send("POST", IN, JSON, b"{\"value\":\"a\"}\n{\"valu\":\"b\"}\n");
    let detail = "line 2: column 7: unknown field `valu`, expected one of `topic`, `partition`, `offset`, `key`, `window`, \
                  `value`, `timestamp`, `headers`";
    with(bad, Kind::BadRecord, detail, IN, json!({"line": 2}));
    let bad = host.send("POST", "/v1/topics/in/records?key-separator=%3D", RAW, b"a=b\nc\n");
    with(bad, Kind::BadRecord, "line 2: no `=` between key and value", IN, json!({"line": 2}));
    let far = host.send("POST", IN, JSON, b"{\"value\":\"a\"}\n\n{\"value\":\"b\",\"partition\":9}\n");
    let detail = "line 3: there are 2 partitions, none is 9";
    with(far, Kind::UnknownPartition, detail, IN, json!({"line": 3}));
    let large = host.send("POST", IN, RAW, &vec![b'a'; crate::fake::RECORD_BYTES_MAX + 1]);
    let detail = "line 1: 1048577 bytes, at most 1048576";
    with(large, Kind::RecordTooLarge, detail, IN, json!({"line": 1}));
    let refused = host.send("PUT", F, "", b"bad");
    let reasons = json!({"reasons": ["it imports `a`", "it exports nothing"]});
    with(refused, Kind::ComponentRefused, "function `f` was refused", F, reasons);
    let beyond = host.get("/v1/topics/in/records?offset=5&partition=1");
    with(beyond, Kind::OffsetOutOfRange, "offset 5 is not in 0 to 0", IN, json!({"start": 0, "end": 0}));
}

#[test]
fn what_the_host_says_comes_through() {
    let host = running();
    for kind in [Kind::DeployUnderWay, Kind::Internal, Kind::Stopping] {
        host.fake.append_fails.lock().unwrap().push((false, Problem::new(kind, "so it is")));
        let answer = host.send("POST", IN, RAW, b"x");
        assert_eq!(document(&answer), expected(kind, "so it is", IN));
        assert_eq!(answer.header("retry-after"), if kind == Kind::Stopping { "1" } else { "" });
    }
}

#[test]
fn a_call_that_panics_is_a_problem_and_the_server_lives() {
    let host = running();
    let poisoned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _held = host.fake.reasons.lock().unwrap();
        panic!("it poisons the lock");
    }));
    assert!(poisoned.is_err());
    let problem = host.get("/readyz").problem();
    assert_eq!(problem.kind(), Some(Kind::Internal));
    assert_eq!(host.get("/healthz").status, 200);
}

#[test]
fn methods_that_fit_are_said() {
    let host = running();
    let allow = |method: &str, path: &str| host.send(method, path, "", b"").header("allow").to_string();
    assert_eq!(allow("PATCH", IN), "GET,HEAD,POST");
    assert_eq!(allow("PATCH", F), "PUT");
    assert_eq!(allow("OPTIONS", "/metrics"), "GET,HEAD");
}

#[test]
fn kinds_are_described_where_their_types_point() {
    let host = running();
    for kind in Kind::ALL {
        let (status, name, title, act) = kind.row();
        let described = host.get(&Problem::new(*kind, "").type_).json();
        let type_ = format!("/v1/problems/{name}");
        assert_eq!(described, json!({ "type": type_, "status": status, "title": title, "act": act }));
    }
    assert_eq!(host.get("/v1/problems").json().as_array().unwrap().len(), Kind::ALL.len());
}
