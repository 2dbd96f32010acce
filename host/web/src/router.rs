//! Which path leads where, and what every handler shares. Not the handlers (`routes`, `topics`), not who may call (`guard`).

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::server::Config;
use crate::{
    Api, BODY_MS_MAX, DEPLOYS_MAX, DISCARD_BYTES_MAX, Kind, Problem, QUESTIONS_MAX, REQUESTS_MAX, WAITING_MAX,
};
use crate::{guard, inside, metrics, routes, stores, together, topics};

/// What all handlers share.
pub(crate) struct Shared {
    pub api: Arc<dyn Api>,
    pub config: Config,
    pub requests: Arc<Semaphore>,
    pub waiting: Arc<Semaphore>,
    pub deploys: Arc<Semaphore>,
    pub questions: Arc<Semaphore>,
    pub http: metrics::Http,
    /// Becomes true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

/// The state of the router.
pub(crate) type App = Arc<Shared>;

impl Shared {
    pub fn new(api: Arc<dyn Api>, config: Config, stopping: watch::Receiver<bool>) -> App {
        Arc::new(Self {
            api,
            config,
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            deploys: Arc::new(Semaphore::new(DEPLOYS_MAX)),
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            http: metrics::Http::default(),
            stopping,
        })
    }
}

/// All paths. `openapi` describes the same ones; a test compares.
pub(crate) fn paths() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/healthz", get(routes::health)),
        ("/readyz", get(routes::ready)),
        ("/metrics", get(routes::metrics)),
        ("/v1/openapi.json", get(routes::openapi)),
        ("/v1/problems", get(routes::problems)),
        ("/v1/problems/{name}", get(routes::problem)),
        ("/v1/pipeline", get(routes::pipeline)),
        ("/v1/pipeline/pause", post(routes::pause)),
        ("/v1/pipeline/resume", post(routes::resume)),
        ("/v1/tasks", get(routes::tasks)),
        ("/v1/functions", get(routes::functions)),
        ("/v1/functions/{name}", put(routes::deploy)),
        ("/v1/deploys", post(together::deploy)),
        ("/v1/functions/{name}/history", get(routes::history)),
        ("/v1/functions/{name}/component", get(routes::component)),
        ("/v1/functions/{name}/probation", get(routes::probation).delete(routes::abandon)),
        ("/v1/functions/{name}/promote", post(routes::promote)),
        ("/v1/functions/{name}/rollback", post(routes::rollback)),
        ("/v1/functions/{name}/profile", get(inside::profile)),
        ("/v1/functions/{name}/replay", post(inside::replay)),
        ("/v1/logs", get(inside::logs)),
        ("/v1/stores", get(stores::list)),
        ("/v1/stores/{store}/keys", get(stores::keys)),
        ("/v1/stores/{store}/keys/{key}", get(stores::key)),
        ("/v1/stores/{store}/windows", get(stores::windows)),
        ("/v1/topics", get(topics::list)),
        ("/v1/topics/{topic}/records", get(topics::read).post(topics::append)),
    ]
}

/// The router with its guard.
pub(crate) fn router(app: App) -> Router {
    let routed = paths().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routed
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

async fn unknown_path(uri: Uri) -> Problem {
    let detail = format!("there is nothing at {}; /v1/openapi.json says what there is", uri.path());
    Problem::new(Kind::UnknownPath, detail)
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Kind::MethodNotAllowed, format!("{method} does not fit {}", uri.path()))
}

/// Who calls: how handlers reach the host.
pub(crate) struct Caller {
    pub app: App,
    permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// A request's right to be answered. The guard puts it in; work on a blocking thread keeps it, also when the caller is gone.
#[derive(Clone)]
pub(crate) struct Permit(pub Arc<OwnedSemaphorePermit>);

impl FromRequestParts<App> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let permit = parts.extensions.get::<Permit>().map(|p| p.0.clone());
        Ok(Self { app: app.clone(), permit })
    }
}

