//! What a function finds at its host during a call: the step's stores and timers, in batches, and the limits of what it may ask.
//! What it writes is taken back elsewhere when the call fails.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::super::bad_result;
use super::super::fold::too_large;
use super::ttl::Age;
use crate::error::Verdict;
use crate::function::{Fault, Hosted, Place, Stop, TimerClock};
use crate::record::{BytesColumn, Timestamp};
use crate::state::entries::Entries;
use crate::state::key::timer_who;
use crate::state::keyspace::{Keyspaces, Scan, Space, StorageError};
use crate::state::store::Ground;
use crate::state::timers::Timers;
use crate::topology::graph::{Node, Store};
use crate::topology::spec::StoreSpec;

/// Most entries that one call of `range` gives. One that finds more is ended: fewer than were asked for would look like all.
pub const RANGE_ENTRIES_MAX: usize = 65_536;
/// Most bytes of keys and values that one `get` or `range` gives.
pub const READ_BYTES_MAX: usize = 64 << 20;
/// Most bytes of keys and values that one call of a function writes to stores, timers among them.
pub const WRITTEN_BYTES_MAX: usize = 64 << 20;
/// Most timers that one call of a function sets and cancels.
pub const TIMERS_PER_CALL_MAX: usize = 65_536;
/// Most bytes of a timer's name.
pub const TIMER_NAME_BYTES_MAX: usize = 255;
/// Bytes that an entry takes in a changelog besides its key and its value: kind; form, layout, time.
const ENTRY_STORED_BYTES: usize = 1 + 14;
/// Bytes that a timer takes in a changelog besides its name and twice its key: kind, clock, time, what ends the key, form.
const TIMER_STORED_BYTES: usize = 14;

/// Why a call was ended.
pub(super) enum Ended {
    /// The task cannot go on.
    Task(Verdict),
    /// The function asked for what it may not.
    Function(Fault),
    /// It asked for entries that are in another layout than its own: by number of the store, their keys.
    Layouts(usize, Vec<Vec<u8>>),
}

/// See the module.
pub(super) struct Desk<'d> {
    pub node: &'d Node,
    pub partition: u32,
    pub db: &'d dyn Keyspaces,
    pub prefix: &'d [u8],
    /// Of the named stores, then of the timers: where they are and what their changelogs take.
    pub spaces: &'d [Space],
    pub planned: &'d [Store],
    pub specs: &'d [StoreSpec],
    pub stores: &'d mut [Entries],
    pub timers: &'d mut Timers,
    /// Layout that the function writes and reads.
    pub layout: u32,
    /// What the time is for entries.
    pub age: Age,
    /// Closing time: timers that are due by then have passed.
    pub closing: Timestamp,
    /// How many firings in a row have led to this call.
    pub row: u32,
    /// The function exports `on-timer`.
    pub fires: bool,
    /// The call is ended.
    pub ended: Option<Ended>,
    /// The earliest due time of the timers set, by event time.
    pub earliest: Option<Timestamp>,
    /// What the call has written so far.
    pub spent: Spent,
    /// Timers by event time that it has set or cancelled.
    pub event_changes: usize,
}

/// What a call has written, against what it may. For the stores of a step, and for whoever stands in for them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    written_bytes: usize,
    timer_changes: usize,
}

impl Spent {
    /// Whether anything was written, set or cancelled.
    pub fn any(&self) -> bool {
        self.written_bytes + self.timer_changes > 0
    }

    fn write(&mut self, bytes: usize) -> Result<(), Fault> {
        self.written_bytes = self.written_bytes.saturating_add(bytes);
        if self.written_bytes > WRITTEN_BYTES_MAX {
            return Err(bad_result(format!("a call wrote more than {WRITTEN_BYTES_MAX} bytes to its stores")));
        }
        Ok(())
    }

