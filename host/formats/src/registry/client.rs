//! One request, asked as often as it makes sense.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::de::DeserializeOwned;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Method, Request, StatusCode};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::{Found, Unavailable};
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_MS_MAX, ASKING_MS_MAX, ATTEMPTS_MAX, BACKOFF_MS, REST_MS};

/// What registries call their JSON.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How many other addresses a request may be sent on to.
const REDIRECTS_MAX: u32 = 3;

/// Who asks.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    #[default]
    None,
    /// HTTP basic: user and password.
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
}

// Secrets stand in no log.
impl std::fmt::Debug for Auth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Auth::None => "None",
            Auth::Basic(..) => "Basic",
            Auth::Bearer(_) => "Bearer",
        })
    }
}

/// Where a registry is and how it is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// `http://` or `https://`, host, perhaps port and path.
    pub url: String,
    /// Who asks.
    pub auth: Auth,
    /// Certificates of authorities, PEM; without them the system's.
    pub authorities: Option<Vec<u8>>,
    /// Certificates and key of this client, PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A registry.
#[derive(Debug)]
pub struct Client {
    agent: ureq::Agent,
    url: String,
    authorization: Option<String>,
    /// Until when it is not asked, and why.
    resting: Mutex<Option<(Instant, String)>>,
}

/// Why an attempt brought nothing.
enum Attempt {
    /// Another may bring something.
    Again(String),
    /// Nothing to hope for from another.
    Never(String),
}

impl Client {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// What is wrong with the address or the certificates.
    pub fn new(access: Access) -> Result<Self, String> {
        let url = access.url.trim_end_matches('/').to_string();
        let parsed: ureq::http::Uri = url.parse().map_err(|why| format!("`{url}` is no address: {why}"))?;
        if !matches!(parsed.scheme_str(), Some("http" | "https")) || parsed.host().is_none() {
            return Err(format!("`{url}` is no address of a registry: write `https://HOST:PORT`"));
        }
        let roots = match &access.authorities {
            None => RootCerts::PlatformVerifier,
            Some(pem) => RootCerts::new_with_certs(&certificates(pem, "the authorities' file")?),
        };
        let identity = match &access.identity {
            None => None,
            Some((chain, key)) => {
                let key = PrivateKey::from_pem(key).map_err(|why| format!("the client's key cannot be read: {why}"))?;
                Some(ClientCert::new_with_certs(&certificates(chain, "the client's certificate")?, key))
            }
        };
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(roots)
            .client_cert(identity);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(REDIRECTS_MAX)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build());
        let authorization = match access.auth {
            Auth::None => None,
            Auth::Basic(user, password) => {
                Some(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
            }
            Auth::Bearer(token) => Some(format!("Bearer {token}")),
        };
        Ok(Self { agent: config.build().into(), url, authorization, resting: Mutex::new(None) })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Found<T>, Unavailable> {
        self.ask(&Method::GET, path, "")
    }

    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &str) -> Result<Found<T>, Unavailable> {
        self.ask(&Method::POST, path, body)
    }

    /// An answer that makes no sense.
    pub(super) fn strange(&self, what: &str) -> Unavailable {
        Unavailable(format!("the schema registry at {} answers with {what}", self.url))
    }

    /// Asks until there is an answer, or it is enough. The lock is held meanwhile: who else has to ask waits, and then hears
    /// at once when nothing came.
    fn ask<T: DeserializeOwned>(&self, method: &Method, path: &str, body: &str) -> Result<Found<T>, Unavailable> {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, why)) = &*resting {
            if Instant::now() < *until {
                return Err(Unavailable(why.clone()));
            }
            *resting = None;
        }
        let deadline = Instant::now() + Duration::from_millis(ASKING_MS_MAX);
        let mut pause = Duration::from_millis(BACKOFF_MS);
        let mut attempt = 1;
        let why = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.once(method, path, body, left.min(Duration::from_millis(ANSWER_MS_MAX))) {
                Ok(found) => return Ok(found),
                Err(Attempt::Never(why)) => break why,
                Err(Attempt::Again(why)) if attempt == ATTEMPTS_MAX || Instant::now() + pause >= deadline => break why,
                Err(Attempt::Again(_)) => {}
            }
            std::thread::sleep(pause);
            (pause, attempt) = (pause * 2, attempt + 1);
        };
        let why = format!("the schema registry at {} gives no answer, asked {attempt} times: {why}", self.url);
        *resting = Some((Instant::now() + Duration::from_millis(REST_MS), why.clone()));
        Err(Unavailable(why))
    }

    fn once<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: &str,
        timeout: Duration,
    ) -> Result<Found<T>, Attempt> {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.url)).header("accept", MEDIA_TYPE);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let never = |why: &dyn std::fmt::Display| Attempt::Never(why.to_string());
        let answer = if *method == Method::POST {
            let request = request.header("content-type", MEDIA_TYPE).body(body.to_string()).map_err(|e| never(&e))?;
            let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
            self.agent.run(request)
        } else {
            let request = request.body(()).map_err(|e| never(&e))?;
            let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
            self.agent.run(request)
        };
        let mut answer = answer.map_err(|error| match error {
            ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects | ureq::Error::Tls(_) => never(&error),
            _ => Attempt::Again(error.to_string()),
        })?;
        let status = answer.status();
        let text = match answer.body_mut().with_config().limit(ANSWER_BYTES_MAX as u64).read_to_vec() {
            Ok(text) => text,
            Err(ureq::Error::BodyExceedsLimit(_)) if status.is_success() => {
                return Ok(Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes")));
            }
            Err(error) => return Err(Attempt::Again(error.to_string())),
        };
        judge(status, &text)
    }
}

/// What an answer means.
fn judge<T: DeserializeOwned>(status: StatusCode, text: &[u8]) -> Result<Found<T>, Attempt> {
    if status.is_success() {
        let what =
            |why: serde_json::Error| Attempt::Again(format!("what it answers is not what a registry says: {why}"));
        return serde_json::from_slice(text).map(Ok).map_err(what);
    }
    let answer: Option<serde_json::Value> = serde_json::from_slice(text).ok();
    let said = |field: &str| answer.as_ref().and_then(|a| a.get(field));
    let code = said("error_code").and_then(serde_json::Value::as_i64);
    let message = said("message").and_then(serde_json::Value::as_str).unwrap_or_default();
    let message: String = message.chars().take(300).collect();
    match (status.as_u16(), code) {
        // Subject, version, schema: not found.
        (404, Some(40401..=40499)) => Ok(Err(format!("{message} ({})", code.unwrap_or_default()))),
        // The schema does not go with those before, or is none.
        (409 | 422, Some(_)) => Ok(Err(format!("{message} ({})", code.unwrap_or_default()))),
        (404, _) => Err(Attempt::Never("it answers 404, and not as a registry does: is the address right?".into())),
        (401 | 403, _) => Err(Attempt::Never(format!("it refuses with {status}: are user and password right?"))),
        (408 | 429 | 500.., _) => Err(Attempt::Again(format!("it answers {status} {message}"))),
        _ => Err(Attempt::Never(format!("it answers {status} {message}"))),
    }
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<Certificate<'static>>, String> {
    let mut out = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(one) = item.map_err(|why| format!("{what} cannot be read: {why}"))? {
            out.push(one);
        }
    }
    if out.is_empty() { Err(format!("{what} has no certificate in it; PEM is read")) } else { Ok(out) }
}
