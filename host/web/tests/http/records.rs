//! Records in and out: what is written is read, where one left off one goes on, what was sent twice is there once.

use std::time::{Duration, Instant};

use millstream_web::types::{Appended, AppendedTo};
use millstream_web::{Kind, Problem, RECORDS_BODY_BYTES_MAX, RECORDS_MAX};
use serde_json::Value;

use crate::call::{Answer, Running, TOKEN, running};

const IN: &str = "/v1/topics/in/records";
const RAW: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/x-ndjson";

fn append(host: &Running, query: &str, type_: &str, body: &[u8]) -> Appended {
    serde_json::from_value(host.send("POST", &format!("{IN}{query}"), type_, body).json()).unwrap()
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{}", answer.text());
    let lines: Vec<Value> = answer.text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(answer.header("millstream-records"), lines.len().to_string());
    lines
}

#[test]
fn what_is_written_is_read() {
    let host = running();
    let body = br#"{"key":"a","value":"1","timestamp":5,"headers":[["h",{"base64":"/w=="}]],"partition":1,"topic":"x","offset":9}
{"key":null,"value":null,"partition":1}"#;
    let appended = append(&host, "", JSON, body);
    assert_eq!(appended.partitions, [AppendedTo { partition: 1, first: 0, records: 2 }]);
    assert_eq!((appended.topic.as_str(), appended.records, appended.repeated), ("in", 2, false));
    let got = host.get(&format!("{IN}?partition=1"));
    let want = [
        r#"{"topic":"in","partition":1,"offset":0,"key":"a","value":"1","timestamp":5,"headers":[["h",{"base64":"/w=="}]]}"#,
        r#"{"topic":"in","partition":1,"offset":1,"key":null,"value":null,"timestamp":1000,"headers":[]}"#,
    ];
    assert_eq!(got.text().lines().collect::<Vec<_>>(), want);
    assert_eq!((got.header("millstream-next"), got.header("millstream-end")), ("1:2", "1:2"));
    let again = append(&host, "?partition=by-key", JSON, &got.body);
    assert_eq!(again.records, 2, "what was read can be written");
}

#[test]
fn raw_lines_go_in_and_out() {
    let host = running();
    append(&host, "?key-separator=%09&partition=0&timestamp=7", RAW, b"k\tv\n\xff\t\xfe\r\n");
    let got = host.get(&format!("{IN}?format=raw&key-separator=%3D%3E"));
    assert_eq!((got.body.as_slice(), got.header("content-type")), (&b"k=>v\n\xff=>\xfe\r\n"[..], RAW));
    assert_eq!(host.get(&format!("{IN}?format=raw")).body, b"v\n\xfe\r\n");
    assert_eq!(lines(&host.get(IN))[1]["timestamp"], 7);
    let start = 1_619_879_400_000_i64.to_be_bytes();
    append(&host, "?partition=1&key-separator=%3D", RAW, &[b"10.0.0.1", &start[..], b"=3\n"].concat());
    let got = host.get(&format!("{IN}?format=raw&windowed=true&partition=1"));
    assert_eq!(got.text(), "10.0.0.1@2021-05-01T14:30:00Z\t3\n");
    let got = lines(&host.get(&format!("{IN}?windowed=true&partition=1")));
    assert_eq!((&got[0]["key"], &got[0]["window"]["start"]), (&"10.0.0.1".into(), &1_619_879_400_000_i64.into()));
}

#[test]
fn keyless_records_of_a_call_stay_together() {
    let host = running();
    let places: Vec<Vec<AppendedTo>> = (0..3).map(|_| append(&host, "", RAW, b"a\nb\n").partitions).collect();
    let want = |partition, first| vec![AppendedTo { partition, first, records: 2 }];
    assert_eq!(places, [want(0, 0), want(1, 0), want(0, 2)]);
}

/// Reads all from the answer before until there is no more; the records by partition.
fn drain(host: &Running, query: &str) -> Vec<Vec<i64>> {
    let mut got = vec![Vec::new(); 2];
    let mut offset = "earliest".to_string();
    loop {
        let answer = host.get(&format!("{IN}?offset={offset}&{query}"));
        let found = lines(&answer);
        for line in &found {
            got[line["partition"].as_u64().unwrap() as usize].push(line["offset"].as_i64().unwrap());
        }
        offset = answer.header("millstream-next").to_string();
        if found.is_empty() {
            assert_eq!(offset, answer.header("millstream-end"));
            return got;
        }
    }
}

#[test]
fn readers_go_on_where_they_were() {
    let host = running();
    append(&host, "?partition=0", RAW, "x\n".repeat(1_000).as_bytes());
    append(&host, "?partition=1", RAW, "y\n".repeat(7).as_bytes());
    for max in [1, 3, 10, 2_000] {
        let got = drain(&host, &format!("max={max}"));
        assert!(got[0].iter().copied().eq(0..1_000) && got[1].iter().copied().eq(0..7), "{max}");
    }
    let both = lines(&host.get(&format!("{IN}?max=10")));
    assert_eq!(both.iter().filter(|l| l["partition"] == 1).count(), 5, "a full partition does not hold up the other");
    let from = |offset: &str| lines(&host.get(&format!("{IN}?offset={offset}"))).len();
    assert_eq!((from("latest"), from("0:998,1:6"), from("1:0")), (0, 3, 7));
    assert_eq!(lines(&host.get(&format!("{IN}?offset=990&partition=0"))).len(), 10);
}

