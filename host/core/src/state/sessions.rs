//! A task's store of sessions: by key all sessions that are held of it, and which end first.
//!
//! As in [`super::store`], reads see what the open interval wrote, then what is held in memory, then the database, and nothing is
//! written here. Of a key that is held all sessions are: the database has no more of it. What a session is, and which records
//! touch it, is not decided here.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::{Deref, Range};

use hashbrown::HashTable;

use super::CHANGE_BYTES;
use super::key::{self, StoreKind};
use super::keyspace::{Scan, StorageError};
use super::layers::{Found, SessionId, scan_others};
use super::store::{Change, Ground, Most, hash};
use super::value::{STATELESS, State, Stored};
use crate::record::Timestamp;
use crate::search::{from_back, from_front};
use crate::time::NEVER;

/// A session of a key.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The earliest timestamp in it.
    pub start: Timestamp,
    /// The latest.
    pub end: Timestamp,
    /// The largest timestamp of the records in its state.
    pub timestamp: Timestamp,
    pub layout: u32,
    /// Absent: its function has removed the state, and the session is there all the same.
    pub state: State,
    /// Had a state when changes were taken last, or when it was read.
    pub was: bool,
    dirty: bool,
    /// Is dirty only because it was written in another layout: nothing leaves because of it.
    quiet: bool,
    /// The database has it, or an interval on its way there.
    stored: bool,
}

impl Session {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.state.heap_bytes()
    }
}

/// What takes the place of sessions.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub start: Timestamp,
    pub end: Timestamp,
    /// The largest timestamp of the records in it.
    pub timestamp: Timestamp,
    pub layout: u32,
    pub state: State,
}

/// A session that is no more.
#[derive(Clone, Copy, Debug)]
struct Gone {
    start: Timestamp,
    end: Timestamp,
    was: bool,
}

/// Sessions by end, then start. They come in mostly behind the others, and go in front of them, each without moving the rest.
#[derive(Clone, Debug, Default)]
struct Line {
    all: Vec<Session>,
    /// As many in front have gone.
    gone: usize,
}

impl Deref for Line {
    type Target = [Session];

    fn deref(&self) -> &[Session] {
        &self.all[self.gone..]
    }
}

impl Line {
    fn insert(&mut self, place: usize, session: Session) {
        self.all.insert(self.gone + place, session);
    }

    fn remove(&mut self, place: usize) -> Session {
        self.all.remove(self.gone + place)
    }

    fn slice_mut(&mut self, range: Range<usize>) -> &mut [Session] {
        &mut self.all[self.gone + range.start..self.gone + range.end]
    }

    /// Takes the first ones out.
    fn take_first(&mut self, count: usize, out: &mut dyn FnMut(Session)) {
        for session in self.slice_mut(0..count) {
            // Its state is all that takes room.
            out(Session { state: core::mem::take(&mut session.state), ..*session });
        }
        self.gone += count;
        if self.gone > self.all.len() / 2 {
            self.all.drain(..self.gone);
            self.gone = 0;
        }
    }
}

/// What is held of a key.
#[derive(Clone, Debug)]
struct Held {
    hash: u64,
    key: Box<[u8]>,
    sessions: Line,
    /// Stored sessions that went in the open interval.
    gone: Vec<Gone>,
    /// The earliest end under which it stands in the queue; [`Timestamp::MAX`]: it does not.
    queued: Timestamp,
    dirty: bool,
    /// The first and the last end of sessions that have changed in the open interval.
    changed: (Timestamp, Timestamp),
}

/// Nothing has changed.
const UNCHANGED: (Timestamp, Timestamp) = (Timestamp::MAX, NEVER);

impl Held {
    /// Places among which the sessions that have changed are.
    fn changed(&self) -> Range<usize> {
        let (first, last) = self.changed;
        let from = from_back(&self.sessions, |s| s.end < first);
        from..from + self.sessions[from..].partition_point(|s| s.end <= last)
    }

    fn bytes(&self) -> usize {
        KEY_BYTES + self.key.len() + self.sessions.iter().map(Session::bytes).sum::<usize>()
    }

    fn place(&self, start: Timestamp, end: Timestamp) -> Result<usize, usize> {
        let place = from_back(&self.sessions, |s| (s.end, s.start) < (end, start));
        let there = self.sessions.get(place).is_some_and(|s| (s.end, s.start) == (end, start));
        if there { Ok(place) } else { Err(place) }
    }
}

/// What a key costs beside its bytes and its sessions, bytes, estimated.
const KEY_BYTES: usize = 160;

