//! Producing and consuming: everything once, whatever happens on the way.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use millstream_web::{Kind, Problem, RECORDS_MAX};

use crate::{Setup, run, setup, until};

fn total(host: &Setup) -> usize {
    host.values("in", 0).len() + host.values("in", 1).len()
}

#[test]
fn lines_of_a_file_and_of_standard_input_are_written() {
    let host = setup();
    let file = host.write("lines", b"one\n\ntwo\r\nthree");
    let outcome = host.run(&["produce", "in", &file, "--partition", "0"], b"");
    assert_eq!((outcome.code, outcome.out.as_str()), (0, ""));
    assert!(outcome.err.starts_with("4 records written to in in "), "{}", outcome.err);
    assert_eq!(host.values("in", 0), ["one", "", "two\r", "three"]);
    let json =
        host.ok(&["produce", "in", "--partition", "1", "--timestamp", "7", "--key-separator", ":", "--json"], b"k:v\n");
    assert!(json.starts_with("{\"records\":1,") && json.ends_with("\"topic\":\"in\"}\n"), "{json}");
    let kept = &host.fake.records("in", 1)[0];
    assert_eq!((kept.key.as_deref(), kept.value.as_deref(), kept.timestamp), (Some(&b"k"[..]), Some(&b"v"[..]), 7));
    assert_eq!(host.ok(&["consume", "in", "--partition", "0"], b""), "one\n\ntwo\r\nthree\n");
    assert_eq!(host.ok(&["consume", "in", "--from", "0:3,1:0", "--key-separator", "="], b""), "null=three\nk=v\n");
}

#[test]
fn what_was_consumed_can_be_produced_again() {
    let host = setup();
    let body = br#"{"key":"a","value":null,"timestamp":5,"headers":[["h",{"base64":"/w=="}]],"partition":1}
{"key":{"base64":"/wA="},"value":"x","timestamp":6,"partition":0}
"#;
    host.ok(&["produce", "in", "--format", "json"], body);
    let lines = host.ok(&["consume", "in", "--format", "json"], b"");
    assert_eq!(lines.lines().count(), 2);
    let other = setup();
    other.ok(&["produce", "in", "--json-lines"], lines.as_bytes());
    for partition in 0..2 {
        assert_eq!(other.fake.records("in", partition), host.fake.records("in", partition));
    }
    other.ok(&["produce", "out", "--json-lines", "--partition", "by-key"], lines.as_bytes());
    assert_eq!(other.fake.records("out", 0).len(), 2, "whatever partitions the lines name");
}

#[test]
fn a_large_file_goes_in_batches_and_a_wrong_line_is_named() {
    let host = setup();
    let lines = RECORDS_MAX + 5_000;
    let file = host.write("many", "{\"value\":\"x\"}\n".repeat(lines).as_bytes());
    host.ok(&["produce", "in", &file, "--json-lines"], b"");
    assert_eq!(total(&host), lines);
    let wrong = ["{\"value\":\"x\"}\n".repeat(RECORDS_MAX + 10), "{\"valu\":1}\n".into()].concat();
    let file = host.write("wrong", wrong.as_bytes());
    let outcome = host.run(&["produce", "in", &file, "--json-lines"], b"");
    assert_eq!(outcome.code, 1);
    let said = format!("{file}:{}: column 7: unknown field `valu`", RECORDS_MAX + 11);
    assert!(outcome.err.contains(&said), "{}", outcome.err);
    let written = total(&host) - lines;
    assert!(outcome.err.contains(&format!("{written} records written")), "{}", outcome.err);
    let long = host.run(&["produce", "in"], &vec![b'x'; (8 << 20) + 1]);
    assert!(long.code == 1 && long.err.contains("-:1: the line has more than 8388608 bytes"), "{}", long.err);
}

#[test]
fn what_the_host_did_not_take_is_sent_again_and_never_twice() {
    let host = setup();
    let fails = |written, kind| host.fake.append_fails.lock().unwrap().push((written, Problem::new(kind, "not now")));
    fails(true, Kind::NotReady);
    fails(false, Kind::Busy);
    fails(true, Kind::Stopping);
    let outcome = host.run(&["produce", "in", "--partition", "0"], b"a\nb\n");
    assert!(outcome.code == 0 && outcome.err.starts_with("2 records"), "{outcome:?}");
    assert_eq!(host.values("in", 0), ["a", "b"]);
    assert!(host.fake.append_fails.lock().unwrap().is_empty(), "all three were met");
    fails(false, Kind::Internal);
    let outcome = host.run(&["produce", "in"], b"c\n");
    assert!(outcome.code == 1 && outcome.err.contains("lines 1 to 1: not now"), "{outcome:?}");
    (0..100).for_each(|_| fails(false, Kind::Busy));
    let outcome = host.run(&["produce", "in", "--retry-for", "0"], b"c\n");
    assert!(outcome.code == 1 && outcome.err.starts_with("0 records"), "{outcome:?}");
    assert_eq!(total(&host), 2);
}