    /// Counts the entry of a store that is written.
    ///
    /// # Errors
    /// When it is too much.
    pub fn entry(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<usize, Fault> {
        let bytes = key.len() + value.map_or(0, <[u8]>::len) + ENTRY_STORED_BYTES;
        self.write(bytes).map(|()| bytes)
    }

    /// Counts a timer that is written.
    ///
    /// # Errors
    /// When it is too much.
    pub fn timer(&mut self, key: Option<&[u8]>, name: &str) -> Result<usize, Fault> {
        let bytes = 2 * key.map_or(0, <[u8]>::len) + name.len() + TIMER_STORED_BYTES;
        self.write(bytes).map(|()| bytes)
    }

    /// Counts so many timers that are to be set or cancelled; `fires`: the function exports `on-timer`.
    ///
    /// # Errors
    /// When they may not be.
    pub fn timers(&mut self, fires: bool, name: &str, count: usize) -> Result<(), Fault> {
        if !fires {
            return Err(bad_result("a timer was set or cancelled, and `on-timer` is not exported".into()));
        }
        if name.len() > TIMER_NAME_BYTES_MAX {
            let bytes = name.len();
            return Err(bad_result(format!("a timer's name has {bytes} bytes; {TIMER_NAME_BYTES_MAX} are possible")));
        }
        self.timer_changes = self.timer_changes.saturating_add(count);
        if self.timer_changes > TIMERS_PER_CALL_MAX {
            return Err(bad_result(format!("a call set and cancelled more than {TIMERS_PER_CALL_MAX} timers")));
        }
        Ok(())
    }
}

/// That a range would give too much.
pub fn range_too_large() -> Fault {
    bad_result(format!(
        "a `range` would give more than {RANGE_ENTRIES_MAX} entries or {READ_BYTES_MAX} bytes; ask for less at a time"
    ))
}

impl<'d> Desk<'d> {
    fn refuse<T>(&mut self, what: String) -> Result<T, Stop> {
        self.ended.get_or_insert(Ended::Function(bad_result(what)));
        Err(Stop::Ended)
    }

    fn fail<T>(&mut self, verdict: Verdict) -> Result<T, Stop> {
        self.ended.get_or_insert(Ended::Task(verdict));
        Err(Stop::Ended)
    }

    /// Ends the call until entries are in the function's layout.
    fn differ<T>(&mut self, number: usize, keys: Vec<Vec<u8>>) -> Result<T, Stop> {
        self.ended.get_or_insert(Ended::Layouts(number, keys));
        Err(Stop::Again)
    }

    fn stored<T>(&mut self, answer: Result<T, StorageError>) -> Result<T, Stop> {
        answer.or_else(|error| self.fail(error.into()))
    }

    fn ground(&self, number: usize) -> Ground<'d> {
        Ground { db: self.db, space: self.spaces[number], prefix: self.prefix }
    }

    fn known(&mut self, store: u32) -> Result<usize, Stop> {
        if (store as usize) < self.specs.len() {
            return Ok(store as usize);
        }
        self.refuse(format!("store number {store} is not there"))
    }

    fn key<'k>(&mut self, keys: &'k BytesColumn, i: usize) -> Result<&'k [u8], Stop> {
        match keys.get(i) {
            Some(key) => Ok(key),
            None => self.refuse(format!("key {i} of those asked for in a store is null")),
        }
    }

    fn count(&mut self, what: &str, count: usize, keys: usize) -> Result<(), Stop> {
        if count == keys {
            return Ok(());
        }
        self.refuse(format!("{count} {what} were given for {keys} keys"))
    }

    /// Ends the call where the function asked for what it may not.
    fn within<T>(&mut self, asked: Result<T, Fault>) -> Result<T, Stop> {
        asked.map_err(|fault| {
            self.ended.get_or_insert(Ended::Function(fault));
            Stop::Ended
        })
    }

    /// Refuses what the changelog would not take.
    fn fits(&mut self, number: usize, payload_bytes: usize) -> Result<(), Stop> {
        let fits = too_large(&self.planned[number].limits, payload_bytes);
        self.within(fits)
    }

    fn timed(
        &mut self,
        clock: TimerClock,
        keys: &BytesColumn,
        name: &str,
        due: impl Fn(usize) -> Option<Timestamp>,
    ) -> Result<(), Stop> {
        let asked = self.spent.timers(self.fires, name, keys.len());
        self.within(asked)?;
        let event = clock == TimerClock::EventTime;
        self.event_changes += if event { keys.len() } else { 0 };
        let (number, timers) = (self.specs.len(), clock as u8);
        for i in 0..keys.len() {
            let (key, due) = (keys.get(i), due(i));
            let bytes = self.spent.timer(key, name);
            let bytes = self.within(bytes)?;
            self.fits(number, bytes)?;
            let past = event && due.is_some_and(|due| due <= self.closing);
            if let (true, Some(due)) = (event, due) {
                self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
            }
            let row = if past { self.row + 1 } else { 0 };
            let set = self.timers.set(self.ground(number), timers, &timer_who(key, name), due, row);
            self.stored(set)?;
        }
        Ok(())
    }
}

