//! Formats of records: JSON, Avro, Protobuf and JSON Schema, by files or by a Schema Registry, as the JSON that functions
//! get, and back. What each type becomes is in `docs/formats.md`.
//!
//! The only crate that knows Protobuf descriptors and asks a registry. Of the core it knows the port and columns. It holds
//! no state but caches: the same bytes give the same bytes.

#![forbid(unsafe_code)]

mod avro;
mod cache;
mod codec;
mod json;
mod json_schema;
pub mod limits;
mod protobuf;
pub mod registry;
mod wire;

use std::sync::Arc;

use millstream_core::formats::{self as port, Converted};
use millstream_core::function::Rejection;
use millstream_core::record::BytesColumn;

use codec::{Codec, Schemas, Wrong};
use limits::BATCH_BYTES_MAX;
use registry::{Access, Client};

pub use registry::Kind;

/// One format of keys or values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON without a schema.
    Json,
    /// By a schema from a file; without the header that a registry's producers write.
    File(Kind, Schema),
    /// By the schema that each record names. To write: that of a subject.
    Registry(Kind, Subject),
}

/// A schema from a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// Its text.
    pub text: String,
    /// Names and texts of what it refers to, each behind those that it refers to itself: Avro's other schemas, files by the
    /// name that `import` has, schemas by the name that `$ref` has.
    pub references: Vec<(String, String)>,
    /// Which of Protobuf's messages; without it the file's first.
    pub message: Option<String>,
}

/// By which of a registry's schemas results are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The subject's name.
    pub name: String,
    /// The schema, one that the subject has; without it the newest that there is when it is first needed.
    pub schema: Option<String>,
    /// Whether the schema is registered where the subject has it not.
    pub register: bool,
    /// Which of Protobuf's messages; without it the first.
    pub message: Option<String>,
}

/// The formats of a pipeline.
#[derive(Debug)]
pub struct Formats {
    codecs: Vec<Codec>,
}

impl Formats {
    /// Reads schemas of files; asks no registry yet. Formats have the numbers of their places in the list.
    ///
    /// # Errors
    /// What is wrong with which format (by its place), or with the access to the registry.
    pub fn open(access: Option<Access>, formats: Vec<Format>) -> Result<Self, (Option<usize>, String)> {
        let client = access.map(Client::new).transpose().map_err(|why| (None, why))?;
        let schemas = client.map(|client| Arc::new(Schemas::new(client)));
        let codec = |(i, format)| Codec::open(format, schemas.as_ref()).map_err(|why| (Some(i), why));
        Ok(Self { codecs: formats.into_iter().enumerate().map(codec).collect::<Result<_, _>>()? })
    }
}

impl port::Formats for Formats {
    fn decode(&self, format: usize, items: &BytesColumn) -> Result<Converted, port::Unavailable> {
        let mut session = self.codec(format)?.session();
        convert(items, BATCH_BYTES_MAX, |item, out| session.decode(item, out))
    }

    fn encode(&self, format: usize, items: &BytesColumn) -> Result<Converted, port::Unavailable> {
        let mut session = self.codec(format)?.session();
        convert(items, BATCH_BYTES_MAX, |item, out| session.encode(item, out))
    }
}

impl Formats {
    fn codec(&self, format: usize) -> Result<&Codec, port::Unavailable> {
        self.codecs.get(format).ok_or_else(|| port::Unavailable(format!("there is no format {format}")))
    }
}

/// Items that come to more than `bytes_max` together are refused.
fn convert(
    items: &BytesColumn,
    bytes_max: usize,
    mut one: impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Wrong>,
) -> Result<Converted, port::Unavailable> {
    let mut out = Converted { items: BytesColumn::with_capacity(items.len(), items.bytes()), rejected: Vec::new() };
    let (mut item, mut bytes) = (Vec::new(), 0);
    for i in 0..items.len() {
        let Some(given) = items.get(i) else {
            out.items.push(None);
            continue;
        };
        item.clear();
        let converted = one(given, &mut item).and_then(|()| match bytes + item.len() > bytes_max {
            true => Err(Wrong::Item(format!("the values of its batch come to more than {bytes_max} bytes"))),
            false => Ok(()),
        });
        match converted {
            Ok(()) => {
                bytes += item.len();
                out.items.push(Some(&item));
            }
            Err(Wrong::Item(reason)) => {
                out.rejected.push(Rejection { index: i as u32, reason });
                out.items.push(None);
            }
            Err(Wrong::Unavailable(why)) => return Err(port::Unavailable(why)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_room_for_so_much_to_the_last_byte() {
        let mut items = BytesColumn::default();
        [Some(&b"abc"[..]), None, Some(b"de"), Some(b"fgh"), Some(b"i")].into_iter().for_each(|i| items.push(i));
        let copy = |item: &[u8], out: &mut Vec<u8>| {
            out.extend_from_slice(item);
            Ok(())
        };
        let refused = |bytes_max| {
            let converted = convert(&items, bytes_max, copy).unwrap();
            assert!(converted.items.len() == 5 && converted.items.is_null(1));
            converted.rejected.into_iter().map(|r| r.index).collect::<Vec<_>>()
        };
        assert_eq!((refused(9), refused(8), refused(6), refused(4)), (vec![], vec![4], vec![3], vec![2, 3]));
    }
}
