//! Ends of a sub-topology: topics of the user's, and repartition topics with time in their values.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::emit::{Collector, Pending, sink_partition};
use crate::envelope::{self, Marker};
use crate::flow::Flow;
use crate::record::{Header, Timestamp};
use crate::time::NEVER;
use crate::topology::graph::Topic;
use crate::topology::spec::{Idle, KeyFormat};

/// Writes results of a sink.
pub(crate) fn sink(
    out: &mut Collector,
    topics: &[Topic],
    topic: usize,
    task_partition: u32,
    format: KeyFormat,
    window_headers: bool,
    flow: &Flow,
) {
    let count = topics[topic].partitions;
    let batch = &flow.batch;
    let partitions = out.partitions(topic, count);
    if let ([one], None) = (&mut *partitions, &flow.windows) {
        return one.extend(batch);
    }
    let mut whole = Vec::new();
    for i in 0..flow.len() {
        let key = batch.keys.get(i);
        // Windowed results go where their key goes without the window.
        let partition = partitions[sink_partition(key, task_partition, count) as usize].open();
        let (value, timestamp) = (batch.values.get(i), batch.timestamps[i]);
        let headers = batch.headers.as_ref().into_iter().flat_map(move |h| h.of(i));
        let Some((start, end)) = flow.window(i) else {
            partition.push(key, value, timestamp, headers);
            continue;
        };
        let key = windowed_key(&mut whole, format, key, start, end);
        if format == KeyFormat::Plain || window_headers {
            let (start, end) = (format!("{start}"), format!("{end}"));
            let bounds: [Header<'_>; 2] =
                [(b"window.start", Some(start.as_bytes())), (b"window.end", Some(end.as_bytes()))];
            let headers = headers.map(|(name, value)| -> Header<'_> { (name, value) });
            partition.push(key, value, timestamp, headers.chain(bounds));
        } else {
            partition.push(key, value, timestamp, headers);
        }
    }
    partitions.iter_mut().for_each(Pending::seal_full);
}

fn windowed_key<'a>(
    whole: &'a mut Vec<u8>,
    format: KeyFormat,
    key: Option<&'a [u8]>,
    start: Timestamp,
    end: Timestamp,
) -> Option<&'a [u8]> {
    match format {
        KeyFormat::Plain => return key,
        KeyFormat::Kafka => {
            whole.clear();
            whole.extend_from_slice(key.unwrap_or_default());
            whole.extend_from_slice(&start.to_be_bytes());
        }
        KeyFormat::Json => {
            let key = key.map_or_else(|| "null".into(), json_bytes);
            whole.clear();
            whole.extend_from_slice(format!("{{\"key\":{key},\"start\":{start},\"end\":{end}}}").as_bytes());
        }
    }
    Some(whole)
}

/// Bytes as JSON: a string where they are UTF-8, else `{"base64": …}`.
fn json_bytes(bytes: &[u8]) -> String {
    let Ok(text) = core::str::from_utf8(bytes) else {
        return format!("{{\"base64\":\"{}\"}}", base64(bytes));
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { digit as char } else { '=' });
        }
    }
    out
}

/// A repartition topic's writer: the stream time of what it writes, and what it has said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Stream time of what was written.
    pub time: Timestamp,
    /// Stream time that the last marker told.
    pub told: Timestamp,
    /// The last marker said idle, and nothing was written since.
    pub idle: bool,
    /// Wall time of the last marker.
    told_at: Timestamp,
    /// Wall time of the last write; of the start, before one.
    wrote_at: Timestamp,
    /// Wall time of the last record that the task received.
    received_at: Timestamp,
}

/// Milliseconds between markers of one task, at the least.
pub const MARKER_INTERVAL_MS: i64 = 200;

impl Writer {
    pub fn new(time: Timestamp, now: Timestamp) -> Self {
        // What was told before a restart is told again: a marker twice is harmless, one missing is not.
        Self { time, told: NEVER, idle: false, told_at: NEVER, wrote_at: now, received_at: now }
    }

    /// Writes records into the repartition topic.
    pub fn write(
        &mut self,
        now: Timestamp,
        out: &mut Collector,
        topics: &[Topic],
        topic: usize,
        task_partition: u32,
        flow: &Flow,
    ) {
        if flow.is_empty() {
            return;
        }
        (self.wrote_at, self.idle) = (now, false);
        let count = topics[topic].partitions;
        let batch = &flow.batch;
        let partitions = out.partitions(topic, count);
        let mut head = Vec::new();
        for i in 0..flow.len() {
            let (key, timestamp) = (batch.keys.get(i), batch.timestamps[i]);
            self.time = self.time.max(timestamp);
            head.clear();
            let body = batch.values.get(i);
            envelope::put_record_head(&mut head, task_partition, self.time - timestamp, flow.window(i), body.is_some());
            let partition = sink_partition(key, task_partition, count);
            let headers = batch.headers.iter().flat_map(|h| h.of(i));
            partitions[partition as usize].open().push_joined(key, &head, body.unwrap_or_default(), timestamp, headers);
        }
        partitions.iter_mut().for_each(Pending::seal_full);
    }

    /// The task received records: it is not idle for want of input.
    pub fn received(&mut self, now: Timestamp) {
        self.received_at = now;
    }

    /// Whether a marker is due. `quiet`: the task is at the end of its inputs; `open`: something upstream of the topic
    /// may still come out by event time.
    pub fn due(&self, now: Timestamp, idle: Idle, quiet: bool, open: bool) -> Option<bool> {
        let becomes_idle = match idle {
            Idle::Never => false,
            Idle::After(ms) => {
                let silent = |since: Timestamp| now.saturating_sub(since) >= ms;
                !self.idle && quiet && silent(self.wrote_at) && (!open || silent(self.received_at))
            }
        };
        if becomes_idle {
            return Some(true);
        }
        let news = self.time != self.told;
        (news && !self.idle && now.saturating_sub(self.told_at) >= MARKER_INTERVAL_MS).then_some(false)
    }

    /// Writes a marker into every partition.
    pub fn mark(
        &mut self,
        now: Timestamp,
        idle: bool,
        out: &mut Collector,
        topics: &[Topic],
        topic: usize,
        task: (u32, u32),
    ) {
        let (upstream, upstream_tasks) = task;
        let time = (self.time != NEVER).then_some(self.time);
        let mut value = Vec::new();
        envelope::put_marker(&mut value, &Marker { upstream, upstream_tasks, time, idle });
        for partition in 0..topics[topic].partitions {
            out.push(topic, partition, None, Some(&value), self.time.max(0), []);
        }
        (self.told, self.told_at, self.idle) = (self.time, now, idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_windows() {
        let mut whole = Vec::new();
        let mut key = |format, key: &[u8]| windowed_key(&mut whole, format, Some(key), 10, 20).unwrap().to_vec();
        assert_eq!(key(KeyFormat::Plain, b"k"), b"k");
        assert_eq!(key(KeyFormat::Kafka, b"k"), b"k\0\0\0\0\0\0\0\x0a");
        assert_eq!(key(KeyFormat::Json, b"a\"\n"), br#"{"key":"a\"\u000a","start":10,"end":20}"#);
        assert_eq!(key(KeyFormat::Json, b"\xff\xfe"), br#"{"key":{"base64":"//4="},"start":10,"end":20}"#);
        assert_eq!((base64(b"f"), base64(b"foo")), ("Zg==".into(), "Zm9v".into()));
    }
}