#[test]
fn a_host_that_is_started_anew_gets_every_line_once() {
    let mut host = setup();
    let lines: Vec<String> = (0..3_000).map(|n| n.to_string()).collect();
    let file = host.write("lines", (lines.join("\n") + "\n").as_bytes());
    let producing = host.command(&["produce", "in", &file, "--partition", "0", "--rate", "2000/s"]);
    let mut following = host.command(&["consume", "in", "--partition", "0", "--max", "3000", "--follow"]);
    let producing = std::thread::spawn(move || run(producing, b""));
    let reading = following.spawn().unwrap();
    for restart in 1..=3 {
        until("some lines are there", || host.values("in", 0).len() > restart * 500);
        host.server.take().unwrap().stop();
        host.start();
    }
    let outcome = producing.join().unwrap();
    assert!(outcome.code == 0 && outcome.err.starts_with("3000 records"), "{outcome:?}");
    assert_eq!(host.values("in", 0), lines);
    let read = reading.wait_with_output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(String::from_utf8(read.stdout).unwrap().lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_rate_is_kept() {
    let host = setup();
    let started = std::time::Instant::now();
    host.ok(&["produce", "in", "--rate", "200/s"], "x\n".repeat(200).as_bytes());
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(800) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(total(&host), 200);
}

#[test]
fn a_file_that_grows_is_followed() {
    let host = setup();
    let file = host.write("log", b"one\ntw");
    let mut child = host.command(&["produce", "in", &file, "--partition", "0", "--follow"]).spawn().unwrap();
    until("the first line is there", || host.values("in", 0) == ["one"]);
    host.write("log", b"one\ntwo\nthree\n");
    until("all lines are there", || host.values("in", 0) == ["one", "two", "three"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn readers_begin_and_end_where_they_are_told() {
    let host = setup();
    host.ok(&["produce", "in", "--partition", "0"], b"a\nb\nc\n");
    host.ok(&["produce", "in", "--partition", "1"], b"d\n");
    let read = |args: &[&str]| host.ok(&[&["consume", "in"], args].concat(), b"");
    assert_eq!(read(&[]).lines().count(), 4);
    assert_eq!(read(&["--partition", "0", "--from", "1"]), "b\nc\n");
    assert_eq!(read(&["--partition", "0", "--max", "2"]), "a\nb\n");
    assert_eq!(read(&["--from", "latest"]), "");
    let beyond = host.run(&["consume", "in", "--partition", "0", "--from", "9"], b"");
    assert!(beyond.code == 1 && beyond.err.contains("offset 9 is not in 0 to 3"), "{beyond:?}");
    let unknown = host.run(&["consume", "nothing"], b"");
    assert!(unknown.code == 1 && unknown.err.contains("there is no `nothing`"), "{unknown:?}");
    let windowed = [b"10.0.0.1", &1_619_879_400_000_i64.to_be_bytes()[..], b"=3\n"].concat();
    host.ok(&["produce", "out", "--key-separator", "="], &windowed);
    assert_eq!(host.ok(&["consume", "out", "--windowed"], b""), "10.0.0.1@2021-05-01T14:30:00Z\t3\n");
    let json = host.ok(&["consume", "out", "--windowed", "--json"], b"");
    assert!(json.contains(r#""key":"10.0.0.1","window":{"start":1619879400000},"value":"3""#), "{json}");
}

#[test]
fn who_follows_sees_what_is_written_later_and_hears_of_what_is_gone() {
    let host = setup();
    host.ok(&["produce", "in", "--partition", "0"], b"a\n");
    let mut child = host.command(&["consume", "in", "--partition", "0", "--follow"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("a"));
    host.ok(&["produce", "in", "--partition", "0"], b"b\n");
    assert_eq!(lines.next().as_deref(), Some("b"));
    *host.fake.start.lock().unwrap() = 4;
    host.ok(&["produce", "in", "--partition", "0"], b"c\nd\ne\n");
    assert_eq!(lines.next().as_deref(), Some("e"));
    assert_eq!(told.next().as_deref(), Some("partition 0: 2 records were deleted before they were read"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_host_that_does_not_come_back_is_given_up() {
    let mut host = setup();
    host.ok(&["produce", "in"], b"a\n");
    let mut reading = host.command(&["consume", "in", "--follow", "--retry-for", "1"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(reading.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    host.server.take().unwrap().stop();
    let read = reading.wait_with_output().unwrap();
    assert_eq!((first.as_str(), read.status.code()), ("a\n", Some(3)));
    let outcome = host.run(&["produce", "in", "--retry-for", "1"], b"b\n");
    assert!(outcome.code == 3 && outcome.err.starts_with("0 records written"), "{outcome:?}");
}

#[test]
fn a_reader_whose_output_is_closed_ends_quietly() {
    let host = setup();
    host.ok(&["produce", "in", "--partition", "0"], "some line\n".repeat(40_000).as_bytes());
    let mut child = host.command(&["consume", "in"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((first.as_str(), output.status.code(), output.stderr.as_slice()), ("some line\n", Some(0), &b""[..]));
}
