//! Questions to stores: what of a request comes to the host, and how what the host says is told.

use millstream_web::api::{Place, Question, What};
use millstream_web::{Kind, ROWS_DEFAULT, ROWS_MAX, place_text};
use serde_json::json;

use crate::call::{Running, running};

const COUNTS: &str = "/v1/stores/counts";

/// What the host was asked.
fn asked(host: &Running, path: &str) -> Question {
    let answer = host.get(&format!("{COUNTS}{path}"));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    host.fake.questions.lock().unwrap().pop().unwrap()
}

#[test]
fn a_question_comes_as_it_was_asked() {
    let host = running();
    let question = |what| Question {
        store: "counts".into(),
        what,
        partition: None,
        limit: ROWS_DEFAULT,
        after: None,
        results: false,
    };
    let key = |key: &[u8]| question(What::Key { key: key.to_vec(), from: None, to: None });
    assert_eq!(asked(&host, "/keys/a"), key(b"a"));
    assert_eq!(asked(&host, "/keys/10.0.0.1%2F24%20%C3%A4"), key("10.0.0.1/24 ä".as_bytes()));
    assert_eq!(asked(&host, "/keys/_w==?key-encoding=base64"), key(&[0xff]));
    assert_eq!(asked(&host, "/keys/%2Fw?key-encoding=base64"), key(&[0xff]));
    let windows = What::Key { key: b"a".to_vec(), from: Some(-5), to: Some(10) };
    let after = Some(Place { partition: 1, at: b"k".to_vec() });
    let cursor = place_text(after.as_ref().unwrap());
    let all = Question { partition: Some(1), limit: ROWS_MAX, after, ..question(windows) };
    assert_eq!(asked(&host, &format!("/keys/a?from=-5&to=10&partition=1&limit={ROWS_MAX}&cursor={cursor}")), all);
    assert_eq!(asked(&host, "/keys"), question(What::Keys { from: vec![], to: None, windows: (None, None) }));
    let range = What::Keys { from: b"a".to_vec(), to: Some(b"\xff".to_vec()), windows: (Some(5), Some(9)) };
    assert_eq!(asked(&host, "/keys?from=YQ&to=/w&window-from=5&window-to=9&key-encoding=base64"), question(range));
    assert_eq!(asked(&host, "/windows"), question(What::Windows { from: None, to: None }));
    let some = Question { limit: 1, ..question(What::Windows { from: Some(3), to: None }) };
    assert_eq!(asked(&host, "/windows?from=3&limit=1"), some);
    let results = Question { results: true, ..key(b"a") };
    assert_eq!(asked(&host, "/keys/a?values=results"), results);
    assert_eq!(asked(&host, "/keys/a?values=stored"), key(b"a"));
}

#[test]
fn what_the_host_has_is_told_as_records_are() {
    let host = running();
    let next = place_text(&Place { partition: 0, at: b"b".to_vec() });
    let want = json!({
        "store": "counts",
        "as_of": [{ "partition": 0, "positions": [{ "topic": "in", "offset": 5 }], "stream_time": 7 }],
        "rows": [
            { "partition": 0, "key": "a", "value": 3, "timestamp": 7 },
            { "partition": 0, "key": { "base64": "/w==" }, "window": { "start": 0, "end": 10 }, "value": { "base64": "/g==" },
              "timestamp": 7 }
        ],
        "next": next,
        "not_read": [{ "partition": 1, "host": "http://127.0.0.2:7071", "reason": "another host has it" }]
    });
    let answer = host.get(&format!("{COUNTS}/keys")).json();
    assert_eq!(answer, want);
    let read: millstream_web::types::Rows = serde_json::from_value(answer.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), answer, "a client reads the same types");
    let stores = host.get("/v1/stores").json();
    assert_eq!(stores[0]["answers"], json!(["key", "keys", "windows"]));
    assert_eq!((&stores[1]["answers"], &stores[1]["reason"]), (&json!([]), &json!("they are no rows")));
}

#[test]
fn where_another_host_has_it_the_answer_says_where() {
    let host = running();
    let path = "/v1/stores/counts/keys/elsewhere?from=3&key-encoding=utf8";
    let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build();
    let agent = ureq::Agent::new_with_config(agent);
    let mut answer = agent.get(format!("{}{path}", host.server.url())).call().unwrap();
    assert_eq!(answer.status().as_u16(), 307);
    assert_eq!(answer.headers()["location"], format!("http://127.0.0.2:7071{path}"));
    let problem: millstream_web::Problem = serde_json::from_slice(&answer.body_mut().read_to_vec().unwrap()).unwrap();
    assert_eq!(problem.kind(), Some(Kind::Elsewhere));
    assert_eq!((problem.partition, problem.host.as_deref()), (Some(1), Some("http://127.0.0.2:7071/")));
    assert_eq!(problem.instance.as_deref(), Some("/v1/stores/counts/keys/elsewhere"));
    let restoring = host.get("/v1/stores/counts/keys/restoring");
    assert_eq!((restoring.problem().kind(), restoring.header("retry-after")), (Some(Kind::Restoring), "1"));
    assert_eq!((restoring.problem().partition, restoring.header("location")), (Some(1), ""));
}
