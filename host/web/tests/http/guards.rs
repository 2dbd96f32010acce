//! Who may call: names, pages from elsewhere, the token, addresses.

use std::sync::Arc;

use millstream_web::server::Error;
use millstream_web::{Config, Exposure, Kind, Server, Token};

use crate::call::{Running, TOKEN, running};
use crate::fake::Fake;

const BODY: &[u8] = b"x\n";
const RECORDS: &str = "/v1/topics/in/records";

fn kind(answer: &crate::call::Answer) -> Option<Kind> {
    answer.problem().kind()
}

#[test]
fn calls_that_change_something_need_the_token() {
    let host = running();
    let type_ = ("content-type", "text/plain");
    let missing = host.call("POST", RECORDS, &[type_], BODY);
    assert_eq!((kind(&missing), missing.header("www-authenticate")), (Some(Kind::TokenMissing), "Bearer"));
    let shown = |value: &str| kind_or_none(&host, &[type_, ("authorization", value)]);
    assert_eq!(shown(&format!("Basic {TOKEN}")), Some(Kind::TokenMissing));
    assert_eq!(shown("Bearer"), Some(Kind::TokenMissing));
    assert_eq!(shown("Bearer wrong"), Some(Kind::TokenWrong));
    assert_eq!(shown(&format!("Bearer {TOKEN}x")), Some(Kind::TokenWrong));
    assert_eq!(shown(&format!("Bearer {TOKEN}")), None);
    assert_eq!(shown(&format!("bearer  {TOKEN}")), None);
    assert_eq!(host.fake.records("in", 0).len() + host.fake.records("in", 1).len(), 2, "none of the refused ones");
    let twice = format!("Bearer {TOKEN}");
    let twice = [type_, ("authorization", &twice), ("authorization", "Bearer other")];
    assert_eq!(kind_or_none(&host, &twice), Some(Kind::TokenMissing));
    for (method, path) in [("PUT", "/v1/functions/f"), ("POST", "/v1/functions/f/rollback"), ("DELETE", "/v1/nothing")]
    {
        assert_eq!(kind(&host.call(method, path, &[], BODY)), Some(Kind::TokenMissing), "{method} {path}");
    }
    assert_eq!(host.get("/v1/tasks").status, 200, "reading needs none on the machine itself");
}

fn kind_or_none(host: &Running, headers: &[(&str, &str)]) -> Option<Kind> {
    let answer = host.call("POST", RECORDS, headers, BODY);
    if answer.status == 200 { None } else { kind(&answer) }
}

fn status(host: &Running, head: &str) -> String {
    let answer = host.plain(&format!("{head}connection: close\r\n\r\n"));
    answer.split(' ').nth(1).unwrap_or("none").to_string()
}

#[test]
fn names_that_are_not_the_hosts_are_refused() {
    let host = running();
    let port = host.server.address().port();
    for name in ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "127.3.2.1", "[::ffff:127.0.0.1]"] {
        assert_eq!(status(&host, &format!("GET /healthz HTTP/1.1\r\nhost: {name}:{port}\r\n")), "200", "{name}");
    }
    assert_eq!(status(&host, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n"), "200");
    for name in
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", "[2001:db8::1]", "", "a b"]
    {
        assert_eq!(status(&host, &format!("GET /healthz HTTP/1.1\r\nhost: {name}:{port}\r\n")), "403", "{name}");
    }
    assert_eq!(status(&host, "GET /healthz HTTP/1.0\r\n"), "403", "no name at all");
    let two = format!("GET /healthz HTTP/1.1\r\nhost: localhost:{port}\r\nhost: evil.example\r\n");
    assert_eq!(status(&host, &two), "403");
    let address = format!("GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost:{port}\r\n");
    assert_eq!(status(&host, &address), "403");
}

#[test]
fn pages_from_elsewhere_change_nothing() {
    let host = running();
    let token = format!("Bearer {TOKEN}");
    let own = host.server.url();
    let with = |name: &str, value: &str| {
        kind_or_none(&host, &[("authorization", &token), ("content-type", "text/plain"), (name, value)])
    };
    for origin in ["https://evil.example", "null", "http://localhost:1", ""] {
        assert_eq!(with("origin", origin), Some(Kind::OriginRefused), "{origin}");
    }
    assert_eq!(with("origin", &own), None);
    assert_eq!(with("sec-fetch-site", "cross-site"), Some(Kind::OriginRefused));
    assert_eq!(with("sec-fetch-site", "same-site"), Some(Kind::OriginRefused));
    assert_eq!(with("sec-fetch-site", "same-origin"), None);
    let read = host.call("GET", "/v1/pipeline", &[("origin", "https://evil.example")], b"");
    assert_eq!(
        (read.status, read.header("access-control-allow-origin")),
        (200, ""),
        "the browser keeps it from the page"
    );
}

#[test]
fn other_addresses_are_for_those_who_say_so() {
    let config = || Config::new("0.0.0.0:0".parse().unwrap(), Token::new(TOKEN).unwrap());
    let refused = Server::start(Arc::new(Fake::default()), config()).unwrap_err();
    assert!(matches!(refused, Error::Exposed(_)));
    assert!(refused.to_string().contains("no TLS") && refused.to_string().contains("--listen-anyway"), "{refused}");
    let config = Config { exposure: Exposure::Anywhere, names: vec!["mill.example".into()], ..config() };
    let server = Server::start(Arc::new(Fake::default()), config).unwrap();
    let host = Running { fake: Arc::default(), server };
    assert!(host.server.url().starts_with("http://127.0.0.1:"), "{}", host.server.url());
    for name in ["mill.example", "10.1.2.3", "localhost"] {
        assert_eq!(status(&host, &format!("GET /healthz HTTP/1.1\r\nhost: {name}\r\n")), "200", "{name}");
    }
    assert_eq!(status(&host, "GET /healthz HTTP/1.1\r\nhost: evil.example\r\n"), "403");
}

#[test]
fn an_address_in_use_is_said() {
    let host = running();
    let config = Config::new(host.server.address(), Token::new(TOKEN).unwrap());
    let error = Server::start(Arc::new(Fake::default()), config).unwrap_err().to_string();
    assert!(error.contains("does another host run?") && error.contains("--listen"), "{error}");
}
