//! The port of formats: what topics hold, as functions get it, and back.
//!
//! Which formats there are, and what their bytes look like, is the shell's matter; the core names them by number. A record
//! is decoded when it is taken out of a topic of the user's and encoded when it is put into one. In between, in repartition
//! topics, stores and changelogs, keys and values are as functions see them.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::error::Verdict;
use crate::function::Rejection;
use crate::record::{Batch, BytesColumn};

/// The formats of a topic's records, each by its number in the shell's list; `None`: bytes, left as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// Of keys.
    pub key: Option<usize>,
    /// Of values.
    pub value: Option<usize>,
}

impl Pair {
    /// Whether records are left as they are.
    pub fn is_none(&self) -> bool {
        self.key.is_none() && self.value.is_none()
    }
}

/// Formats of a pipeline's sources and sinks, by their names; those that are not named have bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// How what sources read is decoded.
    pub sources: BTreeMap<String, Pair>,
    /// How what sinks write is encoded.
    pub sinks: BTreeMap<String, Pair>,
}

/// A column in its other form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Converted {
    /// As many items as were given. A null stays null; what was rejected is null.
    pub items: BytesColumn,
    /// Items that could not be converted, by rising index.
    pub rejected: Vec<Rejection>,
}

/// Nothing can be said of the records now: what is needed to read them cannot be had. They are taken again, later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

impl From<Unavailable> for Verdict {
    fn from(unavailable: Unavailable) -> Self {
        Verdict::Retry(unavailable.0)
    }
}

/// Formats, by number.
///
/// The same bytes give the same bytes, always: results must not depend on when a record was read, or in which batch.
pub trait Formats {
    /// From a topic's bytes to those that functions get.
    ///
    /// # Errors
    /// When it cannot be said now whether the items are good.
    fn decode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable>;

    /// From a function's bytes to those of a topic.
    ///
    /// # Errors
    /// As for [`Formats::decode`].
    fn encode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable>;
}

/// No formats: for pipelines whose topics hold bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFormats;

impl Formats for NoFormats {
    fn decode(&self, format: usize, _: &BytesColumn) -> Result<Converted, Unavailable> {
        Err(Unavailable(alloc::format!("format {format} is asked for, and this host was started without formats")))
    }

    fn encode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        self.decode(format, items)
    }
}

/// A batch in its other form.
pub(crate) struct ConvertedBatch {
    /// As many records as there were.
    pub batch: Batch,
    /// Records that could not be converted, by rising index, each once, and why.
    pub rejected: Vec<(usize, String)>,
}

/// Converts keys and values of a batch.
pub(crate) fn convert(
    batch: &Batch,
    pair: Pair,
    one: impl Fn(usize, &BytesColumn) -> Result<Converted, Unavailable>,
) -> Result<ConvertedBatch, Verdict> {
    let mut out = ConvertedBatch { batch: batch.clone(), rejected: Vec::new() };
    let mut rejected = BTreeMap::new();
    if let Some(format) = pair.key {
        out.batch.keys = checked("key", one(format, &batch.keys)?, batch.len(), &mut rejected).into();
    }
    if let Some(format) = pair.value {
        out.batch.values = checked("value", one(format, &batch.values)?, batch.len(), &mut rejected).into();
    }
    out.rejected = rejected.into_iter().collect();
    Ok(out)
}

/// # Panics
/// When a port breaks its promise: with another count of items, records and their parts would be mixed up.
fn checked(part: &str, converted: Converted, len: usize, rejected: &mut BTreeMap<usize, String>) -> BytesColumn {
    assert_eq!(converted.items.len(), len, "a format gives back as many {part}s as it got");
    for Rejection { index, reason } in converted.rejected {
        assert!((index as usize) < len, "a format rejects {part} {index} of {len}");
        // Of a record whose key and value are both bad, the key is told.
        rejected.entry(index as usize).or_insert_with(|| alloc::format!("{part}: {reason}"));
    }
    converted.items
}