impl Caller {
    /// Asks the host, on a thread that may block. What was begun is ended, also when the caller goes away meanwhile.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Api) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let (api, permit) = (self.app.api.clone(), self.permit.clone());
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(api.as_ref());
            drop(permit);
            answer
        });
        answer.await.unwrap_or_else(|why| {
            tracing::error!(error = %why, "a call of the API failed");
            Err(Problem::new(Kind::Internal, "the host failed while it answered; its log says more"))
        })
    }
}

/// Parameters behind the `?`, with errors in our form.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(why) => {
                let text = why.body_text();
                let said = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::new(Kind::BadParameter, said))
            }
        }
    }
}

/// The name in the path, with errors in our form.
pub(crate) struct Name(pub String);

impl FromRequestParts<App> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        Ok(Self(named(parts, app).await?))
    }
}

/// The names in the path, with errors in our form.
pub(crate) struct Names(pub String, pub String);

impl FromRequestParts<App> for Names {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (one, other) = named(parts, app).await?;
        Ok(Self(one, other))
    }
}

async fn named<T: DeserializeOwned + Send>(parts: &mut Parts, app: &App) -> Result<T, Problem> {
    match Path::<T>::from_request_parts(parts, app).await {
        Ok(Path(named)) => Ok(named),
        Err(why) => {
            let text = why.body_text();
            Err(Problem::new(Kind::BadParameter, text.strip_prefix("Invalid URL: ").unwrap_or(&text)))
        }
    }
}

/// An answer of JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => typed("application/json", text),
        Err(why) => Problem::new(Kind::Internal, format!("the answer is not JSON: {why}")).into_response(),
    }
}

/// An answer of a media type.
pub(crate) fn typed(media_type: &'static str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))], body).into_response()
}

/// Reads a body of at most `bytes_max`.
///
/// # Errors
/// When it is larger, does not come in time, or breaks off.
pub(crate) async fn read_body(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let limit = std::time::Duration::from_millis(BODY_MS_MAX);
    match tokio::time::timeout(limit, collect(body, bytes_max)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(Kind::BodySlow, format!("the body did not come within {} s", limit.as_secs()))),
    }
}

async fn collect(body: Body, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    use hyper::body::Body as _;
    let expected = body.size_hint().lower();
    if expected > bytes_max as u64 {
        discard(body).await;
        return Err(too_large(bytes_max));
    }
    let mut out = Vec::with_capacity(expected as usize);
    let mut body = std::pin::pin!(body);
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let broken = |why| Problem::new(Kind::BadBody, format!("the body broke off: {why}"));
        // Trailers are passed over.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if out.len() + data.len() > bytes_max {
            discard_pinned(body).await;
            return Err(too_large(bytes_max));
        }
        out.extend_from_slice(&data);
    }
    Ok(out)
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("the body is larger than the {bytes_max} bytes that are taken here"))
}

/// Reads what a refused sender still sends, within bounds. Closing on it would reset the connection before the refusal is read.
pub(crate) async fn discard(body: Body) {
    discard_pinned(std::pin::pin!(body)).await;
}

async fn discard_pinned(mut body: std::pin::Pin<&mut Body>) {
    use hyper::body::Body as _;
    let mut dropped = 0;
    let rest = async {
        while let Some(Ok(frame)) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await {
            dropped += frame.data_ref().map_or(0, |data| data.len());
            if dropped > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // When the time is over the connection is closed as it is.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(crate::STOP_MS_MAX), rest).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::{Bytes, Frame};

    use super::*;

    /// A body of which nothing comes.
    struct Never;

    impl hyper::body::Body for Never {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_body_that_does_not_come_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let started = std::time::Instant::now();
        let problem = runtime.block_on(async {
            let before = tokio::time::Instant::now();
            let problem = read_body(Body::new(Never), 10).await.unwrap_err();
            assert_eq!(before.elapsed().as_millis(), u128::from(BODY_MS_MAX));
            problem
        });
        assert_eq!(problem.kind(), Some(Kind::BodySlow));
        assert!(started.elapsed() < std::time::Duration::from_millis(BODY_MS_MAX), "the clock is not the wall's");
    }
}
