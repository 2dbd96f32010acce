//! What a processor of the version in force found at its host while a call ran, as it was before the call, and what it touched. That
//! is all that is known of stores and timers to a version on trial, besides what it wrote itself (`shelf`).

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::function::{Hosted, Place, Stop, TimerClock};
use millstream_core::record::{BytesColumn, Timestamp};

/// Bytes that an entry takes besides its key and its value, roughly.
const ENTRY_BYTES: usize = 96;

/// Whose timer: by which clock, of which key (none: the task's), by what name.
pub(super) type Whose = (TimerClock, Option<Vec<u8>>, String);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub partition: u32,
    pub step: String,
    /// Names of the step's stores, by their numbers.
    pub names: Vec<String>,
    pub stores: Vec<Store>,
    /// Timers that were set, and those that were cancelled.
    pub timers: BTreeMap<Whose, Option<Timestamp>>,
    /// Bytes that this takes, roughly.
    pub bytes: usize,
}

/// What is known of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    /// What keys had before the call.
    before: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// From where to where all entries are among those; without an end: to the last.
    whole: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// Keys that were written.
    pub written: BTreeSet<Vec<u8>>,
}

impl Store {
    /// What a key had before the call; the outer `None`: that is not known.
    #[allow(clippy::option_option)] // whether it is known, and whether there is a value
    pub fn before(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        if let Some(value) = self.before.get(key) {
            return Some(value.as_deref());
        }
        (!self.written.contains(key) && self.is_whole(key, key)).then_some(None)
    }

    /// All keys that had a value before the call, with it.
    pub fn values(&self) -> (BytesColumn, BytesColumn) {
        let there = || self.before.iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        (there().map(|(key, _)| Some(&key[..])).collect(), there().map(|(_, value)| Some(value)).collect())
    }

    /// Puts others in the place of these values, in their order.
    pub fn replace(&mut self, values: &BytesColumn) {
        let there = self.before.values_mut().filter_map(Option::as_mut);
        for (i, value) in there.enumerate() {
            *value = values.get(i).unwrap_or_default().to_vec();
        }
    }

    /// Keys of which something is known, from `start` on.
    pub fn keys_from(&self, start: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.before.range(start.to_vec()..).map(|(key, value)| (&key[..], value.as_deref()))
    }

    /// Whether all keys from `start` to `last`, which is one of them, are known.
    pub fn is_whole(&self, start: &[u8], last: &[u8]) -> bool {
        self.whole.iter().any(|(from, to)| &from[..] <= start && to.as_deref().is_none_or(|to| last < to))
    }

    /// Whether all keys from `start` to before `end` are known; an empty `end`: to the last.
    pub fn is_whole_until(&self, start: &[u8], end: &[u8]) -> bool {
        let ends = |to: &Option<Vec<u8>>| to.as_deref().is_none_or(|to| !end.is_empty() && end <= to);
        self.whole.iter().any(|(from, to)| &from[..] <= start && ends(to))
    }
}

/// Stands before a host while a call runs, and notes what it says.
pub(super) struct Noting<'h> {
    host: &'h mut dyn Hosted,
    pub found: Found,
}

impl<'h> Noting<'h> {
    /// Before this host.
    pub fn new(host: &'h mut dyn Hosted) -> Self {
        let Place { partition, step, stores } = host.place();
        let (step, names) = (step.to_string(), stores.iter().map(ToString::to_string).collect::<Vec<_>>());
        let stores = vec![Store::default(); names.len()];
        Self { found: Found { partition, step, names, stores, ..Found::default() }, host }
    }
}

impl Found {
    /// A key has had this value when it was read; before the call too, unless it was written in it.
    fn read(&mut self, store: u32, key: &[u8], value: Option<&[u8]>) {
        let Some(store) = self.stores.get_mut(store as usize) else { return };
        if !store.written.contains(key) && !store.before.contains_key(key) {
            store.before.insert(key.to_vec(), value.map(<[u8]>::to_vec));
            self.bytes += ENTRY_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        }
    }

    fn ranged(&mut self, store: u32, (start, end, limit): (&[u8], &[u8], u32), (keys, values): &Columns) {
        for i in 0..keys.len() {
            self.read(store, keys.get(i).unwrap_or_default(), values.get(i));
        }
        let Some(store) = self.stores.get_mut(store as usize) else { return };
        // As many as were asked for: there may be more behind the last.
        let stopped = keys.len() >= limit as usize;
        let last = keys.len().checked_sub(1).and_then(|last| keys.get(last));
        let to = match last {
            Some(last) if stopped => Some([last, &[0]].concat()),
            None if stopped => return,
            _ => (!end.is_empty()).then(|| end.to_vec()),
        };
        self.bytes += ENTRY_BYTES + start.len() + to.as_ref().map_or(0, Vec::len);
        store.whole.push((start.to_vec(), to));
    }

    fn changed(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: impl Fn(usize) -> Option<Timestamp>) {
        for i in 0..keys.len() {
            self.timers.insert((clock, keys.get(i).map(<[u8]>::to_vec), name.to_string()), due(i));
        }
        self.bytes += keys.bytes() + keys.len() * (ENTRY_BYTES + name.len());
    }
}

/// Keys and values.
type Columns = (BytesColumn, BytesColumn);

impl Hosted for Noting<'_> {
    fn place(&self) -> Place<'_> {
        self.host.place()
    }

    fn store(&self, name: &str) -> Option<u32> {
        self.host.store(name)
    }

    fn get(&mut self, store: u32, keys: &BytesColumn) -> Result<BytesColumn, Stop> {
        let values = self.host.get(store, keys)?;
        for i in 0..keys.len() {
            self.found.read(store, keys.get(i).unwrap_or_default(), values.get(i));
        }
        Ok(values)
    }

    fn put(&mut self, store: u32, keys: &BytesColumn, values: &BytesColumn) -> Result<(), Stop> {
        self.host.put(store, keys, values)?;
        self.found.bytes += keys.bytes() + keys.len() * ENTRY_BYTES;
        let Some(store) = self.found.stores.get_mut(store as usize) else { return Ok(()) };
        for key in (0..keys.len()).filter_map(|i| keys.get(i)) {
            // What a range has shown not to be there is known from before.
            if let Some(None) = store.before(key) {
                store.before.entry(key.to_vec()).or_insert(None);
            }
            store.written.insert(key.to_vec());
        }
        Ok(())
    }

    fn range(&mut self, store: u32, start: &[u8], end: &[u8], limit: u32) -> Result<Columns, Stop> {
        let columns = self.host.range(store, start, end, limit)?;
        self.found.ranged(store, (start, end, limit), &columns);
        Ok(columns)
    }

    fn set(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: &[Timestamp]) -> Result<(), Stop> {
        self.host.set(clock, keys, name, due)?;
        self.found.changed(clock, keys, name, |i| Some(due[i].max(0)));
        Ok(())
    }

    fn cancel(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str) -> Result<(), Stop> {
        self.host.cancel(clock, keys, name)?;
        self.found.changed(clock, keys, name, |_| None);
        Ok(())
    }
}
