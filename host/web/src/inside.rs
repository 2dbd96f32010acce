//! Handlers for what goes on inside of functions. Thin: the host answers, this tells it.

use axum::body::Body;
use axum::response::Response;
use serde::Deserialize;

use crate::api::inside::{AskedLogs, AskedProfile, AskedReplay, LOG_LINES_DEFAULT, LOG_LINES_MAX, PROFILE_SECONDS_MAX};
use crate::router::{Caller, Name, Params, json, read_body};
use crate::routes::meant;
use crate::{COMPONENT_BYTES_MAX, DEPLOYS_MAX, Kind, Problem};

/// How long a function is watched where nobody says, seconds.
const PROFILE_SECONDS: u32 = 10;

/// Levels of log lines, the least important first.
pub const LEVELS: [&str; 5] = ["trace", "debug", "info", "warn", "error"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OfLogs {
    pipeline: Option<String>,
    function: Option<String>,
    version: Option<u64>,
    level: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

pub(crate) async fn logs(caller: Caller, Params(params): Params<OfLogs>) -> Result<Response, Problem> {
    let bad = |detail: String| Err(Problem::new(Kind::BadParameter, detail));
    if let Some(level) = params.level.as_deref().filter(|level| !LEVELS.contains(level)) {
        return bad(format!("level: `{level}` is none; there are: {}", LEVELS.join(", ")));
    }
    if params.version.is_some() && params.function.is_none() {
        return bad("version: it needs `function` beside it".into());
    }
    let limit = params.limit.unwrap_or(LOG_LINES_DEFAULT);
    if limit == 0 || limit > LOG_LINES_MAX {
        return bad(format!("limit: {limit}; it can be 1 to {LOG_LINES_MAX}"));
    }
    let logs = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        let OfLogs { function, version, level, after, .. } = params;
        api.logs(&AskedLogs { function, version, level, after, limit })
    });
    Ok(json(&logs.await?))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OfProfile {
    pipeline: Option<String>,
    version: Option<u64>,
    seconds: Option<u32>,
}

pub(crate) async fn profile(
    caller: Caller,
    Name(function): Name,
    Params(params): Params<OfProfile>,
) -> Result<Response, Problem> {
    let seconds = params.seconds.unwrap_or(PROFILE_SECONDS);
    if seconds == 0 || seconds > PROFILE_SECONDS_MAX {
        let detail = format!("seconds: {seconds}; it can be 1 to {PROFILE_SECONDS_MAX}");
        return Err(Problem::new(Kind::BadParameter, detail));
    }
    let profile = caller.ask(move |api| {
        meant(api, params.pipeline.as_deref())?;
        api.profile(&AskedProfile { function, version: params.version, seconds })
    });
    Ok(json(&profile.await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfReplay {
    pipeline: Option<String>,
    version: Option<u64>,
    topic: String,
    partition: u32,
    offset: i64,
    #[serde(default, rename = "core-dump")]
    core_dump: bool,
}

pub(crate) async fn replay(
    caller: Caller,
    Name(function): Name,
    Params(params): Params<OfReplay>,
    body: Body,
) -> Result<Response, Problem> {
    // It takes as much as a deploy may: a component is received, compiled, run.
    let Ok(one) = caller.app.deploys.clone().try_acquire_owned() else {
        crate::router::discard(body).await;
        let detail = format!("{DEPLOYS_MAX} components are being received or prepared, and no more at one time");
        return Err(Problem::new(Kind::Busy, detail));
    };
    let body = read_body(body, COMPONENT_BYTES_MAX).await?;
    let component = (!body.is_empty()).then_some(body);
    if component.is_some() && params.version.is_some() {
        let detail = "version: a component came with it; leave one of the two out";
        return Err(Problem::new(Kind::BadParameter, detail));
    }
    let replayed = caller.ask(move |api| {
        let _one = one;
        let OfReplay { pipeline, version, topic, partition, offset, core_dump } = params;
        meant(api, pipeline.as_deref())?;
        api.replay(&AskedReplay { function, version, component, topic, partition, offset, core_dump })
    });
    Ok(json(&replayed.await?))
}