#[test]
fn answers_end_at_their_bytes() {
    let host = running();
    let large = "z".repeat(crate::fake::RECORD_BYTES_MAX) + "\n";
    append(&host, "?partition=0", RAW, large.repeat(5).as_bytes());
    let got = lines(&host.get(&format!("{IN}?partition=0")));
    assert_eq!(got.len(), 2, "2 MiB, and the record that passes it");
    assert_eq!(drain(&host, "max=100")[0], [0, 1, 2, 3, 4]);
}

#[test]
fn what_retention_took_is_said() {
    let host = running();
    append(&host, "?partition=0", RAW, "x\n".repeat(9).as_bytes());
    *host.fake.start.lock().unwrap() = 4;
    let problem = host.get(&format!("{IN}?partition=0&offset=3")).problem();
    assert_eq!((problem.kind(), problem.start, problem.end), (Some(Kind::OffsetOutOfRange), Some(4), Some(9)));
    assert_eq!(lines(&host.get(&format!("{IN}?partition=0"))).len(), 5, "the earliest there is");
}

#[test]
fn a_request_sent_again_is_not_written_again() {
    let host = running();
    let first = append(&host, "?producer=p-1&sequence=1&partition=0", RAW, b"a\nb\n");
    let again = append(&host, "?producer=p-1&sequence=1&partition=0", RAW, b"a\nb\n");
    assert_eq!(again, Appended { repeated: true, partitions: Vec::new(), ..first });
    assert_eq!(append(&host, "?producer=p-1&sequence=2&partition=0", RAW, b"c\n").partitions[0].first, 2);
    let out_of_step = |sequence: u64| {
        let answer = host.send("POST", &format!("{IN}?producer=p-1&sequence={sequence}"), RAW, b"x\n");
        answer.problem().kind()
    };
    assert_eq!((out_of_step(1), out_of_step(4)), (Some(Kind::OutOfStep), Some(Kind::OutOfStep)));
    host.fake.append_fails.lock().unwrap().push((true, Problem::new(Kind::Internal, "the answer is lost")));
    let lost = host.send("POST", &format!("{IN}?producer=p-1&sequence=3&partition=0"), RAW, b"d\n");
    assert_eq!(lost.status, 500);
    assert!(append(&host, "?producer=p-1&sequence=3&partition=0", RAW, b"d\n").repeated);
    assert_eq!(host.fake.records("in", 0).len(), 4);
}

#[test]
fn a_wait_ends_with_records_or_its_time() {
    let host = running();
    let started = Instant::now();
    let none = host.get(&format!("{IN}?wait-ms=300"));
    assert_eq!(lines(&none).len(), 0);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(none.header("millstream-next"), "0:0,1:0");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| host.get(&format!("{IN}?wait-ms=30000")));
        while !host.get("/metrics").text().contains("millstream_http_requests_in_flight 2\n") {
            std::thread::sleep(Duration::from_millis(5));
        }
        append(&host, "?partition=1", RAW, b"x\n");
        assert_eq!(lines(&waiting.join().unwrap()).len(), 1);
    });
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_packed_body_is_refused_and_no_record() {
    let host = running();
    let token = format!("Bearer {TOKEN}");
    let coded = |coding| {
        let headers = [("authorization", token.as_str()), ("content-type", RAW), ("content-encoding", coding)];
        host.call("POST", IN, &headers, b"x")
    };
    for coding in ["gzip", "identity, br"] {
        let problem = coded(coding).problem();
        assert_eq!(problem.kind(), Some(Kind::MediaType), "{coding}");
        assert!(problem.detail.contains(&format!("`{coding}`")), "{problem}");
    }
    assert_eq!(coded("identity").status, 200);
    assert_eq!(lines(&host.get(IN)).len(), 1);
}

#[test]
fn bodies_and_their_records_are_bounded() {
    let host = running();
    let most = "\n".repeat(RECORDS_MAX);
    assert_eq!(append(&host, "", RAW, most.as_bytes()).records, RECORDS_MAX as u64);
    let more = host.send("POST", IN, RAW, "\n".repeat(RECORDS_MAX + 1).as_bytes());
    assert_eq!(more.problem().kind(), Some(Kind::TooManyRecords));
    let line = "x".repeat((1 << 10) - 1) + "\n";
    let most = line.repeat(RECORDS_BODY_BYTES_MAX >> 10);
    assert_eq!(append(&host, "", RAW, most.as_bytes()).records, (RECORDS_BODY_BYTES_MAX >> 10) as u64);
    let large = host.send("POST", IN, RAW, (most + "x").as_bytes());
    assert_eq!(large.problem().kind(), Some(Kind::BodyTooLarge));
    let long = "k".repeat(65);
    let long = [format!("?key-separator={long}"), format!("?producer={long}&sequence=1")];
    for query in long {
        assert_eq!(host.send("POST", &format!("{IN}{query}"), RAW, b"x").problem().kind(), Some(Kind::BadParameter));
    }
    assert_eq!(append(&host, "", RAW, b"").records, 0, "nothing is not wrong");
}
