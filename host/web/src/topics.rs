//! Handlers for topics: records in, records out. What a line is, `record` says.
//!
//! A reader goes on from the header `millstream-next` of the answer before: `P:OFFSET` for each partition, which `offset`
//! takes as it is. Each partition gets its share of an answer, so that a full one does not hold up the others.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use crate::api::{Append, Mark};
use crate::record::{Placing, Reading, WindowedKeys, Writing, read_json, read_raw};
use crate::router::{Caller, Name, Params, discard, json, read_body, typed};
use crate::types::Topic;
use crate::{ANSWER_BYTES_MAX, RECORDS_BODY_BYTES_MAX, RECORDS_DEFAULT, RECORDS_MAX, WAIT_MS_MAX, WAITING_MAX};
use crate::{Api, Kind, Problem};

/// Media type of JSON lines.
pub const NDJSON: &str = "application/x-ndjson";

/// Media type of raw lines.
pub const RAW: &str = "text/plain";

/// Header of an answer with records: how many.
pub const RECORDS_HEADER: &str = "millstream-records";

/// Header of an answer with records: where to go on, `P:OFFSET` for each partition.
pub const NEXT_HEADER: &str = "millstream-next";

/// Header of an answer with records: where each partition ended when it was read, `P:OFFSET`.
pub const END_HEADER: &str = "millstream-end";

/// Characters of a producer's name.
pub(crate) const PRODUCER_CHARS_MAX: usize = 64;

/// Bytes of the text between key and value.
pub(crate) const SEPARATOR_BYTES_MAX: usize = 64;

/// How long one wait lasts before it is seen whether the caller is still there.
const WAIT_SLICE: Duration = Duration::from_millis(250);

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::BadParameter, detail)
}

fn separator(text: Option<String>) -> Result<Option<String>, Problem> {
    match &text {
        Some(s) if s.is_empty() || s.len() > SEPARATOR_BYTES_MAX || s.contains('\n') => {
            Err(bad(format!("key-separator: it has 1 to {SEPARATOR_BYTES_MAX} bytes and no newline")))
        }
        _ => Ok(text),
    }
}

pub(crate) async fn list(caller: Caller) -> Result<Response, Problem> {
    Ok(json(&caller.ask(|api| api.topics()).await?))
}

/// Parameters of writing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AppendParams {
    partition: Option<String>,
    timestamp: Option<String>,
    key_separator: Option<String>,
    producer: Option<String>,
    sequence: Option<u64>,
}

impl AppendParams {
    fn reading(&self) -> Result<Reading, Problem> {
        let partition = match self.partition.as_deref() {
            None => Placing::AsGiven,
            Some("by-key") => Placing::ByKey,
            Some(number) => Placing::One(
                number
                    .parse()
                    .map_err(|_| bad(format!("partition: `{number}` is neither a partition's number nor `by-key`")))?,
            ),
        };
        let timestamp = match self.timestamp.as_deref() {
            None | Some("now") => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| bad(format!("timestamp: `{text}` is neither `now` nor milliseconds since 1970")))?,
            ),
        };
        Ok(Reading { key_separator: separator(self.key_separator.clone())?, partition, timestamp })
    }

    fn mark(&self) -> Result<Option<Mark<'_>>, Problem> {
        match (self.producer.as_deref(), self.sequence) {
            (None, None) => Ok(None),
            (Some(producer), Some(sequence @ 1..)) => {
                let right = |c: char| c.is_ascii_alphanumeric() || c == '-';
                if producer.is_empty() || producer.len() > PRODUCER_CHARS_MAX || !producer.chars().all(right) {
                    return Err(bad(format!("producer: it has 1 to {PRODUCER_CHARS_MAX} letters, digits and `-`")));
                }
                Ok(Some(Mark { producer, sequence }))
            }
            (Some(_), Some(0)) => Err(bad("sequence: it counts from 1")),
            _ => Err(bad("producer and sequence belong together: both or neither")),
        }
    }
}

/// Which kind of lines a body has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Json,
    Raw,
}

