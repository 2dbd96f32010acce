//! Tests of lines: what is read back is what was written, and what is wrong is named with its line.

use super::*;

fn json(text: &str) -> Result<Vec<NewRecord<'_>>, Problem> {
    read_json(text.as_bytes(), &Reading::default())
}

fn refused(result: Result<Vec<NewRecord<'_>>, Problem>) -> (Option<u32>, String) {
    let problem = result.unwrap_err();
    assert_eq!(problem.status, 400);
    (problem.line, problem.detail.clone())
}

#[test]
fn json_lines_come_back() {
    let headers: [crate::api::Header; 2] = [(b"a", Some(b"\xff")), (b"b", None)];
    let cases = [
        Record { offset: 7, key: Some(b"k"), value: Some(b"{\"a\": \"\\n\"}"), timestamp: -5, headers: &headers },
        Record { offset: 8, key: None, value: None, timestamp: i64::MAX, headers: &[] },
        Record { offset: 9, key: Some(b"\xff\x00"), value: Some(b""), timestamp: 0, headers: &[] },
    ];
    let mut body = Vec::new();
    cases.iter().for_each(|r| Writing::Json { windowed: WindowedKeys::None }.write("t", 3, r, &mut body));
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.contains(r#""headers":[["a",{"base64":"/w=="}],["b",null]]"#), "{text}");
    let read = json(text).unwrap();
    assert_eq!(read.len(), cases.len());
    for (i, (new, old)) in read.iter().zip(&cases).enumerate() {
        assert_eq!((new.line, new.partition, new.timestamp), (i as u32 + 1, Some(3), Some(old.timestamp)));
        assert_eq!((new.key.as_deref(), new.value.as_deref()), (old.key, old.value));
        let headers: Vec<_> = new.headers.iter().map(|(n, v)| (n.as_ref(), v.as_deref())).collect();
        assert_eq!(headers, old.headers);
    }
}

#[test]
fn wrong_json_is_named_with_its_line_and_column() {
    let good = r#"{"value":"x"}"#;
    let cases = [
        (r#"{"value":"x""#, "column 12: EOF while parsing an object"),
        (r#"{"key":"k"}"#, "column 11: missing field `value`"),
        (r#"{"value":"x","vlaue":1}"#, "unknown field `vlaue`, expected one of `topic`, `partition`"),
        (r#"{"value":{"a":1}}"#, "an object in the place of bytes is {\"base64\": …}"),
        (r#"{"value":{"base64":"%"}}"#, "not base64"),
        (r#"{"value":{"base64":"","b":1}}"#, "and nothing else"),
        (r#"{"value":3}"#, "JSON inside a record is written as a string"),
        (r#"{"value":"x","partition":-1}"#, "invalid value: integer `-1`, expected u32"),
        (r#"{"value":"x","headers":[[null,"v"]]}"#, "the name of a header is a string"),
        (r#"{"value":"x","window":{"start":1}}"#, "read it without"),
    ];
    for (wrong, said) in cases {
        let (line, detail) = refused(json(&format!("{good}\n\n{wrong}\n{good}\n")));
        assert_eq!(line, Some(3), "{wrong}");
        assert!(detail.starts_with("line 3: ") && detail.contains(said), "{wrong}: {detail}");
    }
    let (line, detail) = refused(read_json(b"{\"value\":\"\xff\"}", &Reading::default()));
    assert_eq!(line, Some(1));
    assert!(detail.contains("invalid unicode"), "{detail}");
}

#[test]
fn raw_lines_keep_every_byte() {
    let values = |body: &'static [u8]| -> Vec<Vec<u8>> {
        let read = read_raw(body, &Reading::default()).unwrap();
        read.into_iter().map(|r| r.value.unwrap().into_owned()).collect()
    };
    assert_eq!(values(b""), Vec::<Vec<u8>>::new());
    assert_eq!(values(b"a\n\n\xff\r\n"), [&b"a"[..], b"", b"\xff\r"]);
    assert_eq!(values(b"a\nb"), [b"a", b"b"]);
    assert_eq!(values(b"\n"), [b""]);
    assert_eq!(values(b"\n\n"), [b"", b""]);
}

#[test]
fn raw_keys_end_at_the_first_separator() {
    let reading = |separator: &str| Reading { key_separator: Some(separator.into()), ..Reading::default() };
    let body = b"k::v::w\n::v\nk::\n";
    let read = read_raw(body, &reading("::")).unwrap();
    let pairs: Vec<_> = read.iter().map(|r| (r.key.as_deref().unwrap(), r.value.as_deref().unwrap())).collect();
    assert_eq!(pairs, [(&b"k"[..], &b"v::w"[..]), (b"", b"v"), (b"k", b"")]);
    assert_eq!(
        refused(read_raw(b"k,v\nkv\n", &reading(","))),
        (Some(2), "line 2: no `,` between key and value".into())
    );
    let invisible = refused(read_raw(b"kv\n", &reading("\t")));
    assert_eq!(invisible, (Some(1), "line 1: no `\\t` between key and value".into()));
}

#[test]
fn a_timestamp_is_milliseconds_and_the_error_says_so() {
    let time = |text: &str| json(&format!("{{\"value\":\"x\",\"timestamp\":{text}}}")).map(|read| read[0].timestamp);
    assert_eq!((time("5").unwrap(), time("-5").unwrap(), time("null").unwrap()), (Some(5), Some(-5), None));
    for wrong in ["\"2021-05-01T14:30:00Z\"", "1.5", "9223372036854775808", "true"] {
        let told = time(wrong).unwrap_err().detail.clone();
        assert!(told.contains("expected whole milliseconds since 1970"), "{told}");
    }
}

#[test]
fn partitions_and_times_are_given_or_taken() {
    let body = r#"{"partition":2,"timestamp":5,"value":"x"}"#;
    let read = |partition, timestamp| {
        let reading = Reading { key_separator: None, partition, timestamp };
        let read = read_json(body.as_bytes(), &reading).unwrap();
        (read[0].partition, read[0].timestamp)
    };
    assert_eq!(read(Placing::AsGiven, Some(9)), (Some(2), Some(5)));
    assert_eq!(read(Placing::ByKey, None), (None, Some(5)));
    assert_eq!(read(Placing::One(4), None), (Some(4), Some(5)));
    let raw = read_raw(b"x", &Reading { timestamp: Some(9), ..Reading::default() }).unwrap();
    assert_eq!((raw[0].partition, raw[0].timestamp), (None, Some(9)));
}

#[test]
fn the_number_of_records_is_bounded() {
    let most = "\n".repeat(RECORDS_MAX);
    assert_eq!(read_raw(most.as_bytes(), &Reading::default()).unwrap().len(), RECORDS_MAX);
    let more = "\n".repeat(RECORDS_MAX + 1);
    assert_eq!(read_raw(more.as_bytes(), &Reading::default()).unwrap_err().kind(), Some(Kind::TooManyRecords));
    let more = "{\"value\":null}\n".repeat(RECORDS_MAX + 1);
    assert_eq!(json(&more).unwrap_err().kind(), Some(Kind::TooManyRecords));
}

fn written(writing: &Writing, key: Option<&[u8]>, value: Option<&[u8]>) -> String {
    let mut out = Vec::new();
    writing.write("t", 0, &Record { offset: 1, key, value, timestamp: 2, headers: &[] }, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn windowed_keys_are_readable() {
    let start = 1_619_879_400_000_i64;
    let key = [b"10.0.0.1", &start.to_be_bytes()[..]].concat();
    let json = Writing::Json { windowed: WindowedKeys::Time };
    let expected = r#"{"topic":"t","partition":0,"offset":1,"key":"10.0.0.1","window":{"start":1619879400000},"value":"3","timestamp":2,"headers":[]}"#;
    assert_eq!(written(&json, Some(&key), Some(b"3")), format!("{expected}\n"));
    let raw = |windowed| Writing::Raw { key_separator: Some("\t".into()), windowed };
    assert_eq!(written(&raw(WindowedKeys::Time), Some(&key), Some(b"3")), "10.0.0.1@2021-05-01T14:30:00Z\t3\n");
    assert_eq!(written(&raw(WindowedKeys::Time), Some(b"short"), Some(b"3")), "short\t3\n");
    assert_eq!(written(&raw(WindowedKeys::Time), None, None), "null\tnull\n");
    assert_eq!(written(&raw(WindowedKeys::None), Some(b"0123456789"), Some(b"3")), "0123456789\t3\n");
    assert_eq!(
        written(&Writing::Raw { key_separator: None, windowed: WindowedKeys::None }, Some(&key), Some(b"3")),
        "3\n"
    );
    let session = [b"10.0.0.1", &(start + 1_500).to_be_bytes()[..], &start.to_be_bytes()].concat();
    let both = "10.0.0.1@2021-05-01T14:30:00Z/2021-05-01T14:30:01.5Z\t3\n";
    assert_eq!(written(&raw(WindowedKeys::Session), Some(&session), Some(b"3")), both);
    assert_eq!(written(&raw(WindowedKeys::Session), Some(b"0123456789"), Some(b"3")), "0123456789\t3\n");
    let apart = written(&Writing::Json { windowed: WindowedKeys::Session }, Some(&session), Some(b"3"));
    assert!(apart.contains(r#""key":"10.0.0.1","window":{"start":1619879400000,"end":1619879401500}"#), "{apart}");
    assert_eq!(Time(i64::MAX).to_string(), i64::MAX.to_string());
}
