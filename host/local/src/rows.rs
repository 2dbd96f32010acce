//! Keys and the small values of the log's rows, as bytes. Chunks are elsewhere; the table of all rows is in the crate's head.

use millstream_core::codec::{Reader, put_bytes, put_signed, put_varint};
use millstream_core::record::Timestamp;

use crate::topic::TopicConfig;

/// First byte of every value of this module.
const VERSION: u8 = 1;

const NEXT_ID: u8 = 0;
const TOPIC: u8 = 1;
const START: u8 = 2;

/// A partition by numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Id of the topic, never used again after the topic is gone.
    pub topic: u32,
    /// Number of the partition.
    pub partition: u32,
}

impl Place {
    /// Key of the chunk that begins at `offset`, and of its index entry.
    pub fn key(self, offset: i64) -> Vec<u8> {
        let mut key = Vec::with_capacity(16);
        key.extend(self.topic.to_be_bytes());
        key.extend(self.partition.to_be_bytes());
        key.extend(offset.to_be_bytes());
        key
    }

    /// Key of the start offset.
    pub fn start_key(self) -> Vec<u8> {
        let mut key = vec![START];
        key.extend(self.topic.to_be_bytes());
        key.extend(self.partition.to_be_bytes());
        key
    }
}

/// The first offset that the key of a chunk names.
pub fn offset_of(key: &[u8]) -> Option<i64> {
    let (_, offset) = key.split_last_chunk::<8>()?;
    (key.len() == 16).then(|| i64::from_be_bytes(*offset))
}

/// What the index says of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Records in it, at least 1.
    pub records: u32,
    /// Largest timestamp of these.
    pub largest: Timestamp,
    /// Bytes of the chunk.
    pub bytes: u64,
    /// Bytes of all chunks of the partition up to and with this one, those since deleted too: differences are sizes.
    pub total: u64,
}

impl Entry {
    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, u64::from(self.records));
        put_signed(&mut out, self.largest);
        put_varint(&mut out, self.bytes);
        put_varint(&mut out, self.total);
        out
    }

    /// From what was stored; `None` where that is not an entry.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        read(bytes, |r| {
            let records = u32::try_from(r.varint()?).ok().filter(|n| *n > 0)?;
            let (largest, bytes, total) = (r.signed()?, r.varint()?, r.varint()?);
            (bytes <= total).then_some(Self { records, largest, bytes, total })
        })
    }
}

/// Key of the next topic id.
pub fn next_id_key() -> Vec<u8> {
    vec![NEXT_ID]
}

/// Key of a topic.
pub fn topic_key(name: &str) -> Vec<u8> {
    [&[TOPIC], name.as_bytes()].concat()
}

/// From the first topic's key to behind the last's.
pub fn topic_keys() -> (Vec<u8>, Vec<u8>) {
    (vec![TOPIC], vec![TOPIC + 1])
}

/// The name in a topic's key.
pub fn topic_name(key: &[u8]) -> Option<&str> {
    str::from_utf8(key.strip_prefix(&[TOPIC])?).ok()
}

/// From the first key of a topic's partitions to behind the last's, with `prefix` in front. Ids stay below `u32::MAX`.
pub fn keys_of_topic(prefix: &[u8], topic: u32) -> (Vec<u8>, Vec<u8>) {
    let bound = |topic: u32| [prefix, &topic.to_be_bytes()].concat();
    (bound(topic), bound(topic + 1))
}

/// From the first key of a topic's start offsets to behind the last's.
pub fn start_keys(topic: u32) -> (Vec<u8>, Vec<u8>) {
    keys_of_topic(&[START], topic)
}

/// A topic as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRow {
    /// Its id.
    pub id: u32,
    /// Its partitions.
    pub partitions: u32,
    /// Its configuration.
    pub config: TopicConfig,
}

impl TopicRow {
    /// As stored.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, u64::from(self.id));
        put_varint(&mut out, u64::from(self.partitions));
        out.push(u8::from(self.config.internal));
        let mut ms = Vec::new();
        self.config.retention_ms.iter().for_each(|v| put_signed(&mut ms, *v));
        put_bytes(&mut out, &ms);
        let mut bytes = Vec::new();
        self.config.retention_bytes.iter().for_each(|v| put_varint(&mut bytes, *v));
        put_bytes(&mut out, &bytes);
        out
    }

    /// From what was stored; `None` where that is not a topic.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        read(bytes, |r| {
            let id = u32::try_from(r.varint()?).ok()?;
            let partitions = u32::try_from(r.varint()?).ok()?;
            let internal = r.byte()? != 0;
            let (ms, bytes) = (r.bytes()?, r.bytes()?);
            let retention_ms = if ms.is_empty() { None } else { Some(Reader(ms).signed()?) };
            let retention_bytes = if bytes.is_empty() { None } else { Some(Reader(bytes).varint()?) };
            Some(Self { id, partitions, config: TopicConfig { retention_ms, retention_bytes, internal } })
        })
    }
}

/// A number as stored: the next topic id, a start offset.
pub fn encode_number(number: u64) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_varint(&mut out, number);
    out
}

/// From what was stored; `None` where that is not a number.
pub fn decode_number(bytes: &[u8]) -> Option<u64> {
    read(bytes, Reader::varint)
}

/// A value with our version byte, and nothing behind it.
fn read<'a, T>(bytes: &'a [u8], value: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let value = value(&mut reader)?;
    reader.0.is_empty().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_sort_as_offsets_do() {
        let place = Place { topic: 7, partition: 300 };
        let keys: Vec<_> = [0, 1, 255, 256, 1 << 40, i64::MAX].map(|o| place.key(o)).into();
        assert!(keys.is_sorted());
        assert!(keys.iter().all(|k| k.len() == 16));
        assert_eq!(offset_of(&keys[4]), Some(1 << 40));
        assert_eq!(offset_of(&keys[4][1..]), None);
    }

    #[test]
    fn a_topics_keys_are_its_own() {
        for topic in [0, 1, 255, 256, 65_535, u32::MAX - 1] {
            let (from, to) = keys_of_topic(&[], topic);
            let inside = |t| (&from..&to).contains(&&Place { topic: t, partition: u32::MAX }.key(i64::MAX));
            assert!(inside(topic), "{topic}");
            assert!(!inside(topic + 1), "{topic}");
        }
    }

    proptest! {
        #[test]
        fn rows_come_back(records in 1u32.., largest: i64, bytes: u64, id: u32, partitions: u32, internal: bool,
            retention_ms: Option<i64>, retention_bytes: Option<u64>) {
            let entry = Entry { records, largest, bytes, total: bytes };
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
            let topic = TopicRow { id, partitions, config: TopicConfig { retention_ms, retention_bytes, internal } };
            prop_assert_eq!(TopicRow::decode(&topic.encode()), Some(topic));
            prop_assert_eq!(decode_number(&encode_number(bytes)), Some(bytes));
        }

        #[test]
        fn damage_is_seen(largest: i64, cut in 1usize..10) {
            let whole = Entry { records: 1, largest, bytes: 5, total: 9 }.encode();
            let mut newer = whole.clone();
            newer[0] += 1;
            prop_assert_eq!(Entry::decode(&newer), None);
            prop_assert_eq!(Entry::decode(&whole[..whole.len().saturating_sub(cut)]), None);
            prop_assert_eq!(Entry::decode(&[&whole[..], &[0]].concat()), None);
        }
    }
}
