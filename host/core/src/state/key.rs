//! Keys of stores, as ordered bytes. One table; a byte once assigned never changes its meaning.
//!
//! | first byte | store | rest of the key |
//! | --- | --- | --- |
//! | `0x01` | key-value | the key |
//! | `0x02` | key-value, grouped by windowed key | window start, window end (ordered 8 bytes each), the key |
//! | `0x03` | window | window start (ordered 8 bytes), the key |
//! | `0x04` | session | reserved: session end, start, key |
//! | `0xf0` | none | the shell's own, beside a store's |
//!
//! Windows of one store have one length, so window keys in byte order stand by end, start, key: the order in which
//! results of closed windows come out, and a closed window is one range.
//! In front of it all stands the task's partition (4 bytes, big end first) where one database holds several tasks.

use alloc::vec::Vec;

use crate::record::Timestamp;

/// Kinds of stores, by the first byte of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StoreKind {
    /// By key.
    KeyValue = 0x01,
    /// By window and key, without windows of its own.
    WindowedKeyValue = 0x02,
    /// By window start, then key.
    Window = 0x03,
}

/// Eight bytes that compare as the numbers do.
pub fn ordered(value: i64) -> [u8; 8] {
    ((value as u64) ^ (1 << 63)).to_be_bytes()
}

/// Back from [`ordered`].
pub fn unordered(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// The group part of a key in a store by windowed key.
pub fn windowed_group(key: &[u8], start: Timestamp, end: Timestamp) -> Vec<u8> {
    [&ordered(start)[..], &ordered(end), key].concat()
}

/// Splits what [`windowed_group`] made: key, start, end.
pub fn split_windowed_group(group: &[u8]) -> Option<(&[u8], Timestamp, Timestamp)> {
    let (start, rest) = group.split_first_chunk::<8>()?;
    let (end, key) = rest.split_first_chunk::<8>()?;
    Some((key, unordered(*start), unordered(*end)))
}

/// A whole key in a key-value store.
pub fn plain(prefix: &[u8], kind: StoreKind, group: &[u8]) -> Vec<u8> {
    [prefix, &[kind as u8], group].concat()
}

/// A whole key in a window store; an empty `group` is the beginning of the window's range.
pub fn window(prefix: &[u8], start: Timestamp, group: &[u8]) -> Vec<u8> {
    [prefix, &[StoreKind::Window as u8], &ordered(start)[..], group].concat()
}

/// The first key behind all that begin with `prefix`; `None` where there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut out = prefix.to_vec();
    while let Some(last) = out.pop() {
        if last < u8::MAX {
            out.push(last + 1);
            return Some(out);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_is_kept(a: i64, b: i64) {
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.cmp(&b));
            prop_assert_eq!(unordered(ordered(a)), a);
        }

        #[test]
        fn groups_come_back(key: Vec<u8>, start: i64, end: i64) {
            let group = windowed_group(&key, start, end);
            prop_assert_eq!(split_windowed_group(&group), Some((&key[..], start, end)));
        }
    }

    #[test]
    fn bytes_are_as_written_down() {
        assert_eq!(plain(&[0, 0, 0, 7], StoreKind::KeyValue, b"k"), [0, 0, 0, 7, 1, b'k']);
        assert_eq!(window(&[], 1, b"k"), [3, 0x80, 0, 0, 0, 0, 0, 0, 1, b'k']);
        assert_eq!(successor(&[1, 0xff]), Some(alloc::vec![2]));
        assert_eq!(successor(&[0xff]), None);
    }
}
