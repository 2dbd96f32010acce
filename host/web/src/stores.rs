//! Handlers for stores: which there are, and what they have, as of the last commit. What a store is, the host knows.
//!
//! A key stands in the path, or as a bound behind the `?`, as percent-encoded UTF-8, or in base64 (either alphabet, with its padding or
//! without) where `key-encoding` says so. An answer that does not hold everything has `next`, which `cursor` takes as it is.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde::Deserialize;

use crate::api::{Place, Question, What};
use crate::router::{Caller, Name, Names, Params, json};
use crate::{Kind, Problem, QUESTIONS_MAX, ROWS_DEFAULT, ROWS_MAX};

/// Bytes of a partition's number in a cursor.
const PARTITION_BYTES: usize = 4;

/// Takes padding or leaves it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::BadParameter, detail)
}

/// A place, as `next` says it: the partition's number and what the host said of it, in base64.
pub fn place_text(place: &Place) -> String {
    URL_SAFE_NO_PAD.encode([&place.partition.to_be_bytes()[..], &place.at].concat())
}

fn place(text: &str) -> Result<Place, Problem> {
    let wrong = || bad(format!("cursor: `{text}` is not what an answer's `next` said"));
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    let (partition, at) = bytes.split_first_chunk::<PARTITION_BYTES>().ok_or_else(wrong)?;
    Ok(Place { partition: u32::from_be_bytes(*partition), at: at.to_vec() })
}

/// How keys stand in a request.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyEncoding {
    #[default]
    Utf8,
    Base64,
}

impl KeyEncoding {
    fn read(self, name: &str, text: String) -> Result<Vec<u8>, Problem> {
        match self {
            KeyEncoding::Utf8 => Ok(text.into_bytes()),
            KeyEncoding::Base64 => BASE64
                .decode(text.replace('+', "-").replace('/', "_"))
                .map_err(|why| bad(format!("{name}: `{text}` is not base64: {why}"))),
        }
    }
}

/// What all questions may say.
#[derive(Debug)]
struct Bounds {
    partition: Option<u32>,
    limit: Option<usize>,
    cursor: Option<String>,
    values: Told,
}

/// What is told of states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Told {
    /// They themselves.
    #[default]
    Stored,
    /// What leaves the step of them.
    Results,
}

impl Bounds {
    fn question(self, store: String, what: What) -> Result<Question, Problem> {
        let limit = match self.limit.unwrap_or(ROWS_DEFAULT) {
            limit @ 1..=ROWS_MAX => limit,
            other => return Err(bad(format!("limit: {other} rows; 1 to {ROWS_MAX} are given at a time"))),
        };
        let after = self.cursor.as_deref().map(place).transpose()?;
        if let (Some(partition), Some(after)) = (self.partition, &after)
            && after.partition != partition
        {
            return Err(bad(format!("cursor: it is of partition {}, not of {partition}", after.partition)));
        }
        let results = self.values == Told::Results;
        Ok(Question { store, what, partition: self.partition, limit, after, results })
    }
}

/// Parameters of a question about a key.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct KeyParams {
    from: Option<i64>,
    to: Option<i64>,
    key_encoding: KeyEncoding,
    partition: Option<u32>,
    limit: Option<usize>,
    cursor: Option<String>,
    values: Told,
}

/// Parameters of a question about a range of keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct KeysParams {
    from: Option<String>,
    to: Option<String>,
    window_from: Option<i64>,
    window_to: Option<i64>,
    key_encoding: KeyEncoding,
    partition: Option<u32>,
    limit: Option<usize>,
    cursor: Option<String>,
    values: Told,
}

/// Parameters of a question about windows.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct WindowsParams {
    from: Option<i64>,
    to: Option<i64>,
    partition: Option<u32>,
    limit: Option<usize>,
    cursor: Option<String>,
    values: Told,
}

pub(crate) async fn list(caller: Caller) -> Result<Response, Problem> {
    Ok(json(&caller.ask(|api| Ok(api.stores())).await?))
}

pub(crate) async fn key(
    caller: Caller,
    uri: Uri,
    Names(store, key): Names,
    Params(params): Params<KeyParams>,
) -> Result<Response, Problem> {
    let KeyParams { from, to, key_encoding, partition, limit, cursor, values } = params;
    let what = What::Key { key: key_encoding.read("the key", key)?, from, to };
    answer(&caller, &uri, Bounds { partition, limit, cursor, values }.question(store, what)?).await
}

pub(crate) async fn keys(
    caller: Caller,
    uri: Uri,
    Name(store): Name,
    Params(params): Params<KeysParams>,
) -> Result<Response, Problem> {
    let KeysParams { from, to, window_from, window_to, key_encoding, partition, limit, cursor, values } = params;
    let from = key_encoding.read("from", from.unwrap_or_default())?;
    let to = to.map(|to| key_encoding.read("to", to)).transpose()?;
    answer(
        &caller,
        &uri,
        Bounds { partition, limit, cursor, values }
            .question(store, What::Keys { from, to, windows: (window_from, window_to) })?,
    )
    .await
}

pub(crate) async fn windows(
    caller: Caller,
    uri: Uri,
    Name(store): Name,
    Params(params): Params<WindowsParams>,
) -> Result<Response, Problem> {
    let WindowsParams { from, to, partition, limit, cursor, values } = params;
    answer(&caller, &uri, Bounds { partition, limit, cursor, values }.question(store, What::Windows { from, to })?)
        .await
}

/// Few at one time, so that workers have the rest of the machine.
async fn answer(caller: &Caller, uri: &Uri, question: Question) -> Result<Response, Problem> {
    let busy = |_| {
        Problem::new(
            Kind::Busy,
            format!("{QUESTIONS_MAX} questions to stores are being answered, and no more at one time"),
        )
    };
    let turn = caller.app.questions.clone().try_acquire_owned().map_err(busy)?;
    let asked = caller.ask(move |api| {
        // Held until it is answered, also when the caller has gone away.
        let _turn = turn;
        api.rows(&question)
    });
    match asked.await {
        Ok(rows) => Ok(json(&rows)),
        Err(problem) => Ok(elsewhere(problem, uri)),
    }
}

/// The same question at the host that has the answer.
fn elsewhere(problem: Problem, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let location = problem.host.as_ref().filter(|_| problem.kind() == Some(Kind::Elsewhere));
    let location =
        location.and_then(|host| HeaderValue::try_from(format!("{}{path}", host.trim_end_matches('/'))).ok());
    let mut response = problem.into_response();
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        for at in [&b""[..], b"\x01key", &[0xff; 40]] {
            let there = Place { partition: 70_000, at: at.to_vec() };
            assert_eq!(place(&place_text(&there)).unwrap(), there);
        }
        for wrong in ["", "AAA", "AAAA", "AAAAA=", "ö"] {
            let problem = place(wrong).unwrap_err();
            assert_eq!(problem.kind(), Some(Kind::BadParameter), "{wrong}");
        }
    }

    #[test]
    fn keys_in_base64_may_have_either_alphabet_and_padding_or_none() {
        let read = |text: &str| KeyEncoding::Base64.read("from", text.into()).map_err(|why| why.detail.clone());
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            assert_eq!(read(text).unwrap(), [0xfb, 0xff], "{text}");
        }
        assert!(read("a").unwrap_err().starts_with("from: `a` is not base64"));
        assert_eq!(KeyEncoding::Utf8.read("from", "-_8=".into()).unwrap(), b"-_8=");
    }
}
