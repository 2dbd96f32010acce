//! A deploy of several functions: one line that names them, as JSON, then their components, one behind the other.
//!
//! ```text
//! [{"function":"f","bytes":5},{"function":"g","bytes":3}]
//! fffffggg
//! ```

use axum::body::Body;
use axum::response::Response;
use serde::Deserialize;

use crate::api::{Deploy, Trying};
use crate::router::{Caller, Params, json, read_body};
use crate::routes::{ORIGIN_CHARS_MAX, meant, tried};
use crate::types::Offer;
use crate::{COMPONENT_BYTES_MAX, DEPLOYS_MAX, Kind, Problem, SETTINGS_BYTES_MAX, TOGETHER_MAX};

/// What the body is.
pub const MEDIA_TYPE: &str = "application/vnd.millstream.components";

/// Bytes of the first line.
pub(crate) const LINE_BYTES_MAX: usize = TOGETHER_MAX * (2 * SETTINGS_BYTES_MAX);

/// Parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TogetherParams {
    pipeline: Option<String>,
    probation: Option<String>,
    replay: Option<u64>,
}

pub(crate) async fn deploy(
    caller: Caller,
    Params(params): Params<TogetherParams>,
    body: Body,
) -> Result<Response, Problem> {
    let tried = match tried(params.probation.as_deref(), params.replay) {
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
    let body = read_body(body, LINE_BYTES_MAX + 1 + COMPONENT_BYTES_MAX).await?;
    let deployed = caller.ask(move |api| {
        // Held until the work is done, also when the caller has gone away.
        let _one = one;
        meant(api, params.pipeline.as_deref())?;
        let offers = split(&body)?;
        let settings: Vec<Option<String>> = offers.iter().map(|(offer, _)| settings_of(offer)).collect();
        let both = offers.iter().zip(&settings);
        let deploys: Vec<Deploy<'_>> =
            both.map(|((offer, component), settings)| named(offer, component, settings, tried)).collect();
        api.deploy(&deploys)
    });
    Ok(json(&deployed.await?))
}

fn named<'a>(
    offer: &'a Offer,
    component: &'a [u8],
    settings: &'a Option<String>,
    (probation, replay): (Trying, u64),
) -> Deploy<'a> {
    Deploy {
        function: &offer.function,
        component,
        settings: settings.as_deref(),
        origin: offer.origin.as_deref().unwrap_or("HTTP"),
        signature: offer.signature.as_deref().unwrap_or_default(),
        probation,
        replay,
    }
}

fn settings_of(offer: &Offer) -> Option<String> {
    offer.settings.as_ref().map(|settings| serde_json::Value::Object(settings.clone()).to_string())
}

/// Takes a body apart.
fn split(body: &[u8]) -> Result<Vec<(Offer, &[u8])>, Problem> {
    let bad = |detail: String| Problem::new(Kind::BadBody, detail);
    let end = body.iter().take(LINE_BYTES_MAX + 1).position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| {
        bad(format!(
            "there is no end of a line in its first {LINE_BYTES_MAX} bytes: the first line names what is deployed"
        ))
    })?;
    let (line, mut rest) = (&body[..end], &body[end + 1..]);
    let offers: Vec<Offer> = serde_json::from_slice(line).map_err(|why| {
        bad(format!("its first line is not a list such as [{{\"function\": \"f\", \"bytes\": 123}}]: {why}"))
    })?;
    if offers.is_empty() || offers.len() > TOGETHER_MAX {
        return Err(bad(format!("{} functions are named; 1 to {TOGETHER_MAX} may be", offers.len())));
    }
    let mut out: Vec<(Offer, &[u8])> = Vec::new();
    for offer in offers {
        let name = &offer.function;
        if out.iter().any(|(other, _)| other.function == *name) {
            return Err(bad(format!("`{name}` is named twice")));
        }
        if offer.bytes == 0 || offer.bytes > rest.len() {
            return Err(bad(format!("`{name}`: a component of {} bytes; {} bytes follow", offer.bytes, rest.len())));
        }
        let bytes = settings_of(&offer).map_or(0, |settings| settings.len());
        if bytes > SETTINGS_BYTES_MAX {
            return Err(bad(format!("settings of `{name}`: {bytes} bytes; at most {SETTINGS_BYTES_MAX} are taken")));
        }
        let chars = offer.origin.as_deref().map_or(0, |origin| origin.chars().count());
        if chars > ORIGIN_CHARS_MAX {
            return Err(bad(format!("origin of `{name}`: {chars} characters; at most {ORIGIN_CHARS_MAX} are taken")));
        }
        let (component, behind) = rest.split_at(offer.bytes);
        rest = behind;
        out.push((offer, component));
    }
    if !rest.is_empty() {
        return Err(bad(format!("{} bytes follow behind the last component", rest.len())));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is_bad(body: &[u8], part: &str) {
        let problem = split(body).unwrap_err();
        assert!(problem.kind() == Some(Kind::BadBody) && problem.detail.contains(part), "{problem:?}, not {part}");
    }

    #[test]
    fn components_stand_behind_the_line_that_names_them() {
        let body =
            b"[{\"function\":\"f\",\"bytes\":2,\"settings\":{\"a\":1}},{\"function\":\"g\",\"bytes\":3}]\na\nbcd";
        let all = split(body).unwrap();
        let told: Vec<_> = all.iter().map(|(offer, bytes)| (offer.function.as_str(), *bytes)).collect();
        assert_eq!(told, [("f", &b"a\n"[..]), ("g", b"bcd")]);
        assert_eq!([settings_of(&all[0].0), settings_of(&all[1].0)], [Some("{\"a\":1}".into()), None]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let one = |more: &str, rest: &str| format!("[{{\"function\":\"f\",\"bytes\":2{more}}}]\n{rest}").into_bytes();
        assert!(split(&one("", "ab")).is_ok());
        is_bad(b"", "no end of a line");
        is_bad(&vec![b' '; LINE_BYTES_MAX + 2], "no end of a line");
        is_bad(b"{}\nab", "not a list");
        is_bad(b"[]\n", "0 functions");
        is_bad(&one(",\"more\":1", "ab"), "unknown field");
        is_bad(&one("", "a"), "1 bytes follow");
        is_bad(&one("", "abc"), "1 bytes follow behind");
        is_bad(b"[{\"function\":\"f\",\"bytes\":0}]\n", "0 bytes");
        is_bad(b"[{\"function\":\"f\",\"bytes\":1},{\"function\":\"f\",\"bytes\":1}]\nab", "named twice");
        let settings = |bytes: usize| format!(",\"settings\":{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(split(&one(&settings(SETTINGS_BYTES_MAX), "ab")).is_ok());
        is_bad(&one(&settings(SETTINGS_BYTES_MAX + 1), "ab"), "settings of `f`");
        let origin = |chars: usize| format!(",\"origin\":\"{}\"", "o".repeat(chars));
        assert!(split(&one(&origin(ORIGIN_CHARS_MAX), "ab")).is_ok());
        is_bad(&one(&origin(ORIGIN_CHARS_MAX + 1), "ab"), "origin of `f`");
        let many = |n: usize| {
            let offers = (0..n).map(|i| format!("{{\"function\":\"f{i}\",\"bytes\":1}}")).collect::<Vec<_>>();
            format!("[{}]\n{}", offers.join(","), "x".repeat(n)).into_bytes()
        };
        assert_eq!(split(&many(TOGETHER_MAX)).unwrap().len(), TOGETHER_MAX);
        is_bad(&many(TOGETHER_MAX + 1), "17 functions");
    }
}
