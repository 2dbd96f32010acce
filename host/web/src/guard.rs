//! Who may call: in front of every handler. Names by which the host may be called, pages from elsewhere, the token, how many
//! at one time. Every request is counted, and every problem gets the path it belongs to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::router::{App, Permit, Shared, discard};
use crate::{Kind, Problem, REQUESTS_MAX};

/// Paths that are always answered: who watches the host must not be told that it is busy or be asked for a token.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Stands in front of every handler.
pub(crate) async fn guard(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_string();
    let route = request.extensions().get::<MatchedPath>().map_or("none", |m| m.as_str()).to_string();
    let in_flight = app.http.begin();
    let response = match admit(&app, peer, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            discard(request.into_body()).await;
            problem.into_response()
        }
    };
    let response = placed(response, path);
    in_flight.end(&method, &route, response.status().as_u16(), started.elapsed());
    response
}

/// Adds to a problem where it was.
fn placed(response: Response, path: String) -> Response {
    let Some(problem) = response.extensions().get::<Problem>().cloned() else { return response };
    // What others have set, as the methods that are allowed, stays.
    let headers = response.headers().clone();
    let mut placed = problem.at(path).into_response();
    for (name, value) in &headers {
        if name != header::CONTENT_LENGTH {
            placed.headers_mut().insert(name, value.clone());
        }
    }
    placed
}

fn admit(app: &Shared, peer: SocketAddr, request: &mut Request) -> Result<(), Problem> {
    let host = called_as(request)?;
    called_rightly(app, &host)?;
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    if !reads {
        from_here(request.headers(), &host)?;
    }
    let probe = PROBES.contains(&request.uri().path());
    // On the machine itself all may read; whoever is elsewhere shows the token for everything but the probes.
    let free = reads && (probe || peer.ip().to_canonical().is_loopback());
    if !free {
        authorized(app, request.headers())?;
    }
    if !probe {
        let permit = app.requests.clone().try_acquire_owned().map_err(|_| {
            Problem::new(Kind::Busy, format!("{REQUESTS_MAX} requests are being answered, and no more at one time"))
        })?;
        request.extensions_mut().insert(Permit(Arc::new(permit)));
    }
    if *app.stopping.borrow() && !probe {
        return Err(Problem::new(Kind::Stopping, "the host is stopping"));
    }
    Ok(())
}

/// The name and port by which the host was called: the header, and the address in the request line where there is one.
fn called_as(request: &Request) -> Result<Authority, Problem> {
    let refused = |detail: &str| Problem::new(Kind::HostRefused, detail);
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let host = host.filter(|_| more.is_none()).ok_or_else(|| refused("one `host` header is needed"))?;
    let host: Authority = host
        .to_str()
        .ok()
        .and_then(|h| h.parse().ok())
        .ok_or_else(|| refused("the `host` header is no name and port"))?;
    match request.uri().authority() {
        Some(other) if *other != host => Err(refused("the address and the `host` header name different hosts")),
        _ => Ok(host),
    }
}

/// A page whose name was made to point to this machine would call by that name. An address cannot be made to.
fn called_rightly(app: &Shared, host: &Authority) -> Result<(), Problem> {
    let name = host.host();
    let address: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let own = app.config.listen.ip();
    let right = match address {
        Some(address) => address.to_canonical().is_loopback() || address == own || own.is_unspecified(),
        None => name.eq_ignore_ascii_case("localhost") || app.config.names.iter().any(|n| n.eq_ignore_ascii_case(name)),
    };
    if right {
        return Ok(());
    }
    Err(Problem::new(Kind::HostRefused, format!("this host is not called `{name}`; call it by its address, {own}")))
}

/// Browsers say which page a call comes from; programs say nothing.
fn from_here(headers: &HeaderMap, host: &Authority) -> Result<(), Problem> {
    if let Some(origin) = headers.get(header::ORIGIN) {
        let same = origin.to_str().ok().and_then(|o| o.split_once("://")).is_some_and(|(_, at)| at == host.as_str());
        if !same {
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            return Err(Problem::new(Kind::OriginRefused, format!("a page of {origin} may not change anything here")));
        }
    }
    match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(Problem::new(Kind::OriginRefused, "a page from elsewhere may not change anything here")),
    }
}

fn authorized(app: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(first), None) = (shown.next(), shown.next()) else {
        let detail = "this call needs `Authorization: Bearer` with the token of the host, the file `token` in its state directory";
        return Err(Problem::new(Kind::TokenMissing, detail));
    };
    let bytes = first.as_bytes();
    let token = match bytes.split_first_chunk::<7>() {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
        _ => return Err(Problem::new(Kind::TokenMissing, "`Authorization` has another scheme; `Bearer` is needed")),
    };
    if app.config.token.is(token) {
        return Ok(());
    }
    Err(Problem::new(Kind::TokenWrong, "the token is another host's, or was replaced; read the file again"))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::{Config, Token};

    /// Status of a call from an address, which no test can have at the other end of a socket.
    fn called_from(peer: &str, method: &str, path: &str, token: Option<&str>) -> u16 {
        let config = Config::new("0.0.0.0:7070".parse().unwrap(), Token::new("0123456789abcdef").unwrap());
        let (_stop, stopping) = tokio::sync::watch::channel(false);
        let shared = Shared::new(Arc::new(crate::fake::Fake::default()), config, stopping);
        let service = TowerToHyperService::new(crate::router::router(shared));
        let mut request = Request::builder().method(method).uri(path).header("host", "10.0.0.1:7070");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 1)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(service.call(request)).unwrap().status().as_u16()
    }

    #[test]
    fn from_elsewhere_reading_needs_the_token_too() {
        for peer in ["10.0.0.7", "2001:db8::7", "::ffff:10.0.0.7"] {
            assert_eq!(called_from(peer, "GET", "/v1/pipeline", None), 401, "{peer}");
            assert_eq!(called_from(peer, "GET", "/metrics", None), 401, "{peer}");
            assert_eq!(called_from(peer, "GET", "/v1/pipeline", Some("0123456789abcdef")), 200, "{peer}");
            assert_eq!(called_from(peer, "GET", "/healthz", None), 200, "{peer}");
            assert_eq!(called_from(peer, "HEAD", "/readyz", None), 200, "{peer}");
            assert_eq!(called_from(peer, "POST", "/readyz", None), 401, "{peer}");
        }
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.9"] {
            assert_eq!(called_from(peer, "GET", "/v1/pipeline", None), 200, "{peer}");
            assert_eq!(called_from(peer, "POST", "/v1/functions/f/rollback", None), 401, "{peer}");
        }
    }
}
