//! Handlers for the pipeline, its tasks and functions, and for who watches it. Thin: the host answers, this tells it.

use axum::body::Body;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Deploy, Trying, replay_of};
use crate::router::{Caller, Name, Params, json, read_body, typed};
use crate::types::{Health, Ready, Rollback};
use crate::{Api, COMPONENT_BYTES_MAX, DEPLOYS_MAX, Kind, Problem, SETTINGS_BYTES_MAX, metrics as families};

/// Bytes of a body that is a small JSON object.
const SMALL_BODY_BYTES_MAX: usize = 4 << 10;

/// Characters of what a deploy says of its origin.
pub(crate) const ORIGIN_CHARS_MAX: usize = 1_024;

pub(crate) async fn health() -> Response {
    json(&Health { status: "alive".into() })
}

pub(crate) async fn ready(caller: Caller) -> Result<Response, Problem> {
    let (reasons, state) = caller.ask(|api| Ok((api.not_ready(), api.pipeline().state))).await?;
    if reasons.is_empty() {
        return Ok(json(&Ready { ready: true, state }));
    }
    Err(Problem::new(Kind::NotReady, "the pipeline is not doing its work").because(reasons))
}

pub(crate) async fn metrics(caller: Caller) -> Result<Response, Problem> {
    let mut text = caller.ask(families::of_host).await?;
    caller.app.http.write(&mut text);
    Ok(typed(families::MEDIA_TYPE, text.into_bytes()))
}

pub(crate) async fn openapi() -> Response {
    json(&crate::openapi())
}

pub(crate) async fn problems() -> Response {
    json(&Kind::ALL.iter().map(|kind| described(*kind)).collect::<Vec<_>>())
}

pub(crate) async fn problem(Name(name): Name) -> Result<Response, Problem> {
    let kind =
        Kind::named(&name).ok_or_else(|| Problem::new(Kind::UnknownPath, format!("no problem is named `{name}`")))?;
    Ok(json(&described(kind)))
}

fn described(kind: Kind) -> Value {
    let (status, name, title, act) = kind.row();
    serde_json::json!({ "type": format!("{}{name}", crate::problem::TYPES), "status": status, "title": title, "act": act })
}

pub(crate) async fn pipeline(caller: Caller) -> Result<Response, Problem> {
    Ok(json(&caller.ask(|api| Ok(api.pipeline())).await?))
}

/// What all calls about functions may say: which pipeline they mean.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Meant {
    pipeline: Option<String>,
}

/// A call that means another pipeline is refused before it does anything.
pub(crate) fn meant(api: &dyn Api, pipeline: Option<&str>) -> Result<(), Problem> {
    let own = api.pipeline().name;
    match pipeline {
        Some(other) if other != own => {
            Err(Problem::new(Kind::OtherPipeline, format!("the pipeline `{own}` runs here, not `{other}`")))
        }
        _ => Ok(()),
    }
}

pub(crate) async fn pause(caller: Caller, Params(params): Params<Meant>) -> Result<Response, Problem> {
    let paused = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.pause()
    });
    Ok(json(&paused.await?))
}

pub(crate) async fn resume(caller: Caller, Params(params): Params<Meant>) -> Result<Response, Problem> {
    let resumed = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.resume()
    });
    Ok(json(&resumed.await?))
}

pub(crate) async fn tasks(caller: Caller, Params(params): Params<Meant>) -> Result<Response, Problem> {
    let tasks = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.tasks()
    });
    Ok(json(&tasks.await?))
}

pub(crate) async fn functions(caller: Caller, Params(params): Params<Meant>) -> Result<Response, Problem> {
    let functions = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.functions()
    });
    Ok(json(&functions.await?))
}

pub(crate) async fn history(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<Meant>,
) -> Result<Response, Problem> {
    let history = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.history(&name)
    });
    Ok(json(&history.await?))
}

/// Which version is meant, besides the pipeline.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OfVersion {
    pipeline: Option<String>,
    version: Option<u64>,
}

pub(crate) async fn component(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<OfVersion>,
) -> Result<Response, Problem> {
    let component = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.component(&name, params.version)
    });
    Ok(typed("application/wasm", component.await?))
}

/// Parameters of a deploy.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeployParams {
    pipeline: Option<String>,
    settings: Option<String>,
    origin: Option<String>,
    probation: Option<String>,
    replay: Option<u64>,
    signature: Option<String>,
}

