//! Limits on how much is asked at one time, how long it may take, and what happens when the server stops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use millstream_web::{
    CONNECTIONS_MAX, Config, DEPLOYS_MAX, DISCARD_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MS_MAX, Kind, QUESTIONS_MAX,
    RECORDS_BODY_BYTES_MAX, REQUESTS_MAX, STOP_MS_MAX, Server, Token, WAITING_MAX,
};

use crate::call::{Running, TOKEN, running};

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Calls until there is a place: who looks whether all places are taken may take one for a moment.
fn in_the_end(call: impl Fn() -> u16) -> u16 {
    loop {
        match call() {
            503 => std::thread::sleep(Duration::from_millis(2)),
            status => return status,
        }
    }
}

#[test]
fn requests_at_one_time_are_bounded() {
    let host = running();
    std::thread::scope(|scope| {
        let closed = host.fake.gate.write().unwrap();
        let held: Vec<_> =
            (0..REQUESTS_MAX).map(|_| scope.spawn(|| in_the_end(|| host.get("/v1/tasks").status))).collect();
        until("all places are taken", || host.get("/v1/pipeline").status == 503);
        let busy = host.get("/v1/pipeline");
        assert_eq!((busy.problem().kind(), busy.header("retry-after")), (Some(Kind::Busy), "1"));
        assert!(busy.problem().detail.contains("64 requests"), "{}", busy.text());
        assert_eq!((host.get("/healthz").status, host.get("/readyz").status), (200, 200), "probes are always answered");
        drop(closed);
        assert!(held.into_iter().all(|thread| thread.join().unwrap() == 200));
    });
    assert_eq!(host.get("/v1/pipeline").status, 200);
}

#[test]
fn calls_that_wait_are_bounded_and_leave_room_for_others() {
    let host = running();
    std::thread::scope(|scope| {
        let path = "/v1/topics/in/records?wait-ms=30000";
        let held: Vec<_> = (0..WAITING_MAX).map(|_| scope.spawn(|| in_the_end(|| host.get(path).status))).collect();
        until("all places are taken", || host.get("/v1/topics/in/records?wait-ms=1").status == 503);
        let busy = host.get(path).problem();
        assert!(busy.detail.contains("32 calls wait"), "{}", busy.detail);
        assert_eq!(host.get("/v1/pipeline").status, 200);
        host.send("POST", "/v1/topics/in/records", "text/plain", b"x\n");
        assert!(held.into_iter().all(|thread| thread.join().unwrap() == 200));
    });
}

#[test]
fn deploys_at_one_time_are_bounded() {
    let host = running();
    let deploy = |host: &Running| host.send("PUT", "/v1/functions/f", "", b"x").status;
    std::thread::scope(|scope| {
        let closed = host.fake.gate.write().unwrap();
        let held: Vec<_> = (0..DEPLOYS_MAX).map(|_| scope.spawn(|| in_the_end(|| deploy(&host)))).collect();
        until("all places are taken", || {
            host.send("POST", "/v1/functions/f/rollback?pipeline=x", "", b"").status == 503
        });
        let busy = host.send("PUT", "/v1/functions/f", "", b"x").problem();
        assert!(busy.kind() == Some(Kind::Busy) && busy.detail.contains("2 components"), "{}", busy.detail);
        drop(closed);
        assert!(held.into_iter().all(|thread| thread.join().unwrap() == 200));
    });
    assert_eq!(deploy(&host), 200);
}

#[test]
fn questions_to_stores_at_one_time_are_bounded() {
    let host = running();
    let path = "/v1/stores/counts/keys/a";
    std::thread::scope(|scope| {
        let closed = host.fake.gate.write().unwrap();
        let held: Vec<_> = (0..QUESTIONS_MAX).map(|_| scope.spawn(|| in_the_end(|| host.get(path).status))).collect();
        until("all are being answered", || host.fake.at_gate.load(Ordering::SeqCst) == QUESTIONS_MAX);
        let busy = host.get("/v1/stores/counts/windows");
        assert_eq!((busy.problem().kind(), busy.header("retry-after")), (Some(Kind::Busy), "1"));
        assert!(busy.problem().detail.contains("4 questions"), "{}", busy.text());
        assert_eq!(host.get("/v1/pipeline").status, 200, "others have room");
        drop(closed);
        assert!(held.into_iter().all(|thread| thread.join().unwrap() == 200));
    });
    assert_eq!(host.get(path).status, 200);
}

