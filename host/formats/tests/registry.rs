//! Formats by a registry: what is asked, how often, and what each answer makes of the records. Everything else is the other
//! tests' matter.

mod fake;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use fake::{Answer, Asked, Registry, json};
use millstream_core::formats::{Converted, Formats as _, Unavailable};
use millstream_core::record::BytesColumn;
use millstream_formats::limits::{ANSWER_BYTES_MAX, ASKING_MS_MAX, ATTEMPTS_MAX, REFERENCES_MAX, REST_MS};
use millstream_formats::registry::{Access, Auth};
use millstream_formats::{Format, Formats, Kind, Subject};

const USER: &str = r#"{"type":"record","name":"User","fields":[{"name":"n","type":"int"}]}"#;
const NO_SCHEMA: &str = r#"{"error_code":40403,"message":"Schema not found"}"#;

fn open_with(access: Access, kind: Kind, subject: Subject) -> Formats {
    Formats::open(Some(access), vec![Format::Registry(kind, subject)]).unwrap()
}

fn open(url: String, kind: Kind) -> Formats {
    let subject = Subject { name: "users-value".into(), ..Subject::default() };
    open_with(Access { url, ..Access::default() }, kind, subject)
}

fn column(items: &[&[u8]]) -> BytesColumn {
    let mut column = BytesColumn::default();
    items.iter().for_each(|item| column.push(Some(item)));
    column
}

fn texts(converted: &Converted) -> Vec<String> {
    let text = |i| String::from_utf8_lossy(converted.items.get(i).unwrap_or(b"-")).into_owned();
    (0..converted.items.len()).map(text).collect()
}

fn reasons(converted: &Converted) -> Vec<(u32, &str)> {
    converted.rejected.iter().map(|r| (r.index, r.reason.as_str())).collect()
}

fn given(schema: &str) -> String {
    serde_json::json!({ "schema": schema }).to_string()
}

/// A record by schema 7 with `n` = 1.
const ONE: &[u8] = &[0, 0, 0, 0, 7, 2];

fn users(_: usize, asked: &Asked) -> Answer {
    match asked.line.as_str() {
        "GET /schemas/ids/7" => json(200, &given(USER)),
        _ => json(404, NO_SCHEMA),
    }
}

#[test]
fn a_schema_is_asked_for_once_and_one_that_is_missing_makes_a_bad_record() {
    let registry = Registry::start(users);
    let formats = open(registry.url(), Kind::Avro);
    let batch = column(&[ONE, &[0, 0, 0, 0, 8, 2], &[0, 0, 0, 0, 7, 4], b"text", &[0, 0, 0], &[0, 0, 0, 0, 7], &[]]);
    for _ in 0..3 {
        let converted = formats.decode(0, &batch).unwrap();
        assert_eq!(texts(&converted), ["{\"n\":1}", "-", "{\"n\":2}", "-", "-", "-", "-"]);
        let reasons = reasons(&converted);
        assert_eq!(reasons.iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1, 3, 4, 5, 6]);
        assert_eq!(reasons[0].1, "the registry has no schema 8: Schema not found (40403)");
        assert!(reasons[1].1.contains("the first byte is 116"), "{reasons:?}");
        assert!(reasons[2].1.contains("3 bytes are too few"), "{reasons:?}");
        assert!(reasons[3].1.contains("by schema 7: 1 bytes should follow byte 0"), "{reasons:?}");
    }
    let lines: Vec<String> = registry.asked().into_iter().map(|a| a.line).collect();
    assert_eq!(lines, ["GET /schemas/ids/7", "GET /schemas/ids/8"], "both answers are kept");
}

#[test]
fn of_workers_that_miss_a_schema_one_asks() {
    let registry = Registry::start(|before, asked| {
        std::thread::sleep(Duration::from_millis(100));
        users(before, asked)
    });
    let formats = open(registry.url(), Kind::Avro);
    let decode = || assert!(formats.decode(0, &column(&[ONE])).unwrap().rejected.is_empty());
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(decode))));
    assert_eq!(registry.asked().len(), 1);
}

