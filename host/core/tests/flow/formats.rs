//! A made-up format for transcripts: in a topic a text stands in angle brackets, functions get what is between them.

use std::cell::Cell;

use millstream_core::formats::{Converted, Formats, Unavailable};
use millstream_core::function::Rejection;
use millstream_core::record::BytesColumn;

/// Number of the format.
pub const BRACKETS: usize = 7;

/// See the module.
#[derive(Debug, Default)]
pub struct Brackets {
    /// What is needed to read a text cannot be had just now.
    pub is_down: Cell<bool>,
}

impl Brackets {
    fn each(
        &self,
        format: usize,
        items: &BytesColumn,
        one: impl Fn(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<Converted, Unavailable> {
        assert_eq!(format, BRACKETS);
        if self.is_down.get() {
            return Err(Unavailable("the brackets are out".into()));
        }
        let mut out = Converted::default();
        for i in 0..items.len() {
            match items.get(i).map(&one) {
                None => out.items.push(None),
                Some(Ok(item)) => out.items.push(Some(&item)),
                Some(Err(reason)) => {
                    out.rejected.push(Rejection { index: i as u32, reason });
                    out.items.push(None);
                }
            }
        }
        Ok(out)
    }
}

impl Formats for Brackets {
    fn decode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        let one = |item: &[u8]| match item {
            [b'<', inner @ .., b'>'] => Ok(inner.to_vec()),
            _ => Err("not in brackets".to_string()),
        };
        self.each(format, items, one)
    }

    fn encode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        let one = |item: &[u8]| match item.contains(&b'#') {
            true => Err("no number signs".to_string()),
            false => Ok([b"<", item, b">"].concat()),
        };
        self.each(format, items, one)
    }
}
