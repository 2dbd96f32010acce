//! States that a function has laid out, in whichever store they are: which are in another layout than that of the version in force, and
//! how each is written anew. That changes no result: it means the same.

use alloc::vec::Vec;

use super::entries::Entries;
use super::key;
use super::keyspace::{Scan, StorageError};
use super::sessions::{Session, Sessions};
use super::slices::Slices;
use super::store::{Ground, Most, Slot, Store};
use super::value::State;
use crate::record::Timestamp;

/// A state as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'r> {
    pub key: &'r [u8],
    pub layout: u32,
    pub state: &'r [u8],
}

/// States that can be written anew.
pub(crate) trait Rows {
    /// Names one of them, for as long as nothing else happens to them.
    type Id: Copy;

    /// A state; `None`: it is gone.
    fn row(&self, id: Self::Id) -> Option<Row<'_>>;

    /// Writes a state in another layout: nothing leaves because of it.
    fn rewrite(&mut self, id: Self::Id, layout: u32, state: State);

    /// Bytes that a row of this key takes in a changelog besides its state, at the most.
    fn stored_bytes(key: &[u8]) -> usize;
}

/// A store of a task, with its database.
pub(crate) trait Layered: Rows {
    /// States in memory that are in another layout, up to a limit.
    fn other_layouts(&self, layout: u32, most: Most) -> Vec<Self::Id>;

    /// The same of the database, from a key on and over so many rows of any layout; moves the key behind them, `None` at the end. Gives how
    /// many rows it looked at, too. Right once nothing in memory is in another layout.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<Self::Id>, usize), StorageError>;
}

/// What is found one by one, up to a limit.
pub(super) struct Found<T> {
    most: Most,
    bytes: usize,
    pub all: Vec<T>,
}

impl<T> Found<T> {
    pub fn new(most: Most) -> Self {
        Self { most, bytes: 0, all: Vec::new() }
    }

    /// Whether the limit is reached.
    pub fn is_full(&self) -> bool {
        self.all.len() >= self.most.rows || self.bytes >= self.most.bytes
    }

    pub fn push(&mut self, one: T, state: &[u8]) {
        self.bytes += state.len();
        self.all.push(one);
    }
}

/// Reads a row's value: its state, if that is in another layout than is wanted.
type Other<'o> = dyn for<'v> FnMut(&'v [u8]) -> Result<Option<&'v [u8]>, StorageError> + 'o;

/// Looks at so many rows of a database from a key on, and moves the key behind them, `None` at the end: those whose states `other` says are
/// in another layout, by what stands behind `prefix` in their keys, and how many were looked at.
pub(super) fn scan_others(
    ground: Ground<'_>,
    prefix: &[u8],
    from: &mut Option<Vec<u8>>,
    most: Most,
    other: &mut Other<'_>,
) -> Result<(Vec<Vec<u8>>, usize), StorageError> {
    let (begin, to) = (from.take().unwrap_or_else(|| prefix.to_vec()), key::successor(prefix));
    let (mut found, mut failed, mut looked) = (Found::new(most), None, 0);
    ground.db.scan(ground.space, &begin, to.as_deref(), &mut |key, value| {
        if looked == most.rows || found.is_full() {
            *from = Some(key.to_vec());
            return Scan::Stop;
        }
        looked += 1;
        match other(value) {
            Ok(state) => {
                if let Some(state) = state {
                    found.push(key[prefix.len()..].to_vec(), state);
                }
                Scan::Continue
            }
            Err(error) => {
                failed = Some(error);
                Scan::Stop
            }
        }
    })?;
    failed.map_or(Ok((found.all, looked)), Err)
}

impl Rows for Store {
    type Id = Slot;

    fn row(&self, slot: Slot) -> Option<Row<'_>> {
        let (key, entry) = self.entry(slot);
        Some(Row { key, layout: entry.layout, state: entry.state()? })
    }

    fn rewrite(&mut self, slot: Slot, layout: u32, state: State) {
        Store::rewrite(self, slot, layout, state);
    }

    /// Kind, mark; form, layout, timestamp.
    fn stored_bytes(key: &[u8]) -> usize {
        key.len() + 17 + 14
    }
}