fn lines_of(headers: &HeaderMap) -> Result<Lines, Problem> {
    let coding = headers.get(header::CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?"));
    if let Some(coding) = coding.filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        // Taken as they are, its bytes would become records.
        let detail = format!("the body's coding is `{coding}`; bodies are taken as they are, without one");
        return Err(Problem::new(Kind::MediaType, detail));
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        NDJSON => Ok(Lines::Json),
        RAW => Ok(Lines::Raw),
        other => {
            let detail =
                format!("the body's type is `{other}`; records are {NDJSON} (JSON lines) or {RAW} (raw lines)");
            Err(Problem::new(Kind::MediaType, detail))
        }
    }
}

pub(crate) async fn append(
    caller: Caller,
    Name(topic): Name,
    Params(params): Params<AppendParams>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let checked = lines_of(&headers).and_then(|lines| {
        let reading = params.reading()?;
        params.mark()?;
        if lines == Lines::Json && reading.key_separator.is_some() {
            return Err(bad("key-separator: JSON lines have their keys in them; it is for raw lines"));
        }
        Ok((lines, reading))
    });
    let (lines, reading) = match checked {
        Ok(checked) => checked,
        Err(problem) => {
            discard(body).await;
            return Err(problem);
        }
    };
    let body = read_body(body, RECORDS_BODY_BYTES_MAX).await?;
    let appended = caller.ask(move |api| {
        let records = match lines {
            Lines::Json => read_json(&body, &reading)?,
            Lines::Raw => read_raw(&body, &reading)?,
        };
        api.append(Append { topic: &topic, records, mark: params.mark()? })
    });
    Ok(json(&appended.await?))
}

/// Parameters of reading.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct ReadParams {
    partition: Option<u32>,
    offset: Option<String>,
    max: Option<usize>,
    wait_ms: Option<u64>,
    format: Option<String>,
    key_separator: Option<String>,
    windowed: Option<String>,
}

impl ReadParams {
    fn writing(&self) -> Result<(Writing, &'static str), Problem> {
        let windowed = self.windowed.as_deref().map_or(Ok(WindowedKeys::None), str::parse);
        let windowed = windowed.map_err(|why| bad(format!("windowed: {why}")))?;
        let given = separator(self.key_separator.clone())?;
        match self.format.as_deref().unwrap_or("json") {
            "json" if given.is_some() => {
                Err(bad("key-separator: JSON lines have their keys in them; it is for raw lines"))
            }
            "json" => Ok((Writing::Json { windowed }, NDJSON)),
            "raw" => {
                // Who asks for readable keys wants to see them.
                let key_separator = given.or_else(|| (windowed != WindowedKeys::None).then(|| "\t".to_string()));
                Ok((Writing::Raw { key_separator, windowed }, "text/plain; charset=utf-8"))
            }
            other => Err(bad(format!("format: `{other}` is neither `json` nor `raw`"))),
        }
    }

    fn max(&self) -> Result<usize, Problem> {
        match self.max.unwrap_or(RECORDS_DEFAULT) {
            max @ 1..=RECORDS_MAX => Ok(max),
            other => Err(bad(format!("max: {other} records; 1 to {RECORDS_MAX} are given at a time"))),
        }
    }

    fn wait(&self) -> Result<Duration, Problem> {
        match self.wait_ms.unwrap_or(0) {
            wait @ ..=WAIT_MS_MAX => Ok(Duration::from_millis(wait)),
            other => Err(bad(format!("wait-ms: {other} ms; at most {WAIT_MS_MAX} are waited"))),
        }
    }
}

/// Where to read, a partition and an offset each.
type Cursor = Vec<(u32, i64)>;

/// Turns `earliest`, `latest`, an offset or `P:OFFSET,…` into places to read.
fn cursor(topic: &Topic, partition: Option<u32>, offset: Option<&str>) -> Result<Cursor, Problem> {
    let known = |number: u32| {
        topic.partitions.iter().find(|p| p.partition == number).ok_or_else(|| {
            let count = topic.partitions.len();
            Problem::new(
                Kind::UnknownPartition,
                format!("topic `{}` has {count} partitions, none is {number}", topic.name),
            )
        })
    };
    let offset = offset.unwrap_or("earliest");
    if offset.contains(':') {
        if partition.is_some() {
            return Err(bad("offset: it names partitions already; leave `partition` out"));
        }
        let pair = |text: &str| -> Result<(u32, i64), Problem> {
            let read = text.split_once(':').and_then(|(p, o)| Some((p.parse().ok()?, o.parse().ok()?)));
            let (partition, offset) = read.ok_or_else(|| bad(format!("offset: `{text}` is not PARTITION:OFFSET")))?;
            known(partition)?;
            Ok((partition, offset))
        };
        return offset.split(',').map(pair).collect();
    }
    let one = |p: &crate::types::Partition| -> Result<(u32, i64), Problem> {
        let at = match offset {
            "earliest" => p.start,
            "latest" => p.end,
            text => text.parse().map_err(|_| {
                bad(format!("offset: `{text}` is none of earliest, latest, a number, PARTITION:OFFSET,…"))
            })?,
        };
        Ok((p.partition, at))
    };
    match partition {
        Some(number) => Ok(vec![one(known(number)?)?]),
        None => topic.partitions.iter().map(one).collect(),
    }
}

