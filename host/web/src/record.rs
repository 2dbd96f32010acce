//! Records as lines: JSON lines and raw lines, read and written. Pure: text in, records out.
//!
//! A JSON line is `{topic, partition, offset, key, value, timestamp, headers}`. Bytes that are UTF-8 stand as a string, others
//! as `{"base64": …}`; null is null; headers are a list of `[name, value]`. When lines are read, `topic` and `offset` are
//! passed over, so that what was consumed can be produced again.
//! A raw line is a value, or a key and a value with a separator between; every byte up to the newline belongs to it.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::api::{NewHeader, NewRecord, Record};
use crate::{Kind, Problem, RECORDS_MAX};

/// What raw output has in the place of a null, as Kafka's console consumer does; only JSON lines tell it from the text.
const RAW_NULL: &[u8] = b"null";

/// Bytes or null, as JSON has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datum<'a>(pub Option<Cow<'a, [u8]>>);

impl Serialize for Datum<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(bytes) = &self.0 else { return serializer.serialize_none() };
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(bytes))?;
                map.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Datum<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Datum<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, null, or {\"base64\": …} (JSON inside a record is written as a string)")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Datum(None))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Datum(Some(Cow::Borrowed(text.as_bytes()))))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Datum(Some(Cow::Owned(text.as_bytes().to_vec()))))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let expected = "an object in the place of bytes is {\"base64\": …} and nothing else";
                if map.next_key::<Cow<'de, str>>()?.as_deref() != Some("base64") {
                    return Err(de::Error::custom(expected));
                }
                let text: Cow<'de, str> = map.next_value()?;
                let bytes = STANDARD.decode(text.as_bytes());
                let bytes = bytes.map_err(|why| de::Error::custom(format_args!("not base64: {why}")))?;
                match map.next_key::<Cow<'de, str>>()? {
                    None => Ok(Datum(Some(Cow::Owned(bytes)))),
                    Some(_) => Err(de::Error::custom(expected)),
                }
            }
        }
        deserializer.deserialize_any(Visit)
    }
}

/// A window's place, as JSON has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Window {
    /// Its start, milliseconds.
    pub start: i64,
    /// Its end, milliseconds, where the key says it: of a session, the time of its last record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
}

/// What keys end in, as Kafka's windowed serializers write them: big-endian numbers of eight bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WindowedKeys {
    /// In nothing: keys are shown as they are.
    #[default]
    None,
    /// In the start of a window.
    Time,
    /// In the end and the start of a session.
    Session,
}

impl std::str::FromStr for WindowedKeys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "false" => Ok(Self::None),
            "true" | "time" => Ok(Self::Time),
            "session" => Ok(Self::Session),
            other => Err(format!("`{other}` is neither `time` nor `session`")),
        }
    }
}

impl fmt::Display for WindowedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "false",
            Self::Time => "time",
            Self::Session => "session",
        })
    }
}

/// A record as a JSON line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line<'a> {
    /// Its topic.
    #[serde(default)]
    pub topic: Option<Cow<'a, str>>,
    /// Its partition.
    #[serde(default)]
    pub partition: Option<u32>,
    /// Its offset.
    #[serde(default)]
    pub offset: Option<i64>,
    /// Its key.
    #[serde(borrow, default)]
    pub key: Datum<'a>,
    /// The window that its key was taken out of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Its value. It must be there: a tombstone says null.
    #[serde(borrow)]
    pub value: Datum<'a>,
    /// Its event time, milliseconds.
    #[serde(default, deserialize_with = "milliseconds")]
    pub timestamp: Option<i64>,
    /// Its headers.
    #[serde(borrow, default)]
    pub headers: Vec<(Datum<'a>, Datum<'a>)>,
}

