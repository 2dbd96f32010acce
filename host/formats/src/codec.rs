//! One format at work: which schema a value has, and what the schema makes of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::avro;
use crate::cache::Cache;
use crate::json::Json;
use crate::json_schema;
use crate::limits::{CACHED_SCHEMAS_MAX, CACHED_UNKNOWN_MAX, UNKNOWN_MS};
use crate::protobuf;
use crate::registry::{Client, Kind, Text, Unavailable};
use crate::wire;
use crate::{Format, Schema, Subject};

/// Why a value was not converted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The value is to blame.
    Item(String),
    /// Whether it is cannot be said now.
    Unavailable(String),
}

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Wrong::Item(why)
    }
}

impl From<Unavailable> for Wrong {
    fn from(unavailable: Unavailable) -> Self {
        Wrong::Unavailable(unavailable.0)
    }
}

/// A schema, read.
#[derive(Debug)]
enum Read {
    Avro(avro::Schema),
    Protobuf(protobuf::Schema),
    Json(Box<json_schema::Schema>),
}

impl Read {
    fn parse(kind: Kind, text: &str, references: &[(String, String)]) -> Result<Self, String> {
        Ok(match kind {
            Kind::Avro => {
                let before: Vec<String> = references.iter().map(|(_, text)| text.clone()).collect();
                Read::Avro(avro::Schema::parse(text, &before)?)
            }
            Kind::Protobuf => Read::Protobuf(protobuf::Schema::parse(text, references)?),
            Kind::Json => Read::Json(Box::new(json_schema::Schema::parse(text, references)?)),
        })
    }
}

/// A schema that may have turned out to be of no use: which it then stays.
type Usable = Result<Arc<Read>, String>;

/// The schemas of a registry, kept by id: what an id stands for never changes.
#[derive(Debug)]
pub struct Schemas {
    client: Client,
    known: Mutex<Cache<Usable>>,
    unknown: Mutex<Cache<String>>,
    asking: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Schemas {
    pub fn new(client: Client) -> Self {
        let (known, unknown) = (Mutex::new(Cache::new(CACHED_SCHEMAS_MAX)), Mutex::new(Cache::new(CACHED_UNKNOWN_MAX)));
        Self { client, known, unknown, asking: Mutex::new(()) }
    }

    fn by_id(&self, kind: Kind, id: u32) -> Result<Arc<Read>, Wrong> {
        if let Some(kept) = self.kept(kind, id) {
            return kept;
        }
        // Of workers that miss the same schema one asks; the others find what came.
        let _one = lock(&self.asking);
        if let Some(kept) = self.kept(kind, id) {
            return kept;
        }
        match self.client.by_id(id)? {
            Ok(text) => fits(kind, id, self.keep(id, &text)),
            Err(why) => {
                // It may be registered yet; those who come within a moment get the same answer.
                let keep = Some((Duration::from_millis(UNKNOWN_MS), Instant::now()));
                lock(&self.unknown).put(id, why.clone(), keep);
                Err(Wrong::Item(why))
            }
        }
    }

    fn kept(&self, kind: Kind, id: u32) -> Option<Result<Arc<Read>, Wrong>> {
        let now = Instant::now();
        if let Some(usable) = lock(&self.known).get(id, now) {
            return Some(fits(kind, id, usable));
        }
        lock(&self.unknown).get(id, now).map(|why| Err(Wrong::Item(why)))
    }

    fn keep(&self, id: u32, text: &Text) -> Usable {
        let kind = [Kind::Avro, Kind::Protobuf, Kind::Json].into_iter().find(|k| k.word() == text.kind);
        let read = kind.ok_or_else(|| format!("a schema of the kind {}", text.kind));
        let read = read.and_then(|kind| Read::parse(kind, &text.schema, &text.references));
        let usable = read.map(Arc::new).map_err(|why| format!("schema {id} cannot be used: {why}"));
        lock(&self.known).put(id, usable.clone(), None);
        usable
    }

    /// The schema by which results of a subject are written, with its id.
    fn target(&self, kind: Kind, subject: &Subject) -> Result<(u32, Arc<Read>), Wrong> {
        // Whatever a subject lacks may be there later, and no result is to blame.
        let missing = |why: String| Wrong::Unavailable(why);
        let Some(schema) = &subject.schema else {
            let (id, text) = self.client.latest(&subject.name)?.map_err(missing)?;
            return Ok((id, fits(kind, id, self.keep(id, &text)).map_err(unavailable)?));
        };
        let id = self.client.id_of(&subject.name, kind, schema, subject.register)?.map_err(missing)?;
        Ok((id, self.by_id(kind, id).map_err(unavailable)?))
    }
}

fn unavailable(wrong: Wrong) -> Wrong {
    let (Wrong::Item(why) | Wrong::Unavailable(why)) = wrong;
    Wrong::Unavailable(why)
}

/// Whether a schema is of the kind that the format says.
fn fits(kind: Kind, id: u32, usable: Usable) -> Result<Arc<Read>, Wrong> {
    let read = usable.map_err(Wrong::Item)?;
    let found = match *read {
        Read::Avro(_) => Kind::Avro,
        Read::Protobuf(_) => Kind::Protobuf,
        Read::Json(_) => Kind::Json,
    };
    match found == kind {
        true => Ok(read),
        false => Err(Wrong::Item(format!("schema {id} is {}, where {} is expected", found.word(), kind.word()))),
    }
}

/// A schema and what belongs to it, ready to write by.
#[derive(Clone, Debug)]
pub struct Target {
    /// What goes into the header; `None`: there is none.
    id: Option<u32>,
    schema: Arc<Read>,
    message: Option<protobuf::Message>,
}

/// A format at work.
#[derive(Debug)]
pub enum Codec {
    Json,
    File(Box<Fixed>),
    Registry { kind: Kind, subject: Subject, schemas: Arc<Schemas>, target: Mutex<Option<Target>> },
}

/// A schema that is always the same.
#[derive(Debug)]
pub struct Fixed(Target);

impl Codec {
    pub fn open(format: Format, schemas: Option<&Arc<Schemas>>) -> Result<Self, String> {
        Ok(match format {
            Format::Json => Codec::Json,
            Format::File(kind, Schema { text, references, message }) => {
                let schema = Arc::new(Read::parse(kind, &text, &references)?);
                let message = message_of(&schema, message.as_deref())?;
                Codec::File(Box::new(Fixed(Target { id: None, schema, message })))
            }
            Format::Registry(kind, subject) => {
                let schemas = schemas.ok_or("a format by a registry, and no `registry` is given")?.clone();
                if let (Some(text), false) = (&subject.schema, kind == Kind::Protobuf) {
                    // What cannot be read now would only be seen with the first result.
                    Read::parse(kind, text, &[])?;
                }
                Codec::Registry { kind, subject, schemas, target: Mutex::new(None) }
            }
        })
    }