/// One look at the topic.
struct Look {
    body: Vec<u8>,
    records: usize,
    next: Cursor,
    end: Cursor,
    generation: u64,
}

fn look(api: &dyn Api, name: &str, from: &Cursor, max: usize, writing: &Writing) -> Result<Look, Problem> {
    // Before anything is read: what is written from here on wakes a wait for it.
    let generation = api.generation();
    let ends = api.topic(name)?.partitions;
    let mut look = Look { body: Vec::new(), records: 0, next: Vec::new(), end: Vec::new(), generation };
    let mut bytes_left = ANSWER_BYTES_MAX;
    for (done, (partition, offset)) in from.iter().copied().enumerate() {
        let still = from.len() - done;
        let records_max = (max - look.records).div_ceil(still);
        let bytes_max = (bytes_left / still).max(1);
        let (mut records, mut bytes) = (0, 0);
        let mut next = offset;
        if records_max > 0 {
            next = api.read(name, partition, offset, &mut |record| {
                writing.write(name, partition, &record, &mut look.body);
                records += 1;
                bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                records < records_max && bytes < bytes_max
            })?;
        }
        look.records += records;
        bytes_left = bytes_left.saturating_sub(bytes);
        look.next.push((partition, next));
        // It may have grown since its end was asked for.
        let end = ends.iter().find(|p| p.partition == partition).map_or(next, |p| p.end.max(next));
        look.end.push((partition, end));
    }
    Ok(look)
}

pub(crate) async fn read(
    caller: Caller,
    Name(topic): Name,
    Params(params): Params<ReadParams>,
) -> Result<Response, Problem> {
    let (writing, media_type) = params.writing()?;
    let (max, wait) = (params.max()?, params.wait()?);
    let (partition, offset) = (params.partition, params.offset);
    let name = topic.clone();
    let from = caller.ask(move |api| cursor(&api.topic(&name)?, partition, offset.as_deref())).await?;
    let until = Instant::now() + wait;
    let mut turn = None;
    loop {
        let (name, places, form) = (topic.clone(), from.clone(), writing.clone());
        let found = caller.ask(move |api| look(api, &name, &places, max, &form)).await?;
        let left = until.saturating_duration_since(Instant::now());
        if found.records > 0 || left.is_zero() || *caller.app.stopping.borrow() {
            return Ok(answer(found, media_type));
        }
        if turn.is_none() {
            let full =
                |_| Problem::new(Kind::Busy, format!("{WAITING_MAX} calls wait for records, and no more at one time"));
            turn = Some(caller.app.waiting.clone().try_acquire_owned().map_err(full)?);
        }
        // When the caller goes away this future is dropped between two slices.
        caller
            .ask(move |api| {
                api.wait(found.generation, left.min(WAIT_SLICE));
                Ok(())
            })
            .await?;
    }
}

fn answer(look: Look, media_type: &'static str) -> Response {
    let text = |cursor: &Cursor| {
        let pairs: Vec<String> = cursor.iter().map(|(partition, offset)| format!("{partition}:{offset}")).collect();
        // Digits, colons and commas are what a header may hold.
        HeaderValue::try_from(pairs.join(",")).unwrap_or(HeaderValue::from_static(""))
    };
    let (next, end) = (text(&look.next), text(&look.end));
    let mut response = typed(media_type, look.body);
    response.headers_mut().insert(NEXT_HEADER, next);
    response.headers_mut().insert(END_HEADER, end);
    response.headers_mut().insert(RECORDS_HEADER, HeaderValue::from(look.records));
    response
}