impl DeployParams {
    /// How the version is tried first, and with how many records from before, where all is well.
    fn check(&self) -> Result<(Trying, u64), Problem> {
        let bad = |detail: String| Err(Problem::new(Kind::BadParameter, detail));
        if let Some(settings) = &self.settings {
            if settings.len() > SETTINGS_BYTES_MAX {
                return bad(format!("settings: {} bytes; at most {SETTINGS_BYTES_MAX} are taken", settings.len()));
            }
            if let Err(why) = serde_json::from_str::<serde_json::Map<String, Value>>(settings) {
                return bad(format!("settings: not a JSON object: {why}"));
            }
        }
        match self.origin.as_deref().map(|o| o.chars().count()) {
            Some(chars) if chars > ORIGIN_CHARS_MAX => {
                bad(format!("origin: {chars} characters; at most {ORIGIN_CHARS_MAX} are taken"))
            }
            _ => tried(self.probation.as_deref(), self.replay),
        }
    }
}

/// How a version is tried first, and with how many records from before.
pub(crate) fn tried(probation: Option<&str>, replay: Option<u64>) -> Result<(Trying, u64), Problem> {
    let bad = |detail: String| Problem::new(Kind::BadParameter, detail);
    let trying = probation.map(str::parse).transpose().map_err(|why| bad(format!("probation: {why}")))?;
    let trying = trying.unwrap_or(Trying::Usual);
    let replay = replay_of(trying, replay).map_err(|why| bad(format!("replay: {why}")))?;
    Ok((trying, replay))
}

pub(crate) async fn deploy(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<DeployParams>,
    body: Body,
) -> Result<Response, Problem> {
    let (probation, replay) = match params.check() {
        Ok(tried) => tried,
        Err(problem) => {
            crate::router::discard(body).await;
            return Err(problem);
        }
    };
    let Ok(one) = caller.app.deploys.clone().try_acquire_owned() else {
        crate::router::discard(body).await;
        let detail = format!("{DEPLOYS_MAX} components are being received or prepared, and no more at one time");
        return Err(Problem::new(Kind::Busy, detail));
    };
    let component = read_body(body, COMPONENT_BYTES_MAX).await?;
    if component.is_empty() {
        return Err(Problem::new(Kind::BadBody, "the body is empty; it must be the component's file"));
    }
    let deployed = caller.ask(move |api| {
        // Held until the work is done, also when the caller has gone away.
        let _one = one;
        meant(api, params.pipeline.as_deref())?;
        let (settings, origin) = (params.settings.as_deref(), params.origin.as_deref().unwrap_or("HTTP"));
        let signature = params.signature.as_deref().unwrap_or_default();
        let deploy = Deploy { function: &name, component: &component, settings, origin, signature, probation, replay };
        let mut together = api.deploy(&[deploy])?;
        together.functions.pop().ok_or_else(|| Problem::new(Kind::Internal, "nothing is told of the deploy"))
    });
    Ok(json(&deployed.await?))
}

pub(crate) async fn probation(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<Meant>,
) -> Result<Response, Problem> {
    let probation = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.probation(&name)
    });
    Ok(json(&probation.await?))
}

pub(crate) async fn promote(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<Meant>,
) -> Result<Response, Problem> {
    let promoted = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.promote(&name)
    });
    Ok(json(&promoted.await?))
}

pub(crate) async fn abandon(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<Meant>,
) -> Result<Response, Problem> {
    let given_up = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.abandon(&name)?;
        api.probation(&name)
    });
    Ok(json(&given_up.await?))
}

pub(crate) async fn rollback(
    caller: Caller,
    Name(name): Name,
    Params(params): Params<Meant>,
    body: Body,
) -> Result<Response, Problem> {
    let body = read_body(body, SMALL_BODY_BYTES_MAX).await?;
    let to = if body.trim_ascii().is_empty() { Rollback::default() } else { small_json(&body)? };
    let Ok(one) = caller.app.deploys.clone().try_acquire_owned() else {
        let detail = format!("{DEPLOYS_MAX} components are being received or prepared, and no more at one time");
        return Err(Problem::new(Kind::Busy, detail));
    };
    let deployed = caller.ask(move |api| {
        let _one = one;
        meant(api, params.pipeline.as_deref())?;
        api.rollback(&name, to.to)
    });
    Ok(json(&deployed.await?))
}

fn small_json(body: &[u8]) -> Result<Rollback, Problem> {
    serde_json::from_slice(body).map_err(|why| Problem::new(Kind::BadBody, format!("not what is expected: {why}")))
}
