//! The oracle's own reading and writing of what stands on the wire: envelopes of repartition topics, windowed keys, dead
//! letters. Written from `docs` and tables, not from the engine's code.

use millstream_core::topology::spec::{KeyFormat, SinkSpec};

use super::super::roles::{Header, Rec};

/// What is taken out of a group: value and time.
pub type Old = Option<(Vec<u8>, i64)>;

/// A value of a repartition topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    Record { upstream: u32, lag: i64, window: Option<(i64, i64)>, old: Old, value: Option<Vec<u8>> },
    Marker { upstream: u32, tasks: u32, time: Option<i64>, idle: bool },
}

pub fn put(out: &mut Vec<u8>, mut n: u128) {
    loop {
        let low = (n % 128) as u8;
        n /= 128;
        out.push(if n > 0 { low + 128 } else { low });
        if n == 0 {
            return;
        }
    }
}

pub fn zigzag(n: i64) -> u128 {
    if n >= 0 { n as u128 * 2 } else { (-(i128::from(n) + 1)) as u128 * 2 + 1 }
}

pub fn take(bytes: &mut &[u8]) -> u128 {
    let (mut n, mut factor) = (0, 1);
    loop {
        let (first, rest) = bytes.split_first().expect("an envelope is whole");
        *bytes = rest;
        n += u128::from(first % 128) * factor;
        factor *= 128;
        if *first < 128 {
            return n;
        }
    }
}

pub fn signed(bytes: &mut &[u8]) -> i64 {
    let n = take(bytes);
    if n.is_multiple_of(2) { (n / 2) as i64 } else { (-((n / 2) as i128) - 1) as i64 }
}

/// A record's value with its envelope.
pub fn wrap(upstream: u32, lag: i64, window: Option<(i64, i64)>, old: &Old, value: Option<&[u8]>) -> Vec<u8> {
    let flags = u8::from(value.is_some()) + 2 * u8::from(window.is_some()) + 4 * u8::from(old.is_some());
    let mut out = vec![0x11, flags];
    put(&mut out, upstream.into());
    put(&mut out, lag as u128);
    for bound in window.iter().flat_map(|w| [w.0, w.1]) {
        put(&mut out, zigzag(bound));
    }
    if let Some((value, time)) = old {
        put(&mut out, zigzag(*time));
        put(&mut out, value.len() as u128);
        out.extend_from_slice(value);
    }
    out.extend_from_slice(value.unwrap_or_default());
    out
}

/// A marker.
pub fn marker(upstream: u32, tasks: u32, time: Option<i64>, idle: bool) -> Vec<u8> {
    let mut out = vec![0x12, u8::from(idle) + 2 * u8::from(time.is_some())];
    put(&mut out, upstream.into());
    put(&mut out, tasks.into());
    time.iter().for_each(|t| put(&mut out, zigzag(*t)));
    out
}

/// Opens a value of a repartition topic.
pub fn open(rec: &Rec) -> Opened {
    let bytes = rec.value.as_deref().expect("an envelope is there");
    let (form, flags, mut rest) = (bytes[0], bytes[1], &bytes[2..]);
    let upstream = take(&mut rest) as u32;
    if form == 0x12 {
        let tasks = take(&mut rest) as u32;
        let time = (flags & 2 != 0).then(|| signed(&mut rest));
        return Opened::Marker { upstream, tasks, time, idle: flags & 1 != 0 };
    }
    let lag = take(&mut rest) as i64;
    let window = (flags & 2 != 0).then(|| (signed(&mut rest), signed(&mut rest)));
    let old = (flags & 4 != 0).then(|| {
        let time = signed(&mut rest);
        let len = take(&mut rest) as usize;
        let (old, left) = rest.split_at(len);
        rest = left;
        (old.to_vec(), time)
    });
    Opened::Record { upstream, lag, window, old, value: (flags & 1 != 0).then(|| rest.to_vec()) }
}

/// A result as a sink writes it.
pub fn windowed(mut rec: Rec, window: Option<(i64, i64)>, sink: &SinkSpec, sessions: bool) -> Rec {
    let Some((start, end)) = window else { return rec };
    let key = rec.key.take();
    rec.key = match sink.key_format {
        KeyFormat::Plain => key,
        KeyFormat::Kafka if sessions => {
            Some([key.unwrap_or_default(), end.to_be_bytes().to_vec(), start.to_be_bytes().to_vec()].concat())
        }
        KeyFormat::Kafka => Some([key.unwrap_or_default(), start.to_be_bytes().to_vec()].concat()),
        KeyFormat::Json => {
            let text = key.map_or("null".into(), |k| format!("\"{}\"", String::from_utf8(k).expect("keys are text")));
            Some(format!("{{\"key\":{text},\"start\":{start},\"end\":{end}}}").into_bytes())
        }
    };
    if sink.window_headers || sink.key_format == KeyFormat::Plain {
        rec.headers.extend(bounds(start, end));
    }
    rec
}

fn bounds(start: i64, end: i64) -> [Header; 2] {
    let header = |name: &str, n: i64| (name.as_bytes().to_vec(), Some(n.to_string().into_bytes()));
    [header("window.start", start), header("window.end", end)]
}

/// Why and where a record failed.
pub struct Failure<'a> {
    pub reason: &'a str,
    pub step: &'a str,
    pub function: &'a str,
    /// The number of the function's version.
    pub version: u64,
    /// Topic, partition, offset of a record that was read.
    pub at: Option<(&'a str, u32, i64)>,
}

/// A dead letter, without the message, which is for people.
pub fn dead_letter(mut rec: Rec, window: Option<(i64, i64)>, failure: &Failure<'_>) -> Rec {
    rec.headers.extend(window.iter().flat_map(|w| bounds(w.0, w.1)));
    let mut add = |name: &str, text: String| {
        rec.headers.push((format!("__streams.errors.{name}").into_bytes(), Some(text.into_bytes())));
    };
    add("exception", failure.reason.into());
    if let Some((topic, partition, offset)) = failure.at {
        add("topic", topic.into());
        add("partition", partition.to_string());
        add("offset", offset.to_string());
    }
    add("step", failure.step.into());
    add("function", failure.function.into());
    add("version", failure.version.to_string());
    rec
}

/// Takes the message out of a dead letter.
pub fn without_message(mut rec: Rec) -> Rec {
    rec.headers.retain(|(name, _)| name != b"__streams.errors.message");
    rec
}