/// A time or nothing; what else there is gets an error that says the unit.
fn milliseconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Milliseconds;
    impl<'de> serde::de::Visitor<'de> for Milliseconds {
        type Value = Option<i64>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("whole milliseconds since 1970, or null")
        }
        fn visit_i64<E>(self, ms: i64) -> Result<Option<i64>, E> {
            Ok(Some(ms))
        }
        fn visit_u64<E: serde::de::Error>(self, ms: u64) -> Result<Option<i64>, E> {
            let too_late = || E::invalid_value(serde::de::Unexpected::Unsigned(ms), &self);
            i64::try_from(ms).map(Some).map_err(|_| too_late())
        }
        fn visit_unit<E>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }
    }
    deserializer.deserialize_any(Milliseconds)
}

/// How lines are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Between key and value of a raw line; without it there is no key.
    pub key_separator: Option<String>,
    /// Where records go, whatever they say themselves.
    pub partition: Placing,
    /// The timestamp of records that have none; the host's clock without it.
    pub timestamp: Option<i64>,
}

/// Which partition records go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placing {
    /// The one that a record names; else by its key.
    #[default]
    AsGiven,
    /// By their keys, whatever they name.
    ByKey,
    /// This one.
    One(u32),
}

impl Placing {
    fn of(self, given: Option<u32>) -> Option<u32> {
        match self {
            Placing::AsGiven => given,
            Placing::ByKey => None,
            Placing::One(partition) => Some(partition),
        }
    }
}

fn bad_record(line: usize, why: impl fmt::Display) -> Problem {
    let line = u32::try_from(line).unwrap_or(u32::MAX);
    Problem::new(Kind::BadRecord, format!("line {line}: {why}")).at_line(line)
}

fn bounded(records: usize) -> Result<(), Problem> {
    if records <= RECORDS_MAX {
        return Ok(());
    }
    Err(Problem::new(
        Kind::TooManyRecords,
        format!("more than {RECORDS_MAX} records in one request; send fewer at a time"),
    ))
}

/// Lines with their numbers from 1; what stands behind the last newline is a line unless it is empty.
fn lines(body: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let rest = (!body.is_empty()).then(|| body.strip_suffix(b"\n").unwrap_or(body));
    rest.into_iter().flat_map(|b| b.split(|byte| *byte == b'\n')).enumerate().map(|(i, line)| (i + 1, line))
}

/// Reads JSON lines; empty ones are passed over.
///
/// # Errors
/// The first line that is no record; more than [`RECORDS_MAX`].
pub fn read_json<'a>(body: &'a [u8], reading: &Reading) -> Result<Vec<NewRecord<'a>>, Problem> {
    let mut out = Vec::new();
    for (number, line) in lines(body).filter(|(_, line)| !line.trim_ascii().is_empty()) {
        let read: Line<'a> = serde_json::from_slice(line).map_err(|why| bad_json(number, &why))?;
        if read.window.is_some() {
            return Err(bad_record(
                number,
                "it was read with its window taken out of the key; read it without, to write it again",
            ));
        }
        let headers: Result<Vec<NewHeader<'a>>, Problem> = read
            .headers
            .into_iter()
            .map(|(name, value)| match name.0 {
                Some(name) if std::str::from_utf8(&name).is_ok() => Ok((name, value.0)),
                _ => Err(bad_record(number, "the name of a header is a string")),
            })
            .collect();
        bounded(out.len() + 1)?;
        out.push(NewRecord {
            line: number as u32,
            partition: reading.partition.of(read.partition),
            key: read.key.0,
            value: read.value.0,
            timestamp: read.timestamp.or(reading.timestamp),
            headers: headers?,
        });
    }
    Ok(out)
}

/// The column is worth telling, the line that the parser counts is not: it sees one line only.
fn bad_json(number: usize, why: &serde_json::Error) -> Problem {
    let text = why.to_string();
    let said = text.rsplit_once(" at line ").map_or(text.as_str(), |(said, _)| said);
    bad_record(number, format_args!("column {}: {said}", why.column()))
}