    /// For the values of a batch.
    pub fn session(&self) -> Session<'_> {
        Session { codec: self, last: None, target: None }
    }
}

fn message_of(schema: &Read, name: Option<&str>) -> Result<Option<protobuf::Message>, String> {
    match schema {
        Read::Protobuf(schema) => schema.named(name).map(Some),
        _ => Ok(None),
    }
}

/// The values of a batch: mostly all have one schema.
pub struct Session<'c> {
    codec: &'c Codec,
    last: Option<(u32, Arc<Read>)>,
    target: Option<Target>,
}

impl Session<'_> {
    pub fn decode(&mut self, item: &[u8], out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self.codec {
            Codec::Json => Json::parse(item)?.write(out),
            Codec::File(fixed) => match (&*fixed.0.schema, &fixed.0.message) {
                (Read::Avro(schema), _) => avro::decode(schema, item, out)?,
                (Read::Json(schema), _) => schema.check(item, out)?,
                (Read::Protobuf(_), Some(message)) => message.decode(item, out)?,
                (Read::Protobuf(_), None) => unreachable!("opened with its message"),
            },
            Codec::Registry { kind, schemas, .. } => {
                let (id, payload) = wire::open(item)?;
                let schema = match &self.last {
                    Some((last, schema)) if *last == id => schema.clone(),
                    _ => schemas.by_id(*kind, id)?,
                };
                self.last = Some((id, schema.clone()));
                let with_id = |why: String| Wrong::Item(format!("by schema {id}: {why}"));
                match &*schema {
                    Read::Avro(schema) => avro::decode(schema, payload, out).map_err(with_id)?,
                    Read::Json(schema) => schema.check(payload, out).map_err(with_id)?,
                    Read::Protobuf(schema) => {
                        let (indexes, payload) = wire::open_indexes(payload).map_err(with_id)?;
                        schema.at(&indexes).and_then(|m| m.decode(payload, out)).map_err(with_id)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub fn encode(&mut self, item: &[u8], out: &mut Vec<u8>) -> Result<(), Wrong> {
        match self.codec {
            Codec::Json => Json::parse(item)?.write(out),
            Codec::File(fixed) => fixed.0.write(item, out)?,
            Codec::Registry { kind, subject, schemas, target } => {
                if self.target.is_none() {
                    let mut kept = lock(target);
                    if kept.is_none() {
                        let (id, schema) = schemas.target(*kind, subject)?;
                        let message = message_of(&schema, subject.message.as_deref()).map_err(Wrong::Unavailable)?;
                        *kept = Some(Target { id: Some(id), schema, message });
                    }
                    self.target.clone_from(&kept);
                }
                if let Some(target) = &self.target {
                    target.write(item, out)?;
                }
            }
        }
        Ok(())
    }
}

impl Target {
    fn write(&self, item: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if let Some(id) = self.id {
            wire::write(id, out);
        }
        match (&*self.schema, &self.message) {
            (Read::Avro(schema), _) => avro::encode(schema, &Json::parse(item)?, out),
            (Read::Json(schema), _) => schema.check(item, out),
            (Read::Protobuf(_), Some(message)) => {
                if self.id.is_some() {
                    wire::write_indexes(&message.indexes, out);
                }
                message.encode(item, out)
            }
            (Read::Protobuf(_), None) => unreachable!("found with its message"),
        }
    }
}
