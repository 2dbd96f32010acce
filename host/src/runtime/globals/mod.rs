//! Global tables on this host: their rows, how far their topics have been read, and the port by which the engine looks rows up.
//!
//! Rows and positions of a table lie in one keyspace and are written together, so that what is kept is always some prefix of what was
//! read. Each key begins with the number of a *build*: a table that has to be read again from the beginning is built beside the
//! one that is looked at, and takes its place when it is whole. Who reads is beside: `local`, `kafka`.

pub mod kafka;
pub mod local;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millstream_core::formats::Pair;
use millstream_core::globals::Globals;
use millstream_core::record::{Batch, BytesColumn};
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, StorageError, Write};
use millstream_core::topology::graph::Topology;
use millstream_core::topology::spec::{OnError, Spec};

use super::formats::Shared;

/// Form of what is stored: the first byte of the note of which build is looked at, and of each row.
const VERSION: u8 = 1;

/// First bytes of keys.
const CURRENT: u8 = 0x01;
const POSITION: u8 = 0x02;
const ROW: u8 = 0x03;
const MADE_FROM: u8 = 0x04;

/// How far a partition has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Offset of the next record.
    pub offset: i64,
    /// Wall time at which that was written, milliseconds since the epoch.
    pub written_at: i64,
}

/// Why records were not taken into a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// It cannot be said now what they mean, or they cannot be written now: try the same again.
    #[error("{0}")]
    Retry(String),
    /// A record is bad, and `on-error` says `fail`; or what is stored is damaged.
    #[error("{0}")]
    Fatal(String),
}

impl From<StorageError> for FillError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(why) => FillError::Retry(why),
            StorageError::Corrupted(why) => FillError::Fatal(why),
        }
    }
}

/// Records to take into a table.
pub struct Fill<'f> {
    /// The table.
    pub table: usize,
    /// The build.
    pub build: u32,
    /// Which of the table's topics, by its place among them.
    pub topic: usize,
    /// The partition.
    pub partition: u32,
    /// Offset of the first record, for messages.
    pub from: i64,
    /// The records.
    pub batch: &'f Batch,
    /// What the position is behind them.
    pub position: Position,
}

/// Records as functions see them.
struct Decoded {
    keys: Arc<BytesColumn>,
    values: Arc<BytesColumn>,
    /// Places of those that have no such form.
    bad: Vec<usize>,
}

/// The rows of all global tables of a pipeline.
pub struct Rows {
    db: Arc<dyn Keyspaces>,
    formats: Shared,
    tables: Vec<Table>,
}

struct Table {
    name: String,
    topics: Vec<String>,
    space: Space,
    pair: Pair,
    skips: bool,
    /// The build that is looked at.
    current: AtomicU32,
    /// Why it does not go on.
    failed: Mutex<Option<String>>,
}

impl Rows {
    /// Opens the tables of a topology.
    ///
    /// # Errors
    /// Those of the storage; of a form that this version does not know.
    pub fn open(
        db: Arc<dyn Keyspaces>,
        topology: &Topology,
        spec: &Spec,
        formats: Shared,
    ) -> Result<Self, StorageError> {
        let mut tables = Vec::new();
        for global in &topology.globals {
            let space = db.open_space(&format!("global.{}", global.name), SpaceKind::State)?;
            let current = match db.get(space, &[CURRENT])?.as_deref() {
                None => 0,
                Some([VERSION, build @ ..]) => number(build)?,
                Some(_) => return Err(unknown_form(&global.name)),
            };
            let source = spec.sources.iter().find(|source| source.name == global.source);
            tables.push(Table {
                name: global.name.clone(),
                topics: global.topics.iter().map(|topic| topology.topics[*topic].name.clone()).collect(),
                space,
                pair: topology.formats.sources.get(&global.source).copied().unwrap_or_default(),
                skips: source.is_some_and(|source| source.on_error == OnError::Skip),
                current: AtomicU32::new(current),
                failed: Mutex::default(),
            });
        }
        Ok(Self { db, formats, tables })
    }

