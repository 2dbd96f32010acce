//! What commands that talk to a running host share: calls, what can go wrong with them, exit codes. Where the host is, `find`
//! says.

mod find;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use millstream_web::{Problem, Token};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response};

/// How long it may take to connect.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an answer may take that needs no work.
pub const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Connections unused for longer are not used again; the host closes them after twice the time.
const IDLE_TIME_MAX: Duration = Duration::from_secs(5);

/// Bytes of an answer: one record may be as large as the log takes, and JSON makes it larger.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// Exit code of a command whose arguments are wrong; the parser has the same.
const EXIT_WRONG_USE: u8 = 2;

/// Exit code of a command whose host could not be reached.
const EXIT_UNREACHABLE: u8 = 3;

/// Which host, and what to show it.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Connection {
    /// Address of the host [env: MILLSTREAM_URL] [default: the host that runs here, else http://127.0.0.1:7070]
    #[arg(long, value_name = "URL", help_heading = "Host")]
    url: Option<String>,
    /// File with the host's token; the token itself may stand in MILLSTREAM_TOKEN [default: the host's own file]
    #[arg(long, value_name = "FILE", help_heading = "Host")]
    token_file: Option<PathBuf>,
    /// State directory of the host, where its address and token are found
    #[arg(long, visible_alias = "state-dir", value_name = "DIR", help_heading = "Host")]
    local: Option<PathBuf>,
}

/// A function of a pipeline, as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pipeline.
    pub pipeline: String,
    /// The function.
    pub function: String,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((pipeline, function)) => Ok(Self { pipeline: name(pipeline)?, function: name(function)? }),
            None => Err(format!("`{text}` has no `/`: write PIPELINE/FUNCTION, as in access-counts/extract-ip")),
        }
    }
}

/// A name as it may stand in a path: what manifests and topics are made of.
///
/// # Errors
/// What is wrong with it.
pub fn name(text: &str) -> Result<String, String> {
    let right = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if text.is_empty() || !text.chars().all(right) || text.chars().all(|c| c == '.') {
        return Err(format!("`{text}` is not a name: letters, digits, `.`, `_` and `-`"));
    }
    Ok(text.to_string())
}

/// What can go wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No host answers: surely nothing was done.
    #[error(
        "no host answers at {url}: {why}\nstart one with `millstream run`, or say where it is with --url or --local"
    )]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What came instead.
        why: String,
    },
    /// The call broke off: it may have been done.
    #[error("the call to {url} broke off: {why}")]
    Broken {
        /// The host.
        url: String,
        /// What happened.
        why: String,
    },
    /// The host says what is wrong.
    #[error("{0}")]
    Told(Problem),
    /// What came is no answer of a host.
    #[error("{url} does not answer as a host of Millstream does: {why}")]
    Strange {
        /// The address.
        url: String,
        /// What is odd.
        why: String,
    },
}

/// The arguments do not go together, in a way that their parser cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUse(pub String);

/// Standard output was closed by whoever read it; nobody is left to be told more.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub struct OutputClosed;

/// Turns what a command came to into its exit code.
///
/// # Errors
/// What is left for the caller to say.
pub fn finish(result: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match result {
        Err(error) if error.is::<OutputClosed>() => Ok(ExitCode::SUCCESS),
        Err(error) if matches!(error.downcast_ref(), Some(Failure::Unreachable { .. })) => {
            eprintln!("millstream: {error:#}");
            Ok(ExitCode::from(EXIT_UNREACHABLE))
        }
        Err(error) if error.is::<WrongUse>() => {
            eprintln!("millstream: {error:#}");
            Ok(ExitCode::from(EXIT_WRONG_USE))
        }
        other => other,
    }
}

/// Writes to standard output.
///
/// # Errors
/// [`OutputClosed`]; what else the system says.
pub fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        other => other.context("write to standard output"),
    }
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// Those of [`print`].
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(format!("{}\n", serde_json::to_string(value)?).as_bytes())
}

/// A host, as commands call it.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: Option<Token>,
    found: (Connection, Option<String>),
}

/// One call.
pub struct Call<'a> {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: &'a str,
    /// What stands behind the `?`.
    pub query: &'a [(&'a str, &'a str)],
    /// Type and bytes of its body.
    pub body: Option<(&'a str, &'a [u8])>,
    /// How long the answer may take.
    pub time_max: Duration,
}

