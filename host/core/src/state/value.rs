//! A stored aggregate: `[format version][layout number of the function, varint][timestamp, 8 bytes][state]`,
//! in stores and changelogs alike.

use alloc::vec::Vec;

use crate::codec::{Reader, put_varint};
use crate::record::Timestamp;

const FORMAT: u8 = 1;

/// An aggregate's state as kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Layout number of the function that wrote it; 0 for built-in folds.
    pub layout: u32,
    /// The largest timestamp of the records in it.
    pub timestamp: Timestamp,
    /// The function's bytes.
    pub state: Vec<u8>,
}

impl Stored {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.state.len() + 12);
        out.push(FORMAT);
        put_varint(&mut out, u64::from(self.layout));
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.state);
        out
    }

    /// Reads bytes; `None` where they are of a format this version does not know, or damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.byte()? != FORMAT {
            return None;
        }
        let layout = u32::try_from(reader.varint()?).ok()?;
        let timestamp = reader.i64()?;
        Some(Self { layout, timestamp, state: reader.0.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_written_down() {
        let stored = Stored { layout: 300, timestamp: 5, state: b"xy".to_vec() };
        let bytes = [1, 0xac, 2, 0, 0, 0, 0, 0, 0, 0, 5, b'x', b'y'];
        assert_eq!(stored.encode(), bytes);
        assert_eq!(Stored::decode(&bytes), Some(stored));
        assert_eq!(Stored::decode(&[2, 0]), None, "another format");
        assert_eq!(Stored::decode(&bytes[..5]), None, "cut off");
    }
}