impl Layered for Store {
    fn other_layouts(&self, layout: u32, most: Most) -> Vec<Slot> {
        Store::other_layouts(self, layout, most)
    }

    fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<Slot>, usize), StorageError> {
        Store::other_layouts_stored(self, ground, layout, from, most)
    }
}

/// A session of a key: number of the key, start, end.
pub(crate) type SessionId = (u32, Timestamp, Timestamp);

impl Rows for Sessions {
    type Id = SessionId;

    fn row(&self, id: SessionId) -> Option<Row<'_>> {
        let session = self.session(id)?;
        Some(Row { key: self.key(id.0), layout: session.layout, state: session.state.get()? })
    }

    fn rewrite(&mut self, id: SessionId, layout: u32, state: State) {
        Sessions::rewrite(self, id, layout, state);
    }

    /// Kind, what ends the key, bounds; form, layout, timestamp. A zero in a key takes two bytes.
    fn stored_bytes(key: &[u8]) -> usize {
        key.len() + key.iter().filter(|byte| **byte == 0).count() + 19 + 14
    }
}

impl Layered for Sessions {
    fn other_layouts(&self, layout: u32, most: Most) -> Vec<SessionId> {
        Sessions::other_layouts(self, layout, most)
    }

    fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<SessionId>, usize), StorageError> {
        Sessions::other_layouts_stored(self, ground, layout, from, most)
    }
}

/// What slices have been merged to is not touched: that is the version's in force, of states in its layout.
impl Rows for Slices {
    type Id = SessionId;

    fn row(&self, id: SessionId) -> Option<Row<'_>> {
        self.kept().row(id)
    }

    fn rewrite(&mut self, id: SessionId, layout: u32, state: State) {
        self.kept_mut().rewrite(id, layout, state);
    }

    fn stored_bytes(key: &[u8]) -> usize {
        Sessions::stored_bytes(key)
    }
}

impl Layered for Slices {
    fn other_layouts(&self, layout: u32, most: Most) -> Vec<SessionId> {
        self.kept().other_layouts(layout, most)
    }

    fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<SessionId>, usize), StorageError> {
        // As with `find`, keys that are read are found again when a window of theirs is due.
        self.kept_mut().other_layouts_stored(ground, layout, from, most)
    }
}

/// Sessions that have left their store, each with the number of its key, before their results come out.
pub(crate) struct Ended<'e> {
    pub store: &'e Sessions,
    pub ended: &'e mut [(u32, Session)],
}

impl Rows for Ended<'_> {
    type Id = usize;

    fn row(&self, at: usize) -> Option<Row<'_>> {
        let (key, session) = &self.ended[at];
        Some(Row { key: self.store.key(*key), layout: session.layout, state: session.state.get()? })
    }

    fn rewrite(&mut self, at: usize, layout: u32, state: State) {
        let session = &mut self.ended[at].1;
        (session.layout, session.state) = (layout, state);
    }

    /// It is stored no more.
    fn stored_bytes(_: &[u8]) -> usize {
        0
    }
}

impl Rows for Entries {
    type Id = u32;

    fn row(&self, at: u32) -> Option<Row<'_>> {
        self.held(at).map(|(key, entry)| Row { key, layout: entry.layout, state: entry.state })
    }

    fn rewrite(&mut self, at: u32, layout: u32, state: State) {
        Entries::rewrite(self, at, layout, &state);
    }

    /// Kind; form, layout, time.
    fn stored_bytes(key: &[u8]) -> usize {
        key.len() + 1 + 14
    }
}

impl Layered for Entries {
    fn other_layouts(&self, layout: u32, most: Most) -> Vec<u32> {
        Entries::other_layouts(self, layout, most)
    }

    fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<u32>, usize), StorageError> {
        Entries::other_layouts_stored(self, ground, layout, from, most)
    }
}