/// Of a session that has changed in the open interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub key: u32,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Its place among the key's sessions; `None`: it is gone.
    pub place: Option<usize>,
    /// It had a state when changes were taken last.
    pub was: bool,
}

/// A task's sessions.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    index: HashTable<u32>,
    keys: Vec<Held>,
    /// Numbers of keys that are free.
    free: Vec<u32>,
    /// Keys that changed since changes were taken last.
    dirty: Vec<u32>,
    /// Keys that held nothing when changes were taken.
    vacant: Vec<u32>,
    /// Every key that has sessions stands here under an end that is not later than the first end of its sessions; what stands
    /// here besides is found to be of no use when it is reached.
    queue: BinaryHeap<Reverse<(Timestamp, u32)>>,
    /// Sessions in memory.
    count: usize,
    /// The database has sessions of keys that are not held; none ends before this.
    outside: Option<Timestamp>,
    bytes: usize,
    /// Of what has changed in the open interval, with what each change costs.
    changed_bytes: usize,
}

impl Sessions {
    /// Opens a store: looks up where in time the sessions of the database begin.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open(ground: Ground<'_>) -> Result<Self, StorageError> {
        let outside = first_end(ground, NEVER)?;
        Ok(Self { outside, ..Self::default() })
    }

    /// All that one key has, number 0, to be looked at without a database.
    pub(crate) fn of_one(key: &[u8], all: Vec<Session>) -> Self {
        let mut out = Self { count: all.len(), ..Self::default() };
        let sessions = Line { all, gone: 0 };
        let (hash, key, gone) = (hash(key), key.into(), Vec::new());
        out.hold(Held { hash, key, sessions, gone, queued: Timestamp::MAX, dirty: false, changed: UNCHANGED });
        out
    }

    /// Whether there is any session.
    pub fn has_any(&self) -> bool {
        self.count > 0 || self.outside.is_some()
    }

    /// Bytes in memory, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of what has changed in the open interval, estimated.
    pub fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    fn number(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |at: &u32| {
            let held = &self.keys[*at as usize];
            held.hash == hash && *held.key == *key
        };
        self.index.find(hash, same).copied()
    }

    /// The number of a key, good until the next [`Sessions::shrink`]; reads its sessions where the database may have some.
    ///
    /// # Errors
    /// Those of the database; corrupted where something stored cannot be read.
    pub(crate) fn find(&mut self, ground: Ground<'_>, hash: u64, key: &[u8]) -> Result<u32, StorageError> {
        if let Some(at) = self.number(hash, key) {
            return Ok(at);
        }
        let all = if self.outside.is_some() { read(ground, key)? } else { Vec::new() };
        let held = Held {
            hash,
            key: key.into(),
            sessions: Line { all, gone: 0 },
            gone: Vec::new(),
            queued: Timestamp::MAX,
            dirty: false,
            changed: UNCHANGED,
        };
        self.count += held.sessions.len();
        self.bytes += held.bytes();
        Ok(self.hold(held))
    }

    fn hold(&mut self, held: Held) -> u32 {
        let hash = held.hash;
        let at = match self.free.pop() {
            Some(at) => {
                self.keys[at as usize] = held;
                at
            }
            None => {
                self.keys.push(held);
                self.keys.len() as u32 - 1
            }
        };
        let keys = &self.keys;
        self.index.insert_unique(hash, at, |at| keys[*at as usize].hash);
        self.queue_up(at);
        at
    }

    fn queue_up(&mut self, at: u32) {
        let held = &mut self.keys[at as usize];
        if let Some(first) = held.sessions.first().filter(|s| s.end < held.queued) {
            held.queued = first.end;
            self.queue.push(Reverse((first.end, at)));
        }
    }

    /// A key's bytes.
    pub(crate) fn key(&self, at: u32) -> &[u8] {
        &self.keys[at as usize].key
    }

    /// A key's sessions, by end, then start.
    pub(crate) fn of(&self, at: u32) -> &[Session] {
        &self.keys[at as usize].sessions
    }

    /// Puts a session in the place of those that it has absorbed, which are named by their bounds; tells `had`, where that is
    /// wanted, of these the ones with a state.
    pub(crate) fn absorb(
        &mut self,
        at: u32,
        absorbed: &[(Timestamp, Timestamp)],
        fresh: Fresh,
        mut had: Option<&mut Vec<(Timestamp, Timestamp)>>,
    ) {
        let held = &mut self.keys[at as usize];
        let Fresh { start, end, timestamp, layout, state } = fresh;
        let bounds = (start, end);
        // What is stored without a state has no time of its own.
        let timestamp = if state.get().is_some() { timestamp } else { end };
        let mut new =
            Session { start, end, timestamp, layout, state, was: false, dirty: true, quiet: false, stored: false };
        self.bytes += new.bytes();
        let change_bytes = CHANGE_BYTES + held.key.len();
        self.changed_bytes += change_bytes + new.bytes();
        self.count += 1;
        for (start, end) in absorbed {
            let Ok(place) = held.place(*start, *end) else { continue };
            let old = held.sessions.remove(place);
            self.bytes -= old.bytes();
            self.changed_bytes -= if old.dirty { change_bytes + old.bytes() } else { 0 };
            self.count -= 1;
            if let (Some(had), Some(_)) = (&mut had, old.state.get()) {
                had.push((*start, *end));
            }
            if (*start, *end) == bounds {
                (new.was, new.stored) = (old.was, old.stored);
            } else if old.stored {
                held.gone.push(Gone { start: *start, end: *end, was: old.was });
                self.changed_bytes += change_bytes;
            }
        }
        // Bounds that went in this interval may come again.
        if let Some(again) = held.gone.iter().position(|g| (g.start, g.end) == bounds) {
            let gone = held.gone.swap_remove(again);
            self.changed_bytes -= change_bytes;
            (new.was, new.stored) = (gone.was, true);
        }
        let place = held.place(start, end).unwrap_or_else(|place| place);
        held.sessions.insert(place, new);
        held.changed = (held.changed.0.min(end), held.changed.1.max(end));
        self.touch(at);
        self.queue_up(at);
    }

    /// A session by its bounds.
    pub(crate) fn session(&self, (at, start, end): SessionId) -> Option<&Session> {
        let held = self.keys.get(at as usize)?;
        held.place(start, end).ok().map(|place| &held.sessions[place])
    }

    /// Writes the state of a session in another layout.
    pub(crate) fn rewrite(&mut self, (at, start, end): SessionId, layout: u32, state: State) {
        let held = &mut self.keys[at as usize];
        let Ok(place) = held.place(start, end) else { return };
        let session = &mut held.sessions.slice_mut(place..place + 1)[0];
        let (before, was_dirty) = (session.bytes(), session.dirty);
        (session.layout, session.state, session.dirty) = (layout, state, true);
        session.quiet |= !was_dirty;
        let now = session.bytes();
        self.bytes = self.bytes + now - before;
        self.changed_bytes += if was_dirty { now } else { CHANGE_BYTES + held.key.len() + now };
        self.changed_bytes -= if was_dirty { before } else { 0 };
        held.changed = (held.changed.0.min(end), held.changed.1.max(end));
        self.touch(at);
    }

    /// See [`super::layers::Layered`].
    pub(crate) fn other_layouts(&self, layout: u32, most: Most) -> Vec<SessionId> {
        let mut found = Found::new(most);
        for (at, held) in (0..).zip(&self.keys) {
            for session in &*held.sessions {
                if let Some(state) = session.state.get().filter(|_| session.layout != layout) {
                    if found.is_full() {
                        return found.all;
                    }
                    found.push((at, session.start, session.end), state);
                }
            }
        }
        found.all
    }

    /// See [`super::layers::Layered`].
    ///
    /// # Errors
    /// As [`Sessions::find`].
    pub(crate) fn other_layouts_stored(
        &mut self,
        ground: Ground<'_>,
        layout: u32,
        from: &mut Option<Vec<u8>>,
        most: Most,
    ) -> Result<(Vec<SessionId>, usize), StorageError> {
        let all = key::plain(ground.prefix, StoreKind::Session, b"");
        let (found, looked) = scan_others(ground, &all, from, most, &mut |value| {
            if value == STATELESS {
                return Ok(None);
            }
            let stored = Stored::decode(value).ok_or_else(unknown_form)?;
            Ok((stored.layout != layout).then_some(stored.state))
        })?;
        let mut ids = Vec::new();
        for rest in found {
            let whole = [&[StoreKind::Session as u8], &rest[..]].concat();
            let (key, start, end) = key::split_session(&whole).ok_or_else(unknown_form)?;
            // What has ended may be there until its interval is.
            if self.outside.is_none() && self.number(hash(&key), &key).is_none() {
                continue;
            }
            let id = (self.find(ground, hash(&key), &key)?, start, end);
            if self.session(id).is_some_and(|s| s.state.get().is_some() && s.layout != layout) {
                ids.push(id);
            }
        }
        Ok((ids, looked))
    }

    fn touch(&mut self, at: u32) {
        let held = &mut self.keys[at as usize];
        if !held.dirty {
            held.dirty = true;
            self.dirty.push(at);
        }
    }

    /// Takes out the sessions that end before `until` (`None`: all), by end, start, key, each with the number of its key.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn take_ended(
        &mut self,
        ground: Ground<'_>,
        until: Option<Timestamp>,
    ) -> Result<Vec<(u32, Session)>, StorageError> {
        self.bring_in(ground, until)?;
        let mut out = Vec::new();
        while let Some(Reverse((end, at))) = self.queue.peek().copied() {
            if until.is_some_and(|until| end >= until) {
                break;
            }
            self.queue.pop();
            let held = &mut self.keys[at as usize];
            held.queued = Timestamp::MAX;
            let ended = until.map_or(held.sessions.len(), |until| from_front(&held.sessions, |s| s.end < until));
            let change_bytes = CHANGE_BYTES + held.key.len();
            for session in &held.sessions[..ended] {
                self.changed_bytes -= if session.dirty { change_bytes + session.bytes() } else { 0 };
                if session.stored {
                    held.gone.push(Gone { start: session.start, end: session.end, was: false });
                    self.changed_bytes += change_bytes;
                }
            }
            self.bytes -= held.sessions[..ended].iter().map(Session::bytes).sum::<usize>();
            self.count -= ended;
            held.sessions.take_first(ended, &mut |session| out.push((at, session)));
            if ended > 0 {
                self.touch(at);
            }
            self.queue_up(at);
        }
        let key = |at: u32| &self.keys[at as usize].key;
        out.sort_unstable_by(|(a, x), (b, y)| {
            (x.end, x.start).cmp(&(y.end, y.start)).then_with(|| key(*a).cmp(key(*b)))
        });
        Ok(out)
    }

    /// Reads the keys of which the database has sessions that end before `until`.
    fn bring_in(&mut self, ground: Ground<'_>, until: Option<Timestamp>) -> Result<(), StorageError> {
        let Some(from) = self.outside.filter(|from| until.is_none_or(|until| *from < until)) else { return Ok(()) };
        self.bring_in_between(ground, from, until)?;
        self.outside = match until {
            Some(until) => first_end(ground, until)?,
            None => None,
        };
        Ok(())
    }

    /// Reads the keys of which the database has sessions that end at or behind `from` and before `until` (`None`: any), where it may
    /// have some that are not held; gives their numbers.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn bring_in_between(
        &mut self,
        ground: Ground<'_>,
        from: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Vec<u32>, StorageError> {
        if self.outside.is_none() {
            return Ok(Vec::new());
        }
        let all = time_range(ground);
        let from = key::session_time(ground.prefix, b"", NEVER, from);
        let to = match until {
            Some(until) => Some(key::session_time(ground.prefix, b"", NEVER, until)),
            None => key::successor(&all),
        };
        let mut keys: Vec<Vec<u8>> = Vec::new();
        ground.db.scan(ground.space, &from, to.as_deref(), &mut |whole, _| {
            if let Some((key, ..)) = key::split_session_time(&whole[all.len()..]) {
                keys.push(key.to_vec());
            }
            Scan::Continue
        })?;
        keys.iter().map(|key| self.find(ground, hash(key), key)).collect()
    }

    /// Reads all that the database has.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) fn bring_in_all(&mut self, ground: Ground<'_>) -> Result<Vec<u32>, StorageError> {
        let brought = self.bring_in_between(ground, NEVER, None)?;
        self.outside = None;
        Ok(brought)
    }

    /// Numbers of the keys that are held.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.index.iter().copied()
    }

    /// What changed since changes were taken last, by end, start, key.
    pub(crate) fn changed(&self) -> Vec<Changed> {
        let mut out = Vec::new();
        for &key in &self.dirty {
            let held = &self.keys[key as usize];
            let gone = held.gone.iter().map(|g| Changed { key, start: g.start, end: g.end, place: None, was: g.was });
            let dirty = held.changed().map(|at| (at, &held.sessions[at])).filter(|(_, s)| s.dirty && !s.quiet);
            let there = dirty.map(|(at, s)| Changed { key, start: s.start, end: s.end, place: Some(at), was: s.was });
            out.extend(gone.chain(there));
        }
        let key = |at: u32| &self.keys[at as usize].key;
        out.sort_unstable_by(|a, b| (a.end, a.start).cmp(&(b.end, b.start)).then_with(|| key(a.key).cmp(key(b.key))));
        out
    }

    /// Takes the changes of the interval out; they stay readable here.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.changed_bytes = 0;
        for at in self.dirty.drain(..) {
            let held = &mut self.keys[at as usize];
            held.dirty = false;
            for gone in held.gone.drain(..) {
                changes.push(Change::Delete(key::session(b"", &held.key, gone.start, gone.end)));
            }
            let changed = held.changed();
            held.changed = UNCHANGED;
            for session in held.sessions.slice_mut(changed).iter_mut().filter(|s| s.dirty) {
                let state = session.state.get();
                let stored = |state| Stored { layout: session.layout, timestamp: session.timestamp, state }.encode();
                let value = state.map_or_else(|| STATELESS.to_vec(), stored);
                changes.push(Change::Put(key::session(b"", &held.key, session.start, session.end), value));
                (session.dirty, session.quiet, session.stored, session.was) = (false, false, true, state.is_some());
            }
            if held.sessions.is_empty() {
                self.vacant.push(at);
            }
        }
        changes
    }

    /// Lets go of keys that have no session any more and, when more than `limit_bytes` are held, of what the database has.
    /// Only right when every change that was taken has been committed. Says whether keys have got other numbers: then each
    /// key that has changed since changes were taken last with the number that it had.
    pub fn shrink(&mut self, limit_bytes: usize) -> Option<Vec<(u32, u32)>> {
        for at in core::mem::take(&mut self.vacant) {
            let held = &self.keys[at as usize];
            if held.dirty || !held.sessions.is_empty() {
                continue;
            }
            let same = |number: &u32| *number == at;
            if let Ok(entry) = self.index.find_entry(held.hash, same) {
                self.bytes -= held.bytes();
                entry.remove();
                self.free.push(at);
            }
        }
        (self.bytes > limit_bytes).then(|| self.evict())
    }

    /// Keeps only keys that the open interval has changed; gives the numbers that they had and have.
    fn evict(&mut self) -> Vec<(u32, u32)> {
        let mut moved = Vec::new();
        let before = core::mem::take(self);
        (self.outside, self.changed_bytes) = (before.outside, before.changed_bytes);
        let numbers: Vec<u32> = before.index.iter().copied().collect();
        let mut keys: Vec<Option<Held>> = before.keys.into_iter().map(Some).collect();
        for at in before.dirty {
            let Some(mut held) = keys[at as usize].take() else { continue };
            held.queued = Timestamp::MAX;
            self.bytes += held.bytes();
            self.count += held.sessions.len();
            let now = self.hold(held);
            self.dirty.push(now);
            moved.push((at, now));
        }
        let firsts = numbers.into_iter().filter_map(|at| keys[at as usize].as_ref()?.sessions.first().map(|s| s.end));
        self.outside = self.outside.into_iter().chain(firsts).min();
        moved
    }
}

