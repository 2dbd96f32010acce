//! Stores and timers of a processor on trial: what it wrote itself, thrown away at the end, over what the version in force found.
//!
//! An entry that the version in force has written meanwhile is kept as it was before that, so that the version on trial goes on from
//! where the trial began. What neither has read is not known: a call that asks for such a thing is ended, and left out.

use std::collections::BTreeMap;
use std::ops::Bound;

use millstream_core::function::{Fault, Hosted, Place, Stop, TimerClock};
use millstream_core::operator::process::{RANGE_ENTRIES_MAX, READ_BYTES_MAX, Spent, range_too_large};
use millstream_core::operator::stateless::Takes;
use millstream_core::record::{BytesColumn, Timestamp};

use super::compare::shown;
use super::found::{Found, Whose};

/// How a call is answered that asks for what is not known; what that was follows.
pub(super) const NOT_ASKED: &str = "the version in force did not ask for ";

/// Bytes that an entry or a timer takes besides its key and its value, roughly.
const ENTRY_BYTES: usize = 96;

/// An entry of a store.
#[derive(Clone, Debug)]
enum Entry {
    /// `None`: there is none under this key.
    Known(Option<Vec<u8>>),
    /// The version in force has written it, and what it had been before was not seen.
    Unknown,
}

/// What is taken back when a call does not count.
#[derive(Debug)]
enum Undo {
    Entry(usize, Vec<u8>, Option<Entry>),
    Timer(Whose, Option<Option<Timestamp>>),
}

/// See the module. Of one step in one task.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    stores: Vec<BTreeMap<Vec<u8>, Entry>>,
    /// Timers that the version on trial has set, and those that it has cancelled.
    own: BTreeMap<Whose, Option<Timestamp>>,
    /// Timers that the version in force has set, or cancelled, since the trial began.
    theirs: BTreeMap<Whose, Option<Timestamp>>,
    /// The time by which timers of event time are due, as far as calls have told it.
    pub closing: Timestamp,
    /// What the step takes of results.
    pub takes: Option<Takes>,
    /// How far each input was read.
    reads: BTreeMap<u32, i64>,
    undo: Vec<Undo>,
    /// Bytes that this takes, roughly; what is taken away counts on.
    pub bytes: usize,
}

/// How a timer of the version in force stands with the version on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is due for both.
    Both,
    /// The version on trial has none, or not now.
    Theirs,
}

impl Shelf {
    /// A record of an input is read. `false`: it was before, as an interval that was aborted is read again.
    pub fn read(&mut self, input: u32, offset: i64) -> bool {
        let last = self.reads.entry(input).or_insert(offset);
        let goes_on = offset >= *last;
        *last = offset;
        goes_on
    }

    /// Before a call that the version in force was given: entries that it has changed are kept as they were, and its timers are known to
    /// be its own.
    pub fn keep(&mut self, found: &Found) {
        self.stores.resize_with(found.stores.len(), BTreeMap::new);
        for (entries, store) in self.stores.iter_mut().zip(&found.stores) {
            for key in store.written.iter().filter(|key| !entries.contains_key(*key)).collect::<Vec<_>>() {
                let entry = store.before(key).map_or(Entry::Unknown, |value| Entry::Known(value.map(<[u8]>::to_vec)));
                self.bytes += entry_bytes(key, &entry);
                entries.insert(key.clone(), entry);
            }
        }
        for (whose, due) in &found.timers {
            if self.theirs.insert(whose.clone(), *due).is_none() {
                self.bytes += ENTRY_BYTES + whose.1.as_ref().map_or(0, Vec::len) + whose.2.len();
            }
        }
    }