#[test]
fn a_caller_that_goes_away_frees_its_place() {
    let host = running();
    for _ in 0..WAITING_MAX + 1 {
        let mut stream = TcpStream::connect(host.server.address()).unwrap();
        stream.write_all(b"GET /v1/topics/in/records?wait-ms=30000 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    }
    until("places are free", || host.get("/v1/topics/in/records?wait-ms=1").status == 200);
    until("none is in flight", || host.get("/metrics").text().contains("millstream_http_requests_in_flight 1\n"));
}

#[test]
fn connections_are_bounded_and_more_wait_for_their_turn() {
    let host = running();
    let mut open: Vec<_> = (0..CONNECTIONS_MAX).map(|_| TcpStream::connect(host.server.address()).unwrap()).collect();
    let mut last = TcpStream::connect(host.server.address()).unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    last.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let waits = last.read(&mut [0; 16]).unwrap_err();
    assert_eq!(waits.kind(), std::io::ErrorKind::WouldBlock, "{waits}");
    open.pop();
    last.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut text = String::new();
    last.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn headers_are_bounded_in_bytes_and_time() {
    let host = running();
    let with = |bytes: usize| {
        let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: ";
        let mut stream = TcpStream::connect(host.server.address()).unwrap();
        // The server may close while bytes are on their way; what came before it counts.
        let _ = stream.write_all(format!("{head}{}\r\n\r\n", "x".repeat(bytes)).as_bytes());
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    };
    assert!(with(HEADERS_BYTES_MAX / 2).starts_with("HTTP/1.1 200"));
    let large = with(4 * HEADERS_BYTES_MAX);
    assert!(large.is_empty() || large.starts_with("HTTP/1.1 431"), "{large}");
    let started = Instant::now();
    let slow = host.plain("GET /healthz HTTP/1.1\r\nhost: loc");
    let took = started.elapsed();
    assert!(!slow.contains("200"), "{slow}");
    assert!(took >= Duration::from_millis(HEADERS_MS_MAX - 500) && took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_refused_body_does_not_hide_the_refusal() {
    let host = running();
    let large = vec![b'x'; RECORDS_BODY_BYTES_MAX * 3];
    assert!(large.len() < DISCARD_BYTES_MAX);
    let no_token = host.call("POST", "/v1/topics/in/records", &[("content-type", "text/plain")], &large);
    assert_eq!(no_token.problem().kind(), Some(Kind::TokenMissing));
    let no_type = host.send("POST", "/v1/topics/in/records", "", &large);
    assert_eq!(no_type.problem().kind(), Some(Kind::MediaType));
    let chunked = format!(
        "POST /v1/topics/in/records HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: text/plain\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
        large.len(),
        String::from_utf8(large).unwrap()
    );
    let answer = host.plain(&chunked);
    assert!(answer.contains("/v1/problems/body-too-large"), "{answer}");
}

#[test]
fn no_room_is_made_for_a_body_that_is_only_announced() {
    let host = running();
    let mut stream = TcpStream::connect(host.server.address()).unwrap();
    let head = format!(
        "POST /v1/topics/in/records HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: text/plain\r\ncontent-length: {}\r\n\r\n",
        1_u64 << 50
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
}

#[test]
fn a_body_that_breaks_off_writes_nothing() {
    let host = running();
    let mut stream = TcpStream::connect(host.server.address()).unwrap();
    let head = format!(
        "POST /v1/topics/in/records HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: text/plain\r\ncontent-length: 100\r\n\r\nhalf\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(host.fake.records("in", 0).len() + host.fake.records("in", 1).len(), 0);
}

#[test]
fn stopping_ends_waits_and_takes_no_more() {
    let host = running();
    let address = host.server.address();
    let started = Instant::now();
    let mut waiting = TcpStream::connect(address).unwrap();
    waiting.write_all(b"GET /v1/topics/in/records?wait-ms=30000 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    until("it waits", || host.get("/metrics").text().contains("millstream_http_requests_in_flight 2\n"));
    host.server.stop();
    assert!(started.elapsed() < Duration::from_secs(10));
    let mut text = String::new();
    waiting.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(TcpStream::connect(address).is_err());
    let again = Server::start(host.fake.clone(), Config::new(address, Token::new(TOKEN).unwrap())).unwrap();
    assert_eq!(again.address(), address, "the port is free again");
    assert!(Arc::strong_count(&host.fake) > 1);
}

#[test]
fn a_sender_without_end_is_cut_off() {
    let host = running();
    let mut stream = TcpStream::connect(host.server.address()).unwrap();
    let head = format!("POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", 1_u64 << 40);
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![0; 1 << 20];
    let mut sent = 0;
    while stream.write_all(&piece).is_ok() {
        sent += piece.len();
        assert!(sent < 4 * DISCARD_BYTES_MAX, "it is still read");
    }
}

#[test]
fn a_call_without_end_does_not_hold_up_the_stop() {
    let host = running();
    let closed = host.fake.gate.write().unwrap();
    let mut stream = TcpStream::connect(host.server.address()).unwrap();
    stream.write_all(b"GET /v1/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    until("it is being answered", || host.fake.at_gate.load(Ordering::SeqCst) == 1);
    let started = Instant::now();
    host.server.stop();
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(STOP_MS_MAX) && took < Duration::from_millis(6 * STOP_MS_MAX), "{took:?}");
    drop(closed);
}
