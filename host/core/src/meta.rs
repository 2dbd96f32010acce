//! What a task keeps beside its stores: positions, times, and the epochs it runs. Written with every commit.
//!
//! Everything is found by name, so that a changed manifest keeps what still fits: inputs by topic, nodes and functions by
//! their names. `[version 1]`, then four lists, each with its count in front.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::codec::{Reader, put_bytes, put_signed, put_varint};
use crate::record::Timestamp;
use crate::time::Upstream;

const VERSION: u8 = 1;

/// A clock as metadata keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockMeta {
    /// The node that goes by it.
    pub node: String,
    /// Closing time.
    pub closing: Timestamp,
    /// Upstream tasks by the repartition topic they write; the empty name stands for the task's own inputs.
    pub inputs: Vec<(String, Vec<Upstream>)>,
}

/// A task's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Next offset of each input, by topic.
    pub positions: Vec<(String, i64)>,
    /// Times of nodes: stream time seen (or written), and closing time up to which windows were closed.
    pub nodes: Vec<(String, Timestamp, Timestamp)>,
    /// Clocks of nodes that go by upstream tasks.
    pub clocks: Vec<ClockMeta>,
    /// Epoch of each function.
    pub epochs: Vec<(String, u64)>,
    /// The interval that wrote it: tells, after an unknown outcome, whether it was committed.
    pub interval: u64,
}

impl ClockMeta {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.node.as_bytes());
        put_signed(out, self.closing);
        put_varint(out, self.inputs.len() as u64);
        for (topic, slots) in &self.inputs {
            put_bytes(out, topic.as_bytes());
            put_varint(out, slots.len() as u64);
            for slot in slots {
                out.push(u8::from(slot.idle));
                put_signed(out, slot.time);
            }
        }
    }

    fn decode(r: &mut Reader<'_>) -> Option<Self> {
        let mut clock = ClockMeta { node: text(r)?, closing: r.signed()?, inputs: Vec::new() };
        for _ in 0..r.varint()? {
            let topic = text(r)?;
            let mut slots = Vec::new();
            for _ in 0..r.varint()? {
                slots.push(Upstream { idle: r.byte()? != 0, time: r.signed()? });
            }
            clock.inputs.push((topic, slots));
        }
        Some(clock)
    }
}

impl Meta {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![VERSION];
        put_varint(&mut out, self.interval);
        put_varint(&mut out, self.positions.len() as u64);
        for (topic, position) in &self.positions {
            put_bytes(&mut out, topic.as_bytes());
            put_signed(&mut out, *position);
        }
        put_varint(&mut out, self.nodes.len() as u64);
        for (name, observed, closed) in &self.nodes {
            put_bytes(&mut out, name.as_bytes());
            put_signed(&mut out, *observed);
            put_signed(&mut out, *closed);
        }
        put_varint(&mut out, self.clocks.len() as u64);
        self.clocks.iter().for_each(|clock| clock.encode(&mut out));
        put_varint(&mut out, self.epochs.len() as u64);
        for (function, epoch) in &self.epochs {
            put_bytes(&mut out, function.as_bytes());
            put_varint(&mut out, *epoch);
        }
        out
    }

    /// Reads bytes; `None` where they are of a version this one does not know, or damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes);
        if r.byte()? != VERSION {
            return None;
        }
        let mut meta = Meta { interval: r.varint()?, ..Meta::default() };
        for _ in 0..r.varint()? {
            meta.positions.push((text(&mut r)?, r.signed()?));
        }
        for _ in 0..r.varint()? {
            meta.nodes.push((text(&mut r)?, r.signed()?, r.signed()?));
        }
        for _ in 0..r.varint()? {
            meta.clocks.push(ClockMeta::decode(&mut r)?);
        }
        for _ in 0..r.varint()? {
            meta.epochs.push((text(&mut r)?, r.varint()?));
        }
        r.0.is_empty().then_some(meta)
    }
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    core::str::from_utf8(reader.bytes()?).ok().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_and_every_cut_is_noticed() {
        let slots = alloc::vec![Upstream { time: 77, idle: true }, Upstream { time: i64::MIN, idle: false }];
        let inputs = alloc::vec![("p-count-repartition".into(), slots), (String::new(), Vec::new())];
        let clock = ClockMeta { node: "count".into(), closing: -4, inputs };
        let meta = Meta {
            positions: alloc::vec![("in".into(), 5)],
            nodes: alloc::vec![("count".into(), -1, i64::MIN)],
            clocks: alloc::vec![clock],
            epochs: alloc::vec![("f".into(), 9)],
            interval: 12,
        };
        let bytes = meta.encode();
        assert_eq!(Meta::decode(&bytes), Some(meta));
        for cut in 0..bytes.len() {
            assert_eq!(Meta::decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