/// Reads raw lines, empty ones too.
///
/// # Errors
/// The first line without its separator; more than [`RECORDS_MAX`].
pub fn read_raw<'a>(body: &'a [u8], reading: &Reading) -> Result<Vec<NewRecord<'a>>, Problem> {
    let separator = reading.key_separator.as_deref().map(str::as_bytes);
    let mut out = Vec::new();
    for (number, line) in lines(body) {
        let (key, value) = match separator {
            None => (None, line),
            Some(separator) => match find(line, separator) {
                Some(at) => (Some(Cow::Borrowed(&line[..at])), &line[at + separator.len()..]),
                None => {
                    let shown = String::from_utf8_lossy(separator).escape_debug().to_string();
                    return Err(bad_record(number, format_args!("no `{shown}` between key and value")));
                }
            },
        };
        bounded(out.len() + 1)?;
        out.push(NewRecord {
            line: number as u32,
            partition: reading.partition.of(None),
            key,
            value: Some(Cow::Borrowed(value)),
            timestamp: reading.timestamp,
            headers: Vec::new(),
        });
    }
    Ok(out)
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    line.windows(separator.len().max(1)).position(|w| w == separator)
}

/// The key and its window, where a key is as Kafka's windowed serializers write it. A shorter one is shown as it is.
pub fn windowed_key(key: &[u8], kind: WindowedKeys) -> (&[u8], Option<Window>) {
    let parts = match kind {
        WindowedKeys::None => None,
        WindowedKeys::Time => key.split_last_chunk::<8>().map(|(key, start)| (key, *start, None)),
        WindowedKeys::Session => key.split_last_chunk::<8>().and_then(|(rest, start)| {
            let (key, end) = rest.split_last_chunk::<8>()?;
            Some((key, *start, Some(i64::from_be_bytes(*end))))
        }),
    };
    parts.map_or((key, None), |(key, start, end)| (key, Some(Window { start: i64::from_be_bytes(start), end })))
}

/// How records are to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As JSON lines.
    Json {
        /// Whether keys end in a window, to be shown apart.
        windowed: WindowedKeys,
    },
    /// As raw lines.
    Raw {
        /// Between key and value; without it the value stands alone.
        key_separator: Option<String>,
        /// Whether keys end in a window, to be shown readable: `key@2021-05-01T14:30:00Z`, of a session `key@START/END`.
        windowed: WindowedKeys,
    },
}

impl Writing {
    /// Writes a record and a newline to the end of `out`.
    pub fn write(&self, topic: &str, partition: u32, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Writing::Json { windowed } => json_line(topic, partition, record, *windowed, out),
            Writing::Raw { key_separator, windowed } => {
                if let Some(separator) = key_separator {
                    let (key, window) = split_key(record.key, *windowed);
                    out.extend_from_slice(key.unwrap_or(RAW_NULL));
                    // Writing to a vector cannot fail.
                    if let Some(window) = window {
                        let _ = write!(out, "@{}", Time(window.start));
                    }
                    if let Some(end) = window.and_then(|w| w.end) {
                        let _ = write!(out, "/{}", Time(end));
                    }
                    out.extend_from_slice(separator.as_bytes());
                }
                out.extend_from_slice(record.value.unwrap_or(RAW_NULL));
                out.push(b'\n');
            }
        }
    }
}

fn split_key(key: Option<&[u8]>, windowed: WindowedKeys) -> (Option<&[u8]>, Option<Window>) {
    key.map_or((None, None), |key| {
        let (key, window) = windowed_key(key, windowed);
        (Some(key), window)
    })
}

fn json_line(topic: &str, partition: u32, record: &Record<'_>, windowed: WindowedKeys, out: &mut Vec<u8>) {
    let (key, window) = split_key(record.key, windowed);
    let datum = |bytes: Option<&'_ [u8]>| Datum(bytes.map(|b| Cow::Owned(b.to_vec())));
    let line = Line {
        topic: Some(Cow::Borrowed(topic)),
        partition: Some(partition),
        offset: Some(record.offset),
        key: Datum(key.map(Cow::Borrowed)),
        window,
        value: Datum(record.value.map(Cow::Borrowed)),
        timestamp: Some(record.timestamp),
        headers: record.headers.iter().map(|(n, v)| (datum(Some(n)), datum(*v))).collect(),
    };
    // Nothing in it can fail to be JSON, and a vector takes everything.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

/// A time for people, in UTC; the number where no calendar has it.
pub struct Time(pub i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
