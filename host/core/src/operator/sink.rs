//! Ends of a sub-topology: topics of the user's, and repartition topics with time in their values.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Cx;
use super::route::BY_KEY;
use crate::emit::{Collector, Pending, Reason, sink_partition};
use crate::envelope::{self, Marker};
use crate::error::Verdict;
use crate::flow::Flow;
use crate::formats;
use crate::limits::Refusal;
use crate::operator::join::foreign;
use crate::record::{Header, Timestamp};
use crate::time::{NEVER, Now};
use crate::topology::graph::{ForeignNode, Node, NodeOperator, Topic};
use crate::topology::spec::{Idle, KeyFormat};

/// How a sink writes results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sink {
    /// Number of the topic.
    pub topic: usize,
    pub format: KeyFormat,
    /// Whether bounds of windows go into headers with every format.
    pub window_headers: bool,
    /// Whether windows are sessions.
    pub sessions: bool,
}

/// How many bytes of a key in JSON stand for one, at the most.
const JSON_GROWTH: usize = 6;

/// What a window adds to a result beside that, bytes, at the most: names and numbers in its key and its headers.
const WINDOW_BYTES_MAX: usize = 256;

impl Sink {
    /// Writes results in the sink's formats; those that have no form in them, and those that the topic does not take, go
    /// where `on-error` says, as the pipeline made them. `given`: their partitions, where a router has said them, [`BY_KEY`] for
    /// those of which it has not.
    pub fn write(self, cx: &mut Cx<'_, '_>, node: &Node, flow: &Flow, given: Option<&[u32]>) -> Result<(), Verdict> {
        let pair = cx.topology.formats.sinks.get(&node.name).copied().unwrap_or_default();
        if pair.is_none() || flow.is_empty() {
            let refused = self.put(cx, flow, given);
            return cx.refuse_all(node, self.topic, flow, &refused);
        }
        let formats = cx.ports.formats;
        let encoded = formats::convert(&flow.batch, pair, |format, items| formats.encode(format, items))?;
        let mut refused: BTreeMap<usize, (Reason, String)> = BTreeMap::new();
        refused.extend(encoded.rejected.into_iter().map(|(i, why)| (i, (Reason::NotEncoded, why))));
        let good: Vec<u32> = (0..flow.len() as u32).filter(|i| !refused.contains_key(&(*i as usize))).collect();
        let encoded = Flow { batch: encoded.batch, ..flow.clone() }.gather(&good);
        let given: Option<Vec<u32>> = given.map(|given| good.iter().map(|i| given[*i as usize]).collect());
        for (i, refusal) in self.put(cx, &encoded, given.as_deref()) {
            let message = format!("topic `{}`: {refusal}", cx.topology.topics[self.topic].name);
            refused.insert(good[i] as usize, (refusal.reason(), message));
        }
        for (i, (reason, message)) in &refused {
            cx.refuse(node, None, flow, *i, *reason, message)?;
        }
        Ok(())
    }

