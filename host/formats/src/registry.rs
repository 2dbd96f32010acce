//! Asking a Schema Registry, over HTTP: Confluent's interface, which others (Apicurio, Karapace, Redpanda) have too.
//!
//! A registry that does not answer is asked again, a bounded number of times within a bounded time; then the caller is told
//! to come back later. That a schema is not there is an answer, and only believed from a registry: a page of some proxy
//! that says 404 is a fault.

mod client;

pub use client::{Access, Auth, Client};

use std::collections::HashSet;

use serde::Deserialize;

use crate::limits::{REFERENCES_MAX, SCHEMA_BYTES_MAX};

/// No answer could be had; nothing is known of the records. Come back later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// What kind of schema a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Apache Avro.
    Avro,
    /// Protocol Buffers.
    Protobuf,
    /// JSON Schema.
    Json,
}

impl Kind {
    /// The registry's word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Avro => "AVRO",
            Kind::Protobuf => "PROTOBUF",
            Kind::Json => "JSON",
        }
    }
}

/// A schema with those that it refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The registry's word for what it is.
    pub kind: String,
    /// The schema.
    pub schema: String,
    /// Names and texts of what it refers to, each behind those that it refers to itself.
    pub references: Vec<(String, String)>,
}

/// An answer: what was asked for, or why there is none.
pub type Found<T> = Result<T, String>;

#[derive(Debug, Deserialize)]
struct Given {
    id: Option<u32>,
    schema: Option<String>,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Clone, Debug, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

impl Client {
    /// The schema with an id. The inner error: there is none, or none that can be used, and that stays so.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn by_id(&self, id: u32) -> Result<Found<Text>, Unavailable> {
        match self.get(&format!("/schemas/ids/{id}"))? {
            Ok(answer) => self.whole(answer),
            Err(why) => Ok(Err(format!("the registry has no schema {id}: {why}"))),
        }
    }

    /// The newest schema of a subject, with its id.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn latest(&self, subject: &str) -> Result<Found<(u32, Text)>, Unavailable> {
        let given: Given = match self.get(&format!("/subjects/{}/versions/latest", segment(subject)))? {
            Ok(given) => given,
            Err(why) => return Ok(Err(format!("subject `{subject}` has no schema: {why}"))),
        };
        let Some(id) = given.id else { return Err(self.strange("a schema without its id")) };
        Ok(self.whole(given)?.map(|text| (id, text)))
    }

    /// The id that a schema has under a subject. `register`: it gets one where it has none.
    ///
    /// # Errors
    /// When there was no answer.
    pub fn id_of(&self, subject: &str, kind: Kind, schema: &str, register: bool) -> Result<Found<u32>, Unavailable> {
        let path = format!("/subjects/{}{}", segment(subject), if register { "/versions" } else { "" });
        let body = serde_json::json!({ "schema": schema, "schemaType": kind.word() }).to_string();
        let given: Given = match self.post(&path, &body)? {
            Ok(given) => given,
            Err(why) => return Ok(Err(format!("subject `{subject}` does not take the schema: {why}"))),
        };
        given.id.map(Ok).ok_or_else(|| self.strange("no id of the schema"))
    }

    /// A schema together with what it refers to.
    fn whole(&self, given: Given) -> Result<Found<Text>, Unavailable> {
        let Some(schema) = given.schema else { return Err(self.strange("no schema")) };
        let mut texts = Vec::new();
        let mut seen = HashSet::new();
        // What stands in `open` twice was gone into, and is taken when all that it refers to has been.
        let mut open: Vec<(Reference, Option<String>)> =
            given.references.into_iter().rev().map(|r| (r, None)).collect();
        while let Some((reference, text)) = open.pop() {
            if let Some(text) = text {
                texts.push((reference.name, text));
                continue;
            }
            let Reference { name, subject, version } = &reference;
            if !seen.insert((subject.clone(), *version)) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                return Ok(Err(format!("the schema refers to more than {REFERENCES_MAX} others")));
            }
            let path = format!("/subjects/{}/versions/{version}", segment(subject));
            let inner: Given = match self.get(&path)? {
                Ok(inner) => inner,
                Err(why) => return Ok(Err(format!("`{name}`, which the schema refers to, is not there: {why}"))),
            };
            let Some(text) = inner.schema else { return Err(self.strange("no schema")) };
            open.push((reference, Some(text)));
            open.extend(inner.references.into_iter().rev().map(|r| (r, None)));
        }
        if schema.len() > SCHEMA_BYTES_MAX {
            return Ok(Err(format!("the schema has {} bytes; at most {SCHEMA_BYTES_MAX} are read", schema.len())));
        }
        Ok(Ok(Text { kind: given.kind.unwrap_or_else(|| Kind::Avro.word().into()), schema, references: texts }))
    }
}

/// A subject within a path.
fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_stand_in_paths() {
        assert_eq!(segment("orders-value"), "orders-value");
        assert_eq!(segment(":.ctx:a/b é"), "%3A.ctx%3Aa%2Fb%20%C3%A9");
    }
}