#[test]
fn null_stays_null() {
    let registry = Registry::start(users);
    let mut items = BytesColumn::default();
    items.push(None);
    let converted = open(registry.url(), Kind::Avro).decode(0, &items).unwrap();
    assert!(converted.items.is_null(0) && converted.rejected.is_empty() && registry.asked().is_empty());
}

#[test]
fn a_registry_that_recovers_is_waited_for() {
    let registry = Registry::start(|before, asked| match before {
        0 => json(500, "{}"),
        1 => Answer::HangUp,
        2 => json(503, "<html>"),
        3 => json(200, "<html>garbage"),
        _ => users(before, asked),
    });
    let converted = open(registry.url(), Kind::Avro).decode(0, &column(&[ONE])).unwrap();
    assert_eq!(texts(&converted), ["{\"n\":1}"]);
    assert_eq!(registry.asked().len(), ATTEMPTS_MAX as usize);
}

#[test]
fn a_registry_that_is_down_makes_no_bad_record_and_is_left_alone_for_a_while() {
    let registry = Registry::start(|_, _| json(500, r#"{"error_code":50001,"message":"the store is away"}"#));
    let formats = open(registry.url(), Kind::Avro);
    let Unavailable(why) = formats.decode(0, &column(&[ONE])).unwrap_err();
    assert!(why.contains("asked 5 times") && why.contains("the store is away"), "{why}");
    assert_eq!(registry.asked().len(), ATTEMPTS_MAX as usize);
    let begun = Instant::now();
    assert_eq!(formats.decode(0, &column(&[ONE])).unwrap_err(), Unavailable(why));
    let asked = registry.asked().len();
    assert!(asked == ATTEMPTS_MAX as usize || begun.elapsed() >= Duration::from_millis(REST_MS), "asked {asked} times");
    // Nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(open(format!("http://{free}"), Kind::Avro).decode(0, &column(&[ONE])).is_err());
}

#[test]
fn a_registry_that_is_silent_is_waited_for_no_longer_than_so() {
    let registry = Registry::start(|_, _| Answer::Silence(Duration::from_secs(30)));
    let begun = Instant::now();
    let Unavailable(why) = open(registry.url(), Kind::Avro).decode(0, &column(&[ONE])).unwrap_err();
    let waited = begun.elapsed();
    assert!(waited < Duration::from_millis(3 * ASKING_MS_MAX), "{waited:?}");
    assert!(why.contains("gives no answer"), "{why}");
    assert!(registry.asked().len() >= 2, "each attempt is given up by itself");
}

#[test]
fn what_no_registry_says_is_not_believed() {
    for (status, body) in
        [(404, "<html>not found"), (404, "{}"), (404, r#"{"error_code":404,"message":"no such page"}"#)]
    {
        let registry = Registry::start(move |_, _| json(status, body));
        let Unavailable(why) = open(registry.url(), Kind::Avro).decode(0, &column(&[ONE])).unwrap_err();
        assert!(why.contains("is the address right?"), "{why}");
        assert_eq!(registry.asked().len(), 1, "asking again would not help");
    }
    for (status, expected) in [(401, "are user and password right?"), (403, "refuses with 403"), (400, "answers 400")] {
        let registry = Registry::start(move |_, _| json(status, "{}"));
        let Unavailable(why) = open(registry.url(), Kind::Avro).decode(0, &column(&[ONE])).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn who_asks_says_so_also_where_the_registry_sends_on_to_and_not_without_end() {
    let registry = Registry::start(move |before, asked| match asked.line.as_str() {
        "GET /schemas/ids/7" => Answer::Send(302, "location: /other/7\r\n".into(), String::new()),
        "GET /other/7" => json(200, &given(USER)),
        "GET /schemas/ids/5" => Answer::Send(302, "location: /schemas/ids/5\r\n".into(), String::new()),
        _ => users(before, asked),
    });
    let auth = Auth::Basic("user".into(), "pass".into());
    let access = Access { url: registry.url() + "/", auth, ..Access::default() };
    let formats = open_with(access, Kind::Avro, Subject::default());
    assert_eq!(texts(&formats.decode(0, &column(&[ONE])).unwrap()), ["{\"n\":1}"]);
    assert!(registry.asked().iter().all(|a| a.authorization.as_deref() == Some("Basic dXNlcjpwYXNz")));
    let Unavailable(why) = formats.decode(0, &column(&[&[0, 0, 0, 0, 5, 2]])).unwrap_err();
    assert!(why.contains("redirect"), "{why}");
    let access = Access { url: registry.url(), auth: Auth::Bearer("token".into()), ..Access::default() };
    assert_eq!(format!("{access:?}").matches("token").count(), 0, "no secret in a log");
    let formats = open_with(access, Kind::Avro, Subject::default());
    formats.decode(0, &column(&[ONE])).unwrap();
    assert_eq!(registry.asked().last().unwrap().authorization.as_deref(), Some("Bearer token"));
}

#[test]
fn schemas_of_another_kind_and_of_no_use_make_bad_records_and_are_asked_for_once() {
    let large = "x".repeat(ANSWER_BYTES_MAX);
    let registry = Registry::start(move |_, asked| match asked.line.as_str() {
        "GET /schemas/ids/7" => json(200, r#"{"schema":"{}","schemaType":"JSON"}"#),
        "GET /schemas/ids/8" => json(200, r#"{"schema":"\"strange\""}"#),
        "GET /schemas/ids/9" => json(200, r#"{"schema":"x","schemaType":"THRIFT"}"#),
        _ => json(200, &given(&large)),
    });
    let formats = open(registry.url(), Kind::Avro);
    let record = |id: u8| [0, 0, 0, 0, id, 2];
    let records: Vec<[u8; 6]> = [7, 8, 9, 10, 7, 8, 9, 10].into_iter().map(record).collect();
    let converted = formats.decode(0, &column(&records.iter().map(|r| &r[..]).collect::<Vec<_>>())).unwrap();
    let reasons = reasons(&converted);
    assert_eq!(reasons[0].1, "schema 7 is JSON, where AVRO is expected");
    assert!(reasons[1].1.contains("schema 8 cannot be used: there is no Avro type `strange`"), "{reasons:?}");
    assert!(reasons[2].1.contains("a schema of the kind THRIFT"), "{reasons:?}");
    assert!(reasons[3].1.contains("more than"), "{reasons:?}");
    assert_eq!((reasons.len(), registry.asked().len()), (8, 4));
}

#[test]
fn what_a_schema_refers_to_is_fetched_in_order_each_once_and_not_without_end() {
    let registry = Registry::start(|_, asked| {
        let refers = |schema: &str, to: &[&str]| {
            let references: Vec<_> = to
                .iter()
                .map(|name| serde_json::json!({ "name": name, "subject": format!("{name}/s"), "version": 2 }))
                .collect();
            json(200, &serde_json::json!({ "schema": schema, "references": references }).to_string())
        };
        match asked.line.as_str() {
            "GET /schemas/ids/7" => refers(
                r#"{"type":"record","name":"C","fields":[{"name":"a","type":"A"},{"name":"b","type":"B"}]}"#,
                &["B", "A"],
            ),
            "GET /subjects/B%2Fs/versions/2" => {
                refers(r#"{"type":"record","name":"B","fields":[{"name":"a","type":"A"}]}"#, &["A"])
            }
            "GET /subjects/A%2Fs/versions/2" => refers(r#"{"type":"enum","name":"A","symbols":["X","Y"]}"#, &[]),
            "GET /schemas/ids/8" => refers("\"int\"", &["gone"]),
            "GET /schemas/ids/9" => refers("\"int\"", &["0"]),
            line => {
                match line.strip_prefix("GET /subjects/").and_then(|l| l.split('%').next()?.parse::<usize>().ok()) {
                    Some(number) => refers("\"int\"", &[&(number + 1).to_string()]),
                    None => json(404, r#"{"error_code":40401,"message":"Subject not found"}"#),
                }
            }
        }
    });
    let formats = open(registry.url(), Kind::Avro);
    let converted = formats.decode(0, &column(&[&[0, 0, 0, 0, 7, 2, 0]])).unwrap();
    assert_eq!(texts(&converted), [r#"{"a":"Y","b":{"a":"X"}}"#], "{:?}", reasons(&converted));
    assert_eq!(registry.asked().len(), 3);
    let converted = formats.decode(0, &column(&[&[0, 0, 0, 0, 8, 2], &[0, 0, 0, 0, 9, 2]])).unwrap();
    let reasons = reasons(&converted);
    assert!(
        reasons[0].1.contains("`gone`, which the schema refers to, is not there: Subject not found"),
        "{reasons:?}"
    );
    assert!(reasons[1].1.contains(&format!("more than {REFERENCES_MAX} others")), "{reasons:?}");
}

#[test]
fn protobuf_and_json_schema_have_their_header_and_their_references() {
    let proto = "syntax = \"proto3\"; package p; import \"other.proto\"; message A { message B { Other o = 1; } map<string, int32> m = 1; message C { int32 n = 1; } } message D { string s = 1; }";
    let registry = Registry::start(move |_, asked| {
        match asked.line.as_str() {
        "GET /schemas/ids/1" => {
            let reference = serde_json::json!([{ "name": "other.proto", "subject": "other", "version": 1 }]);
            json(200, &serde_json::json!({ "schema": proto, "schemaType": "PROTOBUF", "references": reference }).to_string())
        }
        "GET /subjects/other/versions/1" => {
            json(200, &serde_json::json!({ "schema": "syntax = \"proto3\"; package p; message Other { int32 n = 1; }", "schemaType": "PROTOBUF" }).to_string())
        }
        "GET /schemas/ids/2" => {
            let reference = serde_json::json!([{ "name": "n.json", "subject": "n", "version": 1 }]);
            let schema = r#"{"$id":"http://example.com/a.json","properties":{"n":{"$ref":"n.json"}}}"#;
            json(200, &serde_json::json!({ "schema": schema, "schemaType": "JSON", "references": reference }).to_string())
        }
        "GET /subjects/n/versions/1" => json(200, r#"{"schema":"{\"type\":\"integer\"}","schemaType":"JSON"}"#),
        _ => json(404, NO_SCHEMA),
    }
    });
    let formats = open(registry.url(), Kind::Protobuf);
    let records: [&[u8]; 6] = [
        &[0, 0, 0, 0, 1, 2, 2, 0x0a, 1, b'x'],
        &[0, 0, 0, 0, 1, 4, 0, 0, 0x0a, 2, 8, 5],
        &[0, 0, 0, 0, 1, 4, 0, 2, 8, 6],
        &[0, 0, 0, 0, 1, 0, 0x0a, 5, 0x0a, 1, b'k', 0x10, 9],
        &[0, 0, 0, 0, 1, 2, 4],
        &[0, 0, 0, 0, 1],
    ];
    let converted = formats.decode(0, &column(&records)).unwrap();
    assert_eq!(texts(&converted)[..4], [r#"{"s":"x"}"#, r#"{"o":{"n":5}}"#, r#"{"n":6}"#, r#"{"m":{"k":9}}"#]);
    assert!(reasons(&converted)[0].1.contains("no message at [2]"), "{:?}", reasons(&converted));
    assert!(reasons(&converted)[1].1.contains("does not end"));
    let formats = open(registry.url(), Kind::Json);
    let converted = formats.decode(0, &column(&[b"\0\0\0\0\x02{ \"n\": 1 }", b"\0\0\0\0\x02{\"n\":\"1\"}"])).unwrap();
    assert_eq!(texts(&converted), ["{\"n\":1}", "-"]);
    assert!(reasons(&converted)[0].1.contains("does not fit its schema at /n"), "{:?}", reasons(&converted));
}

#[test]
fn results_are_written_by_the_subjects_newest_schema_which_stays() {
    let registry = Registry::start(|before, asked| match asked.line.as_str() {
        "GET /subjects/users-value/versions/latest" if before < 2 => {
            json(404, r#"{"error_code":40401,"message":"Subject not found"}"#)
        }
        "GET /subjects/users-value/versions/latest" => {
            json(200, &serde_json::json!({ "id": 258, "schema": USER, "schemaType": "AVRO" }).to_string())
        }
        _ => json(404, NO_SCHEMA),
    });
    let formats = open(registry.url(), Kind::Avro);
    let results = column(&[b"{\"n\":3}", b"{\"n\":\"x\"}", b"{"]);
    for _ in 0..2 {
        let Unavailable(why) = formats.encode(0, &results).unwrap_err();
        assert!(why.contains("subject `users-value` has no schema: Subject not found"), "no result is to blame: {why}");
    }
    for _ in 0..2 {
        let converted = formats.encode(0, &results).unwrap();
        assert_eq!(converted.items.get(0), Some(&[0, 0, 0, 1, 2, 6][..]));
        assert_eq!(reasons(&converted).iter().map(|(i, _)| *i).collect::<Vec<_>>(), [1, 2]);
    }
    assert_eq!(registry.asked().len(), 3);
    // What was written is read without asking.
    assert_eq!(texts(&formats.decode(0, &column(&[&[0, 0, 0, 1, 2, 6]])).unwrap()), ["{\"n\":3}"]);
    assert_eq!(registry.asked().len(), 3);
}

#[test]
fn a_file_is_looked_up_or_registered_as_asked() {
    let registry = Registry::start(|_, asked| match asked.line.as_str() {
        "POST /subjects/users-value" | "POST /subjects/users-value/versions" => json(200, r#"{"id":7}"#),
        "POST /subjects/other/versions" => json(409, r#"{"error_code":409,"message":"incompatible"}"#),
        "POST /subjects/other" => json(404, NO_SCHEMA),
        "GET /schemas/ids/7" => json(200, &given(USER)),
        _ => json(404, NO_SCHEMA),
    });
    let subject = |name: &str, register| {
        let (name, schema) = (name.to_string(), Some(USER.to_string()));
        let access = Access { url: registry.url(), ..Access::default() };
        open_with(access, Kind::Avro, Subject { name, schema, register, message: None })
    };
    for register in [false, true] {
        let converted = subject("users-value", register).encode(0, &column(&[b"{\"n\":1}"])).unwrap();
        assert_eq!(converted.items.get(0), Some(ONE));
        let Unavailable(why) = subject("other", register).encode(0, &column(&[b"{\"n\":1}"])).unwrap_err();
        assert!(why.contains("subject `other` does not take the schema"), "{why}");
    }
    let asked = registry.asked();
    let paths: Vec<&str> = asked.iter().map(|a| a.line.as_str()).filter(|l| l.starts_with("POST")).collect();
    assert_eq!(
        paths,
        [
            "POST /subjects/users-value",
            "POST /subjects/other",
            "POST /subjects/users-value/versions",
            "POST /subjects/other/versions"
        ]
    );
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!((body["schemaType"].as_str(), body["schema"].as_str()), (Some("AVRO"), Some(USER)));
}

#[test]
fn what_is_wrong_with_the_access_is_told_before_anything_is_asked() {
    let told = |access: Access| Formats::open(Some(access), vec![]).unwrap_err().1;
    let access = |url: &str| Access { url: url.into(), ..Access::default() };
    assert!(told(access("registry:8081")).contains("no address"));
    assert!(told(access("")).contains("no address"));
    let pem = Access { authorities: Some(b"nothing".to_vec()), ..access("https://127.0.0.1:1") };
    assert!(told(pem).contains("no certificate in it"));
    let none = Formats::open(None, vec![Format::Registry(Kind::Avro, Subject::default())]).unwrap_err();
    assert!(none.0 == Some(0) && none.1.contains("no `registry` is given"), "{none:?}");
}
