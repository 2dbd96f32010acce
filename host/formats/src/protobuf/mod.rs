//! Protobuf: `.proto` texts, and messages between their binary form and proto3's JSON mapping.
//!
//! The mapping is `prost-reflect`'s. It keeps maps in hash maps, whose order differs from run to run; `order` brings their
//! entries into one order, in JSON and in the binary form, since results must not differ.

mod order;

use std::collections::BTreeMap;

use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::json::Json;
use crate::limits::{DECODED_BYTES_MAX, ENCODED_BYTES_MAX, SCHEMA_BYTES_MAX};

/// The name that a text from a registry has as a file; what refers to others names those.
const MAIN: &str = "schema.proto";

/// The messages of a `.proto` text.
#[derive(Clone, Debug)]
pub struct Schema {
    pool: DescriptorPool,
}

/// A message of a schema.
#[derive(Clone, Debug)]
pub struct Message {
    descriptor: MessageDescriptor,
    /// Where it stands in its file, by number of the message on each level.
    pub indexes: Vec<usize>,
    /// Whether it may hold maps.
    has_maps: bool,
}

/// Texts by the name that `import` has.
struct Texts(BTreeMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

impl Schema {
    /// Reads a text. `imports`: other texts, by the names that `import` has; Google's own files are there.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str, imports: &[(String, String)]) -> Result<Self, String> {
        let mut texts: BTreeMap<String, String> = imports.iter().cloned().collect();
        texts.insert(MAIN.into(), text.into());
        if let Some((name, text)) = texts.iter().find(|(_, text)| text.len() > SCHEMA_BYTES_MAX) {
            return Err(format!("`{name}` has {} bytes, and at most {SCHEMA_BYTES_MAX} are read", text.len()));
        }
        let mut resolver = ChainFileResolver::new();
        resolver.add(Texts(texts));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(MAIN).map_err(|why| format!("the Protobuf schema does not compile: {why}"))?;
        Ok(Self { pool: compiler.descriptor_pool() })
    }

    /// The message at a place in the file.
    ///
    /// # Errors
    /// Which place has none.
    pub fn at(&self, indexes: &[usize]) -> Result<Message, String> {
        let missing = || format!("the Protobuf schema has no message at {indexes:?}");
        let file = self.pool.get_file_by_name(MAIN).ok_or_else(missing)?;
        let (first, inner) = indexes.split_first().ok_or_else(missing)?;
        let mut found = file.messages().nth(*first).ok_or_else(missing)?;
        for index in inner {
            let next = children(&found).nth(*index).ok_or_else(missing)?;
            found = next;
        }
        Ok(Message { has_maps: order::has_maps(&found), descriptor: found, indexes: indexes.to_vec() })
    }

    /// A message by its name, with or without its package; without a name the file's first.
    ///
    /// # Errors
    /// What there is instead.
    pub fn named(&self, name: Option<&str>) -> Result<Message, String> {
        let Some(name) = name else { return self.at(&[0]) };
        let file = self.pool.get_file_by_name(MAIN).ok_or("the Protobuf schema has no file")?;
        let mut open: Vec<(Vec<usize>, MessageDescriptor)> =
            file.messages().enumerate().map(|(i, m)| (vec![i], m)).collect();
        let mut known = Vec::new();
        while let Some((place, message)) = open.pop() {
            let full = message.full_name();
            let short = full.strip_prefix(file.package_name()).map_or(full, |rest| rest.trim_start_matches('.'));
            if full == name || short == name {
                return self.at(&place);
            }
            known.push(full.to_string());
            open.extend(children(&message).enumerate().map(|(i, m)| ([&place[..], &[i]].concat(), m)));
        }
        known.sort();
        Err(format!("the Protobuf schema has no message `{name}`; there are {}", known.join(", ")))
    }
}

/// Messages written within another. The entries of maps are messages too, and nobody wrote them.
fn children(of: &MessageDescriptor) -> impl Iterator<Item = MessageDescriptor> {
    of.child_messages().filter(|m| !m.is_map_entry())
}

impl Message {
    /// Writes a message as JSON. Fields that the schema does not know are left out.
    ///
    /// # Errors
    /// What is wrong with the bytes, or with what they hold.
    pub fn decode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let message = DynamicMessage::decode(self.descriptor.clone(), bytes)
            .map_err(|why| format!("not a `{}`: {why}", self.descriptor.full_name()))?;
        let mut text = Bounded(Vec::new());
        let mut serializer = serde_json::Serializer::new(&mut text);
        message
            .serialize_with_options(&mut serializer, &SerializeOptions::new())
            .map_err(|why| format!("`{}` has no form in JSON: {why}", self.descriptor.full_name()))?;
        if self.has_maps {
            let mut json = Json::parse(&text.0)?;
            order::json(&mut json, &self.descriptor);
            json.write(out);
        } else {
            out.extend_from_slice(&text.0);
        }
        Ok(())
    }

    /// Writes JSON as a message: fields in the order of their numbers, entries of maps in that of their keys.
    ///
    /// # Errors
    /// What does not fit.
    pub fn encode(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        // Names given twice, depth and length are looked at here, and nowhere behind.
        Json::parse(bytes)?;
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let message = DynamicMessage::deserialize_with_options(self.descriptor.clone(), &mut deserializer, &options)
            .map_err(|why| format!("not a `{}`: {why}", self.descriptor.full_name()))?;
        let encoded = message.encode_to_vec();
        if encoded.len() > ENCODED_BYTES_MAX {
            return Err(format!("{} bytes as Protobuf; at most {ENCODED_BYTES_MAX} are written", encoded.len()));
        }
        match self.has_maps {
            true => order::binary(&self.descriptor, &encoded, out),
            false => out.extend_from_slice(&encoded),
        }
        Ok(())
    }
}

/// Takes no more than a value may have.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > DECODED_BYTES_MAX {
            return Err(std::io::Error::other(format!("more than {DECODED_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
