//! A stored aggregate: `[format version][layout number of the function, varint][timestamp, 8 bytes][state]`,
//! in stores and changelogs alike. And how a state is held in memory. What is in the state is the function's matter.

use alloc::vec::Vec;

use crate::codec::{Reader, put_varint};
use crate::record::Timestamp;

const FORMAT: u8 = 1;

/// What is stored of a session that is there and has no state: its function has removed it, and its bounds are those of its
/// records all the same.
pub const STATELESS: &[u8] = &[2];

/// What is stored of a timer, whose key says everything.
pub const TIMER: &[u8] = &[1];

/// An aggregate, or an entry of a processor's store, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Layout number of the function that wrote it; 0 for built-in folds.
    pub layout: u32,
    /// The largest timestamp of the records in it; of an entry of a processor's store, the time at which it was written.
    pub timestamp: Timestamp,
    /// The function's bytes.
    pub state: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.state.len() + 12);
        out.push(FORMAT);
        put_varint(&mut out, u64::from(self.layout));
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(self.state);
        out
    }

    /// Reads bytes; `None` where they are of a format this version does not know, or damaged.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.byte()? != FORMAT {
            return None;
        }
        let layout = u32::try_from(reader.varint()?).ok()?;
        let timestamp = reader.i64()?;
        Some(Self { layout, timestamp, state: reader.0 })
    }
}

/// Bytes of a state that need no memory of their own.
const INLINE_BYTES: usize = 15;

/// A state in memory. Counts and sums are short, and there are many of them.
#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    /// There is none.
    #[default]
    Absent,
    /// So many of these bytes.
    Inline(u8, [u8; INLINE_BYTES]),
    /// Longer than [`INLINE_BYTES`].
    Heap(Vec<u8>),
}

impl State {
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE_BYTES {
            return Self::Heap(bytes.to_vec());
        }
        let mut inline = [0; INLINE_BYTES];
        inline[..bytes.len()].copy_from_slice(bytes);
        Self::Inline(bytes.len() as u8, inline)
    }

    #[inline]
    pub fn get(&self) -> Option<&[u8]> {
        match self {
            Self::Absent => None,
            Self::Inline(len, bytes) => Some(&bytes[..*len as usize]),
            Self::Heap(bytes) => Some(bytes),
        }
    }

    /// Bytes beside the value itself.
    pub fn heap_bytes(&self) -> usize {
        if let Self::Heap(bytes) = self { bytes.capacity() } else { 0 }
    }

    /// Adds one to a big-endian signed 64-bit number; there is none yet: 1. `false`: it has not 8 bytes.
    #[inline]
    pub fn count(&mut self) -> bool {
        let mut inline = [0; INLINE_BYTES];
        let before = match self {
            Self::Absent => 0,
            Self::Inline(8, bytes) => {
                let mut number = [0; 8];
                number.copy_from_slice(&bytes[..8]);
                i64::from_be_bytes(number)
            }
            _ => return false,
        };
        inline[..8].copy_from_slice(&(before + 1).to_be_bytes());
        *self = Self::Inline(8, inline);
        true
    }

    /// Takes one from a number that [`State::count`] made; there is none: there is nothing to take from.
    pub fn uncount(&mut self) -> bool {
        let Some(bytes) = self.get() else { return true };
        let Ok(number) = bytes.try_into().map(i64::from_be_bytes) else { return false };
        *self = Self::new(&(number - 1).to_be_bytes());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_written_down() {
        let stored = Stored { layout: 300, timestamp: 5, state: b"xy" };
        let bytes = [1, 0xac, 2, 0, 0, 0, 0, 0, 0, 0, 5, b'x', b'y'];
        assert_eq!(stored.encode(), bytes);
        assert_eq!(Stored::decode(&bytes), Some(stored));
        assert_eq!(Stored::decode(&[2, 0]), None, "another format");
        assert_eq!(Stored::decode(&bytes[..5]), None, "cut off");
    }

    #[test]
    fn states_are_what_was_put_in() {
        for len in 0..40u8 {
            let bytes: Vec<u8> = (0..len).collect();
            assert_eq!(State::new(&bytes).get(), Some(&bytes[..]));
        }
        assert_eq!(State::Absent.get(), None);
        assert_eq!(size_of::<State>(), 24, "an entry stays small");
    }

    #[test]
    fn counts_are_big_endian() {
        let mut state = State::new(&254i64.to_be_bytes());
        assert!(state.count() && state.count());
        assert_eq!(state.get(), Some(&256i64.to_be_bytes()[..]));
        let mut none = State::Absent;
        assert!(none.count() && none.get() == Some(&1i64.to_be_bytes()[..]));
        assert!(!State::new(b"seven").count() && !State::new(b"seven").uncount());
        assert!(none.uncount() && none.get() == Some(&[0; 8][..]), "an empty group of a table is still there");
        let mut absent = State::Absent;
        assert!(absent.uncount() && absent.get().is_none());
    }
}
