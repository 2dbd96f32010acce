//! What a row of a table was from one time to another, as stored: in a store and in its changelog alike. When that ended is in its key.
//!
//! ```text
//! 0x01 | when it began (ordered 8 bytes) | 0: there was no row | or 1 and the value
//! ```

use alloc::vec::Vec;

use super::key::{ordered, unordered};
use crate::record::Timestamp;

/// The form that this version writes.
const FORM: u8 = 0x01;
/// Bytes beside the value.
pub const VERSION_BYTES: usize = 10;

/// A version, opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version<'a> {
    /// When it began.
    pub start: Timestamp,
    /// What the row was; `None`: there was none.
    pub value: Option<&'a [u8]>,
}

impl Version<'_> {
    /// Makes the stored form.
    pub fn form(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(VERSION_BYTES + self.value.map_or(0, <[u8]>::len));
        out.push(FORM);
        out.extend_from_slice(&ordered(self.start));
        out.push(u8::from(self.value.is_some()));
        out.extend_from_slice(self.value.unwrap_or_default());
        out
    }
}

/// Opens what [`Version::form`] made; `None`: it is of no form that this version knows.
pub fn open(bytes: &[u8]) -> Option<Version<'_>> {
    let (start, rest) = bytes.strip_prefix(&[FORM])?.split_first_chunk::<8>()?;
    let value = match rest.split_first()? {
        (0, []) => None,
        (1, value) => Some(value),
        _ => return None,
    };
    Some(Version { start: unordered(*start), value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_are_as_written_down() {
        let version = Version { start: 2, value: Some(b"v") };
        assert_eq!(version.form(), [1, 0x80, 0, 0, 0, 0, 0, 0, 2, 1, b'v']);
        assert_eq!(Version { start: 2, value: None }.form(), [1, 0x80, 0, 0, 0, 0, 0, 0, 2, 0]);
        assert_eq!(Version { start: 2, value: Some(b"") }.form().len(), VERSION_BYTES);
    }

    proptest! {
        #[test]
        fn versions_come_back(start: i64, value: Option<Vec<u8>>) {
            let version = Version { start, value: value.as_deref() };
            let form = version.form();
            prop_assert_eq!(open(&form), Some(version));
        }

        #[test]
        fn garbage_is_no_version_and_no_panic(bytes: Vec<u8>) {
            if let Some(version) = open(&bytes) {
                prop_assert_eq!(version.form(), bytes);
            }
        }
    }
}