/// What the keys of all sessions in order of time begin with.
fn time_range(ground: Ground<'_>) -> Vec<u8> {
    [ground.prefix, &[StoreKind::SessionTime as u8]].concat()
}

/// The end of the first session of the database that does not end before `from`.
fn first_end(ground: Ground<'_>, from: Timestamp) -> Result<Option<Timestamp>, StorageError> {
    let all = time_range(ground);
    let (start, to) = (key::session_time(ground.prefix, b"", NEVER, from), key::successor(&all));
    let mut found = None;
    ground.db.scan(ground.space, &start, to.as_deref(), &mut |whole, _| {
        found = key::split_session_time(&whole[all.len()..]).map(|(_, _, end)| end);
        Scan::Stop
    })?;
    Ok(found)
}

/// All sessions of a key that the database has.
fn read(ground: Ground<'_>, key: &[u8]) -> Result<Vec<Session>, StorageError> {
    let from = key::sessions_of(ground.prefix, key);
    let (to, mut failed, mut out) = (key::successor(&from), None, Vec::new());
    ground.db.scan(ground.space, &from, to.as_deref(), &mut |whole, value| {
        match session(&whole[ground.prefix.len()..], value) {
            Some(session) => out.push(session),
            None => failed = Some(unknown_form()),
        }
        if failed.is_some() { Scan::Stop } else { Scan::Continue }
    })?;
    failed.map_or(Ok(out), Err)
}

fn unknown_form() -> StorageError {
    StorageError::Corrupted("a stored session has a form this version does not know".to_string())
}

/// A session by its key without the task's prefix, and its value; `None`: they are none.
pub(crate) fn session(whole: &[u8], value: &[u8]) -> Option<Session> {
    let (_, start, end) = key::split_session(whole)?;
    let (timestamp, layout, state) = match Stored::decode(value) {
        _ if value == STATELESS => (end, 0, State::Absent),
        stored => stored.map(|s| (s.timestamp, s.layout, State::new(s.state)))?,
    };
    let was = state.get().is_some();
    Some(Session { start, end, timestamp, layout, state, was, dirty: false, quiet: false, stored: true })
}

#[cfg(test)]
mod tests;