    /// What the last call has written is as if it never was.
    pub fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Entry(store, key, Some(entry)) => drop(self.stores[store].insert(key, entry)),
                Undo::Entry(store, key, None) => drop(self.stores[store].remove(&key)),
                Undo::Timer(whose, Some(due)) => drop(self.own.insert(whose, due)),
                Undo::Timer(whose, None) => drop(self.own.remove(&whose)),
            }
        }
    }

    /// What the last call has written stands.
    pub fn stand(&mut self) {
        self.undo.clear();
    }

    /// A timer of the version in force fires: it is gone for both.
    pub fn fires(&mut self, whose: &Whose, due: Timestamp) -> Standing {
        let theirs = self.theirs.remove(whose).is_some();
        match self.own.get(whose) {
            // By the wall clock each has its own now, and so another due time.
            Some(Some(own)) if *own <= due || whose.0 == TimerClock::WallClock => drop(self.own.remove(whose)),
            // Moved by the version on trial to later, or cancelled.
            Some(Some(_)) => return Standing::Theirs,
            Some(None) => {
                self.own.remove(whose);
                return Standing::Theirs;
            }
            None if theirs => return Standing::Theirs,
            None => {}
        }
        Standing::Both
    }

    /// Timers by a clock that are due for the version on trial alone. Those that the version in force has as well fire when its own do.
    fn alone(&self, clock: TimerClock) -> impl Iterator<Item = (&Whose, Timestamp)> {
        let together = move |whose: &Whose, due| {
            let theirs = self.theirs.get(whose).copied().flatten();
            theirs.is_some_and(|theirs| theirs == due || clock == TimerClock::WallClock)
        };
        let own = self.own.iter().filter(move |(whose, _)| whose.0 == clock);
        own.filter_map(|(whose, due)| Some((whose, (*due)?))).filter(move |(whose, due)| !together(whose, *due))
    }

    /// When the next timer of event time is due for the version on trial alone.
    pub fn next_own(&self) -> Option<Timestamp> {
        self.alone(TimerClock::EventTime).map(|(_, due)| due).min()
    }

    /// Takes out the timers by a clock that are due by `now` for the version on trial alone, in the order of their times.
    pub fn take_own(&mut self, clock: TimerClock, now: Timestamp) -> Vec<(Whose, Timestamp)> {
        let is_due = self.alone(clock).filter(|(_, due)| *due <= now);
        let mut due: Vec<(Whose, Timestamp)> = is_due.map(|(whose, due)| (whose.clone(), due)).collect();
        for (whose, _) in &due {
            self.own.remove(whose);
        }
        due.sort_by(|(a, a_due), (b, b_due)| (a_due, a).cmp(&(b_due, b)));
        due
    }

    fn put(&mut self, store: usize, key: &[u8], value: Option<&[u8]>) {
        let entry = Entry::Known(value.map(<[u8]>::to_vec));
        self.bytes += entry_bytes(key, &entry);
        let before = self.stores[store].insert(key.to_vec(), entry);
        self.undo.push(Undo::Entry(store, key.to_vec(), before));
    }

    fn time(&mut self, whose: Whose, due: Option<Timestamp>) {
        self.bytes += ENTRY_BYTES + whose.1.as_ref().map_or(0, Vec::len) + whose.2.len();
        let before = self.own.insert(whose.clone(), due);
        self.undo.push(Undo::Timer(whose, before));
    }
}

fn entry_bytes(key: &[u8], entry: &Entry) -> usize {
    let value = match entry {
        Entry::Known(Some(value)) => value.len(),
        Entry::Known(None) | Entry::Unknown => 0,
    };
    ENTRY_BYTES + key.len() + value
}

/// What the version on trial finds at its host.
pub(super) struct Desk<'c> {
    pub shelf: &'c mut Shelf,
    pub found: &'c Found,
    /// It exports `on-timer`.
    pub fires: bool,
    /// What it asked for that is not known.
    pub missed: Option<String>,
    /// Which rule it broke.
    pub broke: Option<Fault>,
    /// The earliest event time for which it has set a timer.
    pub earliest: Option<Timestamp>,
    spent: Spent,
}

impl<'c> Desk<'c> {
    /// For one call.
    pub fn new(shelf: &'c mut Shelf, found: &'c Found, fires: bool) -> Self {
        Self { shelf, found, fires, missed: None, broke: None, earliest: None, spent: Spent::default() }
    }

    /// Whether the call has changed anything.
    pub fn wrote(&self) -> bool {
        self.spent.any()
    }

    fn refuse<T>(&mut self, what: String) -> Result<T, Stop> {
        self.broke.get_or_insert(Fault::BadResult { what });
        Err(Stop::Ended)
    }

    fn miss<T>(&mut self, store: usize, what: &str) -> Result<T, Stop> {
        let name = self.found.names.get(store).map_or("", String::as_str);
        self.missed.get_or_insert(format!("{what} in the store `{name}`"));
        Err(Stop::Again)
    }

    fn known(&mut self, store: u32) -> Result<usize, Stop> {
        if (store as usize) < self.found.stores.len() {
            return Ok(store as usize);
        }
        self.refuse(format!("store number {store} is not there"))
    }

    fn within<T>(&mut self, asked: Result<T, Fault>) -> Result<T, Stop> {
        asked.map_err(|fault| {
            self.broke.get_or_insert(fault);
            Stop::Ended
        })
    }

    fn change(
        &mut self,
        clock: TimerClock,
        keys: &BytesColumn,
        name: &str,
        due: impl Fn(usize) -> Option<Timestamp>,
    ) -> Result<(), Stop> {
        let asked = self.spent.timers(self.fires, name, keys.len());
        self.within(asked)?;
        for i in 0..keys.len() {
            let key = keys.get(i);
            let asked = self.spent.timer(key, name);
            self.within(asked)?;
            if let (TimerClock::EventTime, Some(due)) = (clock, due(i)) {
                self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
            }
            self.shelf.time((clock, key.map(<[u8]>::to_vec), name.to_string()), due(i));
        }
        Ok(())
    }
}

