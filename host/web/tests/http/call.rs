//! How these tests call a server: a client that shows every status, and plain bytes for what a client would not send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use millstream_web::{Config, Problem, Server, Token};
use serde_json::Value;

use crate::fake::Fake;

/// The token of all servers here.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A server with its host.
pub struct Running {
    pub fake: Arc<Fake>,
    pub server: Server,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        assert_eq!((self.status, self.header("content-type")), (200, "application/json"), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn problem(&self) -> Problem {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }
}

pub fn running() -> Running {
    let fake = Arc::new(Fake::default());
    let config = Config::new("127.0.0.1:0".parse().unwrap(), Token::new(TOKEN).unwrap());
    let server = Server::start(fake.clone(), config).unwrap();
    Running { fake, server }
}

impl Running {
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"")
    }

    /// With the token.
    pub fn send(&self, method: &str, path: &str, content_type: &str, body: &[u8]) -> Answer {
        let token = format!("Bearer {TOKEN}");
        self.call(method, path, &[("authorization", &token), ("content-type", content_type)], body)
    }

    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .proxy(None)
                .max_redirects(0)
                .allow_non_standard_methods(true)
                .build(),
        );
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.server.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // A client sends no body with these, not even an empty one.
        let sent = if ["GET", "HEAD", "OPTIONS", "DELETE"].contains(&method) {
            agent.run(request.body(()).unwrap())
        } else {
            agent.run(request.body(body).unwrap())
        };
        let mut sent = sent.unwrap();
        let headers = sent.headers().iter();
        let headers =
            headers.map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
        let status = sent.status().as_u16();
        Answer { status, headers, body: sent.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap() }
    }

    /// Sends bytes as they are and reads until the server closes; the status line and all behind it.
    pub fn plain(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        stream.read_to_end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }
}