impl Client {
    /// Finds the host.
    ///
    /// # Errors
    /// When there is none or there are several; when a token cannot be read.
    pub fn find(connection: &Connection, pipeline: Option<&str>) -> anyhow::Result<Self> {
        let (url, dir) = find::locate(connection, pipeline)?;
        if !url.starts_with("http://") {
            bail!("`{url}` is not an address of a host: it begins with http:// (TLS is not there yet)");
        }
        let token = find::token(connection, &url, dir.as_deref())?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // A host is called directly: its token is no proxy's business.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIME_MAX))
            .max_idle_age(IDLE_TIME_MAX)
            .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")))
            .build();
        let found = (connection.clone(), pipeline.map(str::to_string));
        Ok(Self { agent: config.into(), url, token, found })
    }

    /// Looks again where the host is: it may have been started anew with another address.
    pub fn find_again(&mut self) {
        if let Ok(again) = Self::find(&self.found.0, self.found.1.as_deref()) {
            *self = again;
        }
    }

    /// Where the host is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls the host.
    ///
    /// # Errors
    /// [`Failure`], nothing else.
    pub fn call(&self, call: &Call<'_>) -> Result<Response<ureq::Body>, Failure> {
        let query: Vec<String> = call.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}{}{mark}{}", self.url, call.path, query.join("&"));
        let mut request = Request::builder().method(&call.method).uri(uri);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", token.secret()));
        }
        let strange = |why: String| Failure::Strange { url: self.url.clone(), why };
        let agent = &self.agent;
        let answer = match call.body {
            None => {
                let request = request.body(()).map_err(|e| strange(e.to_string()))?;
                agent.run(agent.configure_request(request).timeout_global(Some(call.time_max)).build())
            }
            Some((media_type, body)) => {
                let request =
                    request.header("content-type", media_type).body(body).map_err(|e| strange(e.to_string()))?;
                agent.run(agent.configure_request(request).timeout_global(Some(call.time_max)).build())
            }
        };
        let mut answer = answer.map_err(|error| self.failed(&error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = self.read(&mut answer)?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(Failure::Told(problem)),
            Err(_) => Err(strange(format!("status {status} without a problem document"))),
        }
    }

    fn failed(&self, error: &ureq::Error) -> Failure {
        let (url, why) = (self.url.clone(), error.to_string());
        match error {
            ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
                Failure::Unreachable { url, why: "connection refused".into() }
            }
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Failure::Unreachable { url, why },
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => Failure::Unreachable { url, why },
            ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::Protocol(_) => Failure::Strange { url, why },
            _ => Failure::Broken { url, why },
        }
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// [`Failure::Broken`].
    pub fn read(&self, answer: &mut Response<ureq::Body>) -> Result<Vec<u8>, Failure> {
        let read = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        read.map_err(|error| Failure::Broken { url: self.url.clone(), why: error.to_string() })
    }

    /// Calls the host and reads its JSON.
    ///
    /// # Errors
    /// [`Failure`], nothing else.
    pub fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, Failure> {
        let body = self.call(call).and_then(|mut answer| self.read(&mut answer))?;
        serde_json::from_slice(&body).map_err(|why| Failure::Strange { url: self.url.clone(), why: why.to_string() })
    }

    /// Reads something of the host.
    ///
    /// # Errors
    /// [`Failure`], nothing else.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, Failure> {
        self.json(&Call { method: Method::GET, path, query, body: None, time_max: ANSWER_TIME_MAX })
    }
}

/// Percent-encodes a value for the part of an address behind `?`.
fn encoded(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_pipeline_and_function() {
        let target: Target = "access-counts/extract-ip".parse().unwrap();
        assert_eq!((target.pipeline.as_str(), target.function.as_str()), ("access-counts", "extract-ip"));
        for wrong in ["", "a", "a/", "/b", "a/b/c", "a/../b", "../b", "a b/c", "ä/b"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(encoded("0:12,1:4"), "0:12,1:4");
        assert_eq!(encoded("a b&c=ä\t%+"), "a%20b%26c%3D%C3%A4%09%25%2B");
    }
}