/// Entries of a range, within its limits.
#[derive(Default)]
struct Ranged {
    keys: BytesColumn,
    values: BytesColumn,
    too_much: bool,
}

impl Ranged {
    /// `false`: no more go in.
    fn push(&mut self, key: &[u8], value: &[u8], limit: usize) -> bool {
        let bytes = self.keys.data().len() + self.values.data().len() + key.len() + value.len();
        self.too_much = self.keys.len() == RANGE_ENTRIES_MAX || bytes > READ_BYTES_MAX;
        if self.too_much {
            return false;
        }
        self.keys.push(Some(key));
        self.values.push(Some(value));
        self.keys.len() < limit
    }
}

impl Hosted for Desk<'_> {
    fn place(&self) -> Place<'_> {
        let stores = self.found.names.iter().map(String::as_str).collect();
        Place { partition: self.found.partition, step: &self.found.step, stores }
    }

    fn store(&self, name: &str) -> Option<u32> {
        self.found.names.iter().position(|known| known == name).map(|at| at as u32)
    }

    fn get(&mut self, store: u32, keys: &BytesColumn) -> Result<BytesColumn, Stop> {
        let number = self.known(store)?;
        let mut values = BytesColumn::with_capacity(keys.len(), 0);
        for i in 0..keys.len() {
            let Some(key) = keys.get(i) else {
                return self.refuse(format!("key {i} of those asked for in a store is null"));
            };
            let value = match self.shelf.stores[number].get(key) {
                Some(Entry::Known(value)) => Some(value.as_deref()),
                Some(Entry::Unknown) => None,
                None => self.found.stores[number].before(key),
            };
            let Some(value) = value else {
                return self.miss(number, &format!("the key {}", shown(Some(key))));
            };
            if values.data().len() + value.map_or(0, <[u8]>::len) > READ_BYTES_MAX {
                return self.refuse(format!("a `get` would give more than {READ_BYTES_MAX} bytes"));
            }
            values.push(value);
        }
        Ok(values)
    }

    fn put(&mut self, store: u32, keys: &BytesColumn, values: &BytesColumn) -> Result<(), Stop> {
        let number = self.known(store)?;
        if values.len() != keys.len() {
            return self.refuse(format!("{} values were given for {} keys", values.len(), keys.len()));
        }
        for i in 0..keys.len() {
            let Some(key) = keys.get(i) else {
                return self.refuse(format!("key {i} of those asked for in a store is null"));
            };
            let asked = self.spent.entry(key, values.get(i));
            self.within(asked)?;
            self.shelf.put(number, key, values.get(i));
        }
        Ok(())
    }

    fn range(&mut self, store: u32, start: &[u8], end: &[u8], limit: u32) -> Result<(BytesColumn, BytesColumn), Stop> {
        let number = self.known(store)?;
        if limit == 0 || (!end.is_empty() && end <= start) {
            return Ok(Default::default());
        }
        let (entries, known) = (&self.shelf.stores[number], &self.found.stores[number]);
        let inside = |key: &[u8]| end.is_empty() || key < end;
        let own =
            entries.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)).map(|(key, entry)| (&key[..], entry));
        let mut all: BTreeMap<&[u8], Option<Option<&[u8]>>> = BTreeMap::new();
        all.extend(known.keys_from(start).take_while(|(key, _)| inside(key)).map(|(key, value)| (key, Some(value))));
        all.extend(own.take_while(|(key, _)| inside(key)).map(|(key, entry)| match entry {
            Entry::Known(value) => (key, Some(value.as_deref())),
            Entry::Unknown => (key, None),
        }));
        let (mut ranged, mut full, mut unknown) = (Ranged::default(), false, false);
        for (key, value) in all {
            let Some(value) = value else {
                unknown = true;
                break;
            };
            if let Some(value) = value
                && !ranged.push(key, value, limit as usize)
            {
                full = true;
                break;
            }
        }
        let last = ranged.keys.len().checked_sub(1).and_then(|last| ranged.keys.get(last));
        let whole = match last.filter(|_| full) {
            Some(last) => known.is_whole(start, last),
            None => known.is_whole_until(start, end),
        };
        if unknown || !whole {
            return self.miss(number, &format!("keys from {}", shown(Some(start))));
        }
        if ranged.too_much {
            return self.within(Err(range_too_large()));
        }
        Ok((ranged.keys, ranged.values))
    }

    fn set(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: &[Timestamp]) -> Result<(), Stop> {
        if due.len() != keys.len() {
            return self.refuse(format!("{} times were given for {} keys", due.len(), keys.len()));
        }
        // Nothing happens before time 0.
        self.change(clock, keys, name, |i| Some(due[i].max(0)))
    }

    fn cancel(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str) -> Result<(), Stop> {
        self.change(clock, keys, name, |_| None)
    }
}