    /// Adds results to what goes into the topic; gives back those that it does not take.
    fn put(self, cx: &mut Cx<'_, '_>, flow: &Flow, given: Option<&[u32]>) -> Vec<(usize, Refusal)> {
        let (topic, wall, task_partition) = (&cx.topology.topics[self.topic], cx.now.wall, cx.partition);
        let batch = &flow.batch;
        let growth = if flow.windows.is_some() { JSON_GROWTH * batch.keys.bytes() + WINDOW_BYTES_MAX } else { 0 };
        let surely_taken = topic.limits.are_none() || topic.limits.take_all(wall, batch, growth);
        let partitions = cx.out.partitions(self.topic, topic.partitions);
        if let ([one], None, true) = (&mut *partitions, &flow.windows, surely_taken) {
            one.extend(batch);
            return Vec::new();
        }
        let (mut whole, mut refused) = (Vec::new(), Vec::new());
        for i in 0..flow.len() {
            let (key, value, timestamp) = (batch.keys.get(i), batch.values.get(i), batch.timestamps[i]);
            let own = batch.headers.as_ref().into_iter().flat_map(move |h| h.of(i));
            // Windowed results go where their key goes without the window.
            let by_key = || sink_partition(key, task_partition, topic.partitions);
            let number = given.map(|given| given[i]).filter(|given| *given != BY_KEY).unwrap_or_else(by_key);
            let partition = &mut partitions[number as usize];
            let Some((start, end)) = flow.window(i) else {
                let refusal = || topic.limits.refuse(wall, payload_bytes(key, value), timestamp, own.clone());
                match if surely_taken { None } else { refusal() } {
                    Some(refusal) => refused.push((i, refusal)),
                    None => partition.open().push(key, value, timestamp, own),
                }
                continue;
            };
            let key = self.windowed_key(&mut whole, key, start, end);
            let named = self.format == KeyFormat::Plain || self.window_headers;
            let bounds = named.then(|| [("window.start", format!("{start}")), ("window.end", format!("{end}"))]);
            let bounds = bounds.iter().flatten();
            let bounds = bounds.map(|(name, text)| -> Header<'_> { (name.as_bytes(), Some(text.as_bytes())) });
            let headers = own.map(|(name, value)| -> Header<'_> { (name, value) }).chain(bounds);
            let refusal = || topic.limits.refuse(wall, payload_bytes(key, value), timestamp, headers.clone());
            match if surely_taken { None } else { refusal() } {
                Some(refusal) => refused.push((i, refusal)),
                None => partition.open().push(key, value, timestamp, headers),
            }
        }
        partitions.iter_mut().for_each(Pending::seal_full);
        refused
    }

    fn windowed_key<'a>(
        self,
        whole: &'a mut Vec<u8>,
        key: Option<&'a [u8]>,
        start: Timestamp,
        end: Timestamp,
    ) -> Option<&'a [u8]> {
        match self.format {
            KeyFormat::Plain => return key,
            KeyFormat::Kafka => {
                whole.clear();
                whole.extend_from_slice(key.unwrap_or_default());
                if self.sessions {
                    whole.extend_from_slice(&end.to_be_bytes());
                }
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
}

fn payload_bytes(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len)
}

/// Bytes as JSON: a string where they are UTF-8, else `{"base64": …}`.
pub(crate) fn json_bytes(bytes: &[u8]) -> String {
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
    /// When the last marker was written, as [`Now::passed_ms`], like the two below.
    told_at: i64,
    /// When something was written last; when the task was opened, before that.
    wrote_at: i64,
    /// When the task received a record last.
    received_at: i64,
}

/// Milliseconds between markers of one task, at the least.
pub const MARKER_INTERVAL_MS: i64 = 200;

impl Writer {
    pub fn new(time: Timestamp, now: i64) -> Self {
        // What was told before a restart is told again: a marker twice is harmless, one missing is not.
        Self { time, told: NEVER, idle: false, told_at: NEVER, wrote_at: now, received_at: now }
    }

    /// Writes records into the repartition topic. One that the topic does not take goes where `on-error` says, and has not
    /// moved time.
    pub fn write(&mut self, cx: &mut Cx<'_, '_>, node: &Node, number: usize, flow: &Flow) -> Result<(), Verdict> {
        let (topic, wall, task_partition) = (&cx.topology.topics[number], cx.now.wall, cx.partition);
        let batch = &flow.batch;
        let head_bytes_max = || if flow.old.is_none() { Some(envelope::HEAD_BYTES_MAX) } else { None };
        let all_taken = |more| topic.limits.take_all(wall, batch, more);
        let surely_taken = topic.limits.are_none() || head_bytes_max().is_some_and(all_taken);
        let answers = |(at, _): &(usize, u32)| {
            matches!(cx.sub.nodes[*at].operator, NodeOperator::Foreign(ForeignNode::Right { .. }))
        };
        // An answer goes where the question came from, whatever its key.
        let answers = node.parents.iter().all(answers);
        let partitions = cx.out.partitions(number, topic.partitions);
        let (mut head, mut refused) = (Vec::new(), Vec::new());
        for i in 0..flow.len() {
            let (key, body, timestamp) = (batch.keys.get(i), batch.values.get(i), batch.timestamps[i]);
            let time = self.time.max(timestamp);
            head.clear();
            let old = flow.old.as_ref().and_then(|old| old.get(i)).map(|(value, time)| (time, value));
            envelope::put_record_head(&mut head, task_partition, time - timestamp, flow.window(i), old, body.is_some());
            let headers = batch.headers.iter().flat_map(|h| h.of(i));
            let payload_bytes = head.len() + payload_bytes(key, body);
            let refusal = || topic.limits.refuse(wall, payload_bytes, timestamp, headers.clone());
            if let Some(refusal) = if surely_taken { None } else { refusal() } {
                refused.push((i, refusal));
                continue;
            }
            self.time = time;
            let asked = if answers { foreign::partition_of(body) } else { None };
            let to =
                asked.map_or_else(|| sink_partition(key, task_partition, topic.partitions), |p| p % topic.partitions);
            let partition = &mut partitions[to as usize];
            partition.open().push_joined(key, &head, body.unwrap_or_default(), timestamp, headers);
        }
        partitions.iter_mut().for_each(Pending::seal_full);
        if refused.len() < flow.len() {
            (self.wrote_at, self.idle) = (cx.now.passed_ms, false);
        }
        cx.refuse_all(node, number, flow, &refused)
    }

    /// The task received records: it is not idle for want of input.
    pub fn received(&mut self, now: i64) {
        self.received_at = now;
    }

    /// Whether a marker is due. `quiet`: the task is at the end of its inputs, and silence counts since then; `open`: something
    /// upstream of the topic may still come out by event time.
    pub fn due(&self, now: i64, idle: Idle, quiet: Option<i64>, open: bool) -> Option<bool> {
        let becomes_idle = match idle {
            Idle::Never => false,
            Idle::After(ms) => {
                let silent = |since: i64| quiet.is_some_and(|quiet| now.saturating_sub(since.max(quiet)) >= ms);
                !self.idle && silent(self.wrote_at) && (!open || silent(self.received_at))
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
        now: Now,
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
        // Its time stands in its value; its timestamp only has to be one that the topic takes.
        let timestamp = topics[topic].limits.nearest(now.wall, self.time.max(0));
        for partition in 0..topics[topic].partitions {
            out.push(topic, partition, None, Some(&value), timestamp, []);
        }
        (self.told, self.told_at, self.idle) = (self.time, now.passed_ms, idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_windows() {
        let mut whole = Vec::new();
        let mut key = |format, key: &[u8]| {
            let sink = Sink { topic: 0, format, window_headers: false, sessions: false };
            sink.windowed_key(&mut whole, Some(key), 10, 20).unwrap().to_vec()
        };
        assert_eq!(key(KeyFormat::Plain, b"k"), b"k");
        assert_eq!(key(KeyFormat::Kafka, b"k"), b"k\0\0\0\0\0\0\0\x0a");
        let session = Sink { topic: 0, format: KeyFormat::Kafka, window_headers: false, sessions: true };
        let end_and_start = b"k\0\0\0\0\0\0\0\x14\0\0\0\0\0\0\0\x0a";
        assert_eq!(session.windowed_key(&mut Vec::new(), Some(b"k"), 10, 20).unwrap(), end_and_start);
        assert_eq!(key(KeyFormat::Json, b"a\"\n"), br#"{"key":"a\"\u000a","start":10,"end":20}"#);
        assert_eq!(key(KeyFormat::Json, b"\xff\xfe"), br#"{"key":{"base64":"//4="},"start":10,"end":20}"#);
        assert_eq!((base64(b"f"), base64(b"foo")), ("Zg==".into(), "Zm9v".into()));
    }
}
