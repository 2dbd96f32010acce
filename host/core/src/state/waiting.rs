//! A record that waits for partners, as stored: in a store and in its changelog alike. Which of them meet is not decided here.
//!
//! ```text
//! 0x01 | bits: 1 it has met none and will come out alone, 2 it has headers
//!      | of headers: how many, and of each the name with its length, 1 or 0, the value with its length where it is there
//!      | the value
//! ```

use alloc::vec::Vec;

use crate::codec::{Reader, put_bytes, put_varint};
use crate::record::Header;

/// The form that this version writes.
const FORM: u8 = 0x01;
/// Place of the bits.
const BITS: usize = 1;
/// It has met no partner, and comes out alone when its window has closed.
const PENDING: u8 = 1;
/// It has headers.
const HEADERS: u8 = 2;

/// A stored record, opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// It has met no partner, and comes out alone when its window has closed.
    pub pending: bool,
    /// Its headers.
    pub headers: Vec<Header<'a>>,
    /// Its value.
    pub value: &'a [u8],
}

/// Makes the stored form.
pub fn form<'h>(pending: bool, headers: Vec<Header<'h>>, value: &[u8]) -> Vec<u8> {
    let bits = u8::from(pending) * PENDING + u8::from(!headers.is_empty()) * HEADERS;
    let mut out = Vec::with_capacity(2 + value.len());
    out.extend_from_slice(&[FORM, bits]);
    if !headers.is_empty() {
        put_varint(&mut out, headers.len() as u64);
    }
    for (name, value) in headers {
        put_bytes(&mut out, name);
        out.push(u8::from(value.is_some()));
        value.iter().for_each(|value| put_bytes(&mut out, value));
    }
    out.extend_from_slice(value);
    out
}

/// Opens what [`form`] made; `None`: it is of no form that this version knows.
pub fn open(bytes: &[u8]) -> Option<Waiting<'_>> {
    let mut reader = Reader(bytes);
    let (form, bits) = (reader.byte()?, reader.byte()?);
    if form != FORM || bits > PENDING + HEADERS {
        return None;
    }
    let count = if bits & HEADERS == 0 { 0 } else { reader.varint()? };
    let mut headers = Vec::new();
    for _ in 0..count {
        let name = reader.bytes()?;
        let value = match reader.byte()? {
            0 => None,
            1 => Some(reader.bytes()?),
            _ => return None,
        };
        headers.push((name, value));
    }
    Some(Waiting { pending: bits & PENDING != 0, headers, value: reader.0 })
}

/// Whether a stored record has met no partner yet and will come out alone.
pub fn is_pending(bytes: &[u8]) -> bool {
    bytes.get(BITS).is_some_and(|bits| bits & PENDING != 0)
}

/// Notes that it has met a partner.
pub fn meet(bytes: &mut [u8]) {
    if let Some(bits) = bytes.get_mut(BITS) {
        *bits &= !PENDING;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_as_written_down() {
        let headers: Vec<Header<'_>> = alloc::vec![(b"h", Some(b"xy")), (b"n", None)];
        let mut bytes = form(true, headers.clone(), b"v");
        assert_eq!(bytes, [1, 3, 2, 1, b'h', 1, 2, b'x', b'y', 1, b'n', 0, b'v']);
        assert_eq!(open(&bytes), Some(Waiting { pending: true, headers, value: b"v" }));
        meet(&mut bytes);
        assert!(!is_pending(&bytes) && open(&bytes).is_some_and(|w| !w.pending && w.value == b"v"));
        assert_eq!(form(false, Vec::new(), b""), [1, 0]);
        assert_eq!((open(&[2, 0]), open(&[1, 4]), open(&[1])), (None, None, None));
    }

    proptest! {
        #[test]
        fn garbage_is_no_record_and_no_panic(bytes: Vec<u8>) {
            is_pending(&bytes);
            if let Some(waiting) = open(&bytes) {
                prop_assert_eq!(waiting.pending, is_pending(&bytes));
            }
        }
    }
}