    /// How many tables there are.
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// A table's name.
    pub fn name(&self, table: usize) -> &str {
        &self.tables[table].name
    }

    /// The topics that a table is read from.
    pub fn topics(&self, table: usize) -> &[String] {
        &self.tables[table].topics
    }

    /// The build of a table that is looked at.
    pub fn current(&self, table: usize) -> u32 {
        self.tables[table].current.load(Ordering::Acquire)
    }

    /// What a build is made from, as whoever reads has noted it.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn made_from(&self, table: usize, build: u32) -> Result<Option<Vec<u8>>, StorageError> {
        self.db.get(self.tables[table].space, &build_key(MADE_FROM, build))
    }

    /// Notes what a build is made from.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn note_made_from(&self, table: usize, build: u32, made_from: &[u8]) -> Result<(), StorageError> {
        let note = Write::Put(self.tables[table].space, build_key(MADE_FROM, build), made_from.to_vec());
        self.db.apply(vec![note], Durability::Process)
    }

    /// How far a partition has been read for a build; `None`: not at all.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn position(
        &self,
        table: usize,
        build: u32,
        topic: usize,
        partition: u32,
    ) -> Result<Option<Position>, StorageError> {
        let Table { space, name, .. } = &self.tables[table];
        let Some(bytes) = self.db.get(*space, &position_key(build, topic, partition))? else { return Ok(None) };
        let read = |at: &[u8]| at.try_into().ok().map(i64::from_be_bytes);
        let both = bytes.split_at_checked(8).and_then(|(offset, at)| Some((read(offset)?, read(at)?)));
        let (offset, written_at) = both.ok_or_else(|| unknown_form(name))?;
        Ok(Some(Position { offset, written_at }))
    }

    /// Begins a build beside the one that is looked at, empty.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn begin_build(&self, table: usize) -> Result<u32, StorageError> {
        let build = self.current(table).wrapping_add(1);
        self.db.apply(self.without(table, build), Durability::Process)?;
        Ok(build)
    }

    /// A build is whole: it is looked at from now on, and the one before is gone.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn take_build(&self, table: usize, build: u32) -> Result<(), StorageError> {
        let Table { space, current, .. } = &self.tables[table];
        let before = self.current(table);
        if before == build {
            return Ok(());
        }
        let note = [&[VERSION][..], &build.to_be_bytes()].concat();
        self.db.apply(vec![Write::Put(*space, vec![CURRENT], note)], Durability::Process)?;
        current.store(build, Ordering::Release);
        // Whoever looks now has the new build; what is left of the old one if this fails is deleted before its number is used again.
        self.db.apply(self.without(table, before), Durability::Process)
    }

    fn without(&self, table: usize, build: u32) -> Vec<Write> {
        let space = self.tables[table].space;
        let all = |kind: u8| {
            let to = build.checked_add(1).map_or_else(|| vec![kind + 1], |next| build_key(kind, next));
            Write::DeleteRange(space, build_key(kind, build), to)
        };
        vec![all(POSITION), all(ROW), all(MADE_FROM)]
    }

    /// Takes records into a build, in order; gives how many were left out: without a key, or bad where `on-error` skips those.
    ///
    /// # Errors
    /// [`FillError`]; then none of them was taken.
    pub fn fill(&self, fill: &Fill<'_>) -> Result<usize, FillError> {
        let table = &self.tables[fill.table];
        let decoded = self.decoded(table, fill)?;
        let Decoded { keys, values, bad } = &decoded;
        let (mut writes, mut left_out) = (Vec::with_capacity(fill.batch.len() + 1), 0);
        for i in 0..fill.batch.len() {
            let Some(key) = keys.get(i).filter(|_| !bad.contains(&i)) else {
                left_out += 1;
                continue;
            };
            let at = row_key(fill.build, key);
            writes.push(match values.get(i) {
                None => Write::Delete(table.space, at),
                Some(value) => {
                    let time = fill.batch.timestamps[i].to_be_bytes();
                    Write::Put(table.space, at, [&[VERSION][..], &time, value].concat())
                }
            });
        }
        let Position { offset, written_at } = fill.position;
        let position = [offset.to_be_bytes(), written_at.to_be_bytes()].concat();
        writes.push(Write::Put(table.space, position_key(fill.build, fill.topic, fill.partition), position));
        self.db.apply(writes, Durability::Process)?;
        Ok(left_out)
    }

    /// Records as functions see them.
    fn decoded(&self, table: &Table, fill: &Fill<'_>) -> Result<Decoded, FillError> {
        let mut bad = Vec::new();
        let mut one = |format: Option<usize>, items: &Arc<BytesColumn>, part: &str| {
            let Some(format) = format else { return Ok(items.clone()) };
            let converted = self.formats.decode(format, items).map_err(|why| FillError::Retry(why.to_string()))?;
            if let Some(first) = converted.rejected.first().filter(|_| !table.skips) {
                let (offset, topic) = (fill.from + i64::from(first.index), &table.topics[fill.topic]);
                return Err(FillError::Fatal(format!(
                    "global table `{}`: the {part} of the record of {topic}-{} near offset {offset} is bad: {}; leave such records \
                     out with `on-error: skip` on its source",
                    table.name, fill.partition, first.reason
                )));
            }
            bad.extend(converted.rejected.iter().map(|r| r.index as usize));
            Ok(Arc::new(converted.items))
        };
        let keys = one(table.pair.key, &fill.batch.keys, "key")?;
        let values = one(table.pair.value, &fill.batch.values, "value")?;
        Ok(Decoded { keys, values, bad })
    }

    /// A table does not go on: whoever looks is told why.
    pub fn fail(&self, table: usize, why: String) {
        *self.tables[table].failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Why a table does not go on, the first that does not.
    pub fn failed(&self) -> Option<String> {
        self.tables.iter().find_map(|table| table.failed.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Globals for Rows {
    fn rows(&self, table: usize, keys: &[Option<&[u8]>]) -> Result<BytesColumn, StorageError> {
        let Table { space, name, failed, .. } = &self.tables[table];
        if let Some(why) = failed.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(StorageError::Unavailable(why));
        }
        let mut out = BytesColumn::default();
        let build = self.current(table);
        for key in keys {
            let stored = key.map(|key| self.db.get(*space, &row_key(build, key))).transpose()?.flatten();
            match stored.as_deref() {
                None => out.push(None),
                Some([VERSION, rest @ ..]) if rest.len() >= 8 => out.push(Some(&rest[8..])),
                Some(_) => return Err(unknown_form(name)),
            }
        }
        // A build that was replaced meanwhile lost rows under our eyes.
        if self.current(table) != build { self.rows(table, keys) } else { Ok(out) }
    }
}

fn build_key(kind: u8, build: u32) -> Vec<u8> {
    [&[kind][..], &build.to_be_bytes()].concat()
}

fn row_key(build: u32, key: &[u8]) -> Vec<u8> {
    [&[ROW][..], &build.to_be_bytes(), key].concat()
}

fn position_key(build: u32, topic: usize, partition: u32) -> Vec<u8> {
    [&[POSITION][..], &build.to_be_bytes(), &(topic as u32).to_be_bytes(), &partition.to_be_bytes()].concat()
}

fn number(bytes: &[u8]) -> Result<u32, StorageError> {
    let bytes = bytes.try_into().map_err(|_| StorageError::Corrupted("a build has no number".into()))?;
    Ok(u32::from_be_bytes(bytes))
}

fn unknown_form(table: &str) -> StorageError {
    StorageError::Corrupted(format!("global table `{table}` is stored in a form that this version does not know"))
}

#[cfg(test)]
mod tests;