impl Hosted for Desk<'_> {
    fn place(&self) -> Place<'_> {
        let stores = self.specs.iter().map(|spec| &spec.name[..]).collect();
        Place { partition: self.partition, step: &self.node.name, stores }
    }

    fn store(&self, name: &str) -> Option<u32> {
        self.specs.iter().position(|spec| spec.name == name).map(|at| at as u32)
    }

    fn get(&mut self, store: u32, keys: &BytesColumn) -> Result<BytesColumn, Stop> {
        let number = self.known(store)?;
        let (ground, age, layout) = (self.ground(number), self.age.of(&self.specs[number]), self.layout);
        let (mut values, mut others) = (BytesColumn::with_capacity(keys.len(), 0), Vec::new());
        for i in 0..keys.len() {
            let key = self.key(keys, i)?;
            let found = match self.stores[number].get(ground, key) {
                Ok(found) => found.filter(|entry| !age.is_old(entry.timestamp)),
                Err(error) => return self.fail(error.into()),
            };
            if found.is_some_and(|entry| entry.layout != layout) {
                others.push(key.to_vec());
            }
            let more = found.map_or(0, |entry| entry.state.len());
            if values.data().len() + more > READ_BYTES_MAX {
                return self.refuse(format!("a `get` would give more than {READ_BYTES_MAX} bytes"));
            }
            values.push(found.map(|entry| entry.state));
        }
        if others.is_empty() { Ok(values) } else { self.differ(number, others) }
    }

    fn put(&mut self, store: u32, keys: &BytesColumn, values: &BytesColumn) -> Result<(), Stop> {
        let number = self.known(store)?;
        self.count("values", values.len(), keys.len())?;
        let written = self.age.of(&self.specs[number]).stamp();
        for i in 0..keys.len() {
            let (key, value) = (self.key(keys, i)?, values.get(i));
            let bytes = self.spent.entry(key, value);
            let bytes = self.within(bytes)?;
            self.fits(number, bytes)?;
            self.stores[number].put(key, self.layout, written, value);
        }
        Ok(())
    }

    fn range(&mut self, store: u32, start: &[u8], end: &[u8], limit: u32) -> Result<(BytesColumn, BytesColumn), Stop> {
        let number = self.known(store)?;
        let (ground, age) = (self.ground(number), self.age.of(&self.specs[number]));
        let (mut keys, mut values) = (BytesColumn::default(), BytesColumn::default());
        let (mut others, mut too_much) = (Vec::new(), false);
        let limit = limit as usize;
        let found = if limit == 0 {
            Ok(())
        } else {
            self.stores[number].range(ground, start, end, &mut |key, entry| {
                if age.is_old(entry.timestamp) {
                    return Scan::Continue;
                }
                if entry.layout != self.layout {
                    others.push(key.to_vec());
                }
                let bytes = keys.data().len() + values.data().len() + key.len() + entry.state.len();
                too_much = keys.len() == RANGE_ENTRIES_MAX || bytes > READ_BYTES_MAX;
                if too_much {
                    return Scan::Stop;
                }
                keys.push(Some(key));
                values.push(Some(entry.state));
                if keys.len() < limit { Scan::Continue } else { Scan::Stop }
            })
        };
        self.stored(found)?;
        if too_much {
            return self.within(Err(range_too_large()));
        }
        if !others.is_empty() {
            return self.differ(number, others);
        }
        Ok((keys, values))
    }

    fn set(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: &[Timestamp]) -> Result<(), Stop> {
        self.count("times", due.len(), keys.len())?;
        // Nothing happens before time 0.
        self.timed(clock, keys, name, |i| Some(due[i].max(0)))
    }

    fn cancel(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str) -> Result<(), Stop> {
        self.timed(clock, keys, name, |_| None)
    }
}

#[cfg(test)]
mod tests;
