//! What producers have sent, so that a request that comes again is not written again. Kept in the database, in the same
//! atomic write as the records: after a crash either both are there or neither. Not the records themselves.
//!
//! Keyspace `producers`: name → version byte 1, sequence of the last request, its records, wall time in milliseconds
//! (8 bytes each, big end first).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_core::state::keyspace::{Keyspaces, Scan, Space, SpaceKind, StorageError, Write};
use millstream_web::api::Mark;
use millstream_web::{Kind, Problem};

use super::storage;

/// Producers that are remembered; the one that was quiet for longest is forgotten first.
pub const PRODUCERS_MAX: usize = 10_000;

const VERSION: u8 = 1;

/// The last request of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Last {
    sequence: u64,
    records: u64,
    at_ms: i64,
}

impl Last {
    fn encode(self) -> Vec<u8> {
        let Self { sequence, records, at_ms } = self;
        [&[VERSION][..], &sequence.to_be_bytes(), &records.to_be_bytes(), &at_ms.to_be_bytes()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (records, rest) = rest.split_first_chunk()?;
        let at_ms: &[u8; 8] = rest.try_into().ok()?;
        let (sequence, records) = (u64::from_be_bytes(*sequence), u64::from_be_bytes(*records));
        (version == VERSION).then_some(Self { sequence, records, at_ms: i64::from_be_bytes(*at_ms) })
    }
}

/// All producers.
pub struct Producers {
    db: Arc<dyn Keyspaces>,
    known: Mutex<Option<Known>>,
}

/// What is remembered. Held from the question to the write, so that a request and its repetition do not pass each other.
pub struct Known {
    space: Space,
    last: BTreeMap<String, Last>,
}

/// What is written with the records of a request.
pub struct Note {
    name: String,
    last: Last,
    forgotten: Option<String>,
}

impl Producers {
    pub fn new(db: Arc<dyn Keyspaces>) -> Self {
        Self { db, known: Mutex::new(None) }
    }

    /// What is remembered; read from the database at the first use.
    pub fn open(&self) -> Result<Opened<'_>, Problem> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = Some(Known::read(self.db.as_ref()).map_err(|error| storage(&error))?);
        }
        Ok(Opened(known))
    }
}

/// See [`Producers::open`].
pub struct Opened<'a>(MutexGuard<'a, Option<Known>>);

impl Opened<'_> {
    /// Gives what is remembered to `f`.
    pub fn with<T>(&mut self, f: impl FnOnce(&mut Known) -> Result<T, Problem>) -> Result<T, Problem> {
        match self.0.as_mut() {
            Some(known) => f(known),
            None => Err(Problem::new(Kind::Internal, "what producers have sent has not been read")),
        }
    }
}

impl Known {
    fn read(db: &dyn Keyspaces) -> Result<Self, StorageError> {
        let space = db.open_space("producers", SpaceKind::State)?;
        let (mut last, mut damaged) = (BTreeMap::new(), None);
        db.scan(space, &[], None, &mut |key, value| match (std::str::from_utf8(key), Last::decode(value)) {
            (Ok(name), Some(entry)) => {
                last.insert(name.to_string(), entry);
                Scan::Continue
            }
            _ => {
                damaged = Some(String::from_utf8_lossy(key).into_owned());
                Scan::Stop
            }
        })?;
        match damaged {
            None => Ok(Self { space, last }),
            Some(name) => {
                let why = format!("what the producer `{name}` has sent cannot be read, or is of a later version");
                Err(StorageError::Corrupted(why))
            }
        }
    }

    /// How many records a request had that was written before; `None`: it is the next one.
    pub fn answered(&self, mark: Mark<'_>) -> Result<Option<u64>, Problem> {
        let last = self.last.get(mark.producer);
        let sequence = last.map_or(0, |last| last.sequence);
        match last.filter(|last| last.sequence == mark.sequence) {
            Some(last) => Ok(Some(last.records)),
            None if sequence.checked_add(1) == Some(mark.sequence) => Ok(None),
            None => {
                let (producer, asked) = (mark.producer, mark.sequence);
                let detail =
                    format!("the last request of producer `{producer}` was {sequence}, and {asked} does not follow it");
                Err(Problem::new(Kind::OutOfStep, detail))
            }
        }
    }

    /// What is to be remembered of a request, once it is written.
    pub fn note(&self, mark: Mark<'_>, records: usize, now_ms: i64) -> Note {
        let full = self.last.len() >= PRODUCERS_MAX && !self.last.contains_key(mark.producer);
        let oldest = full.then(|| self.last.iter().min_by_key(|(_, last)| last.at_ms)).flatten();
        let last = Last { sequence: mark.sequence, records: records as u64, at_ms: now_ms };
        Note { name: mark.producer.to_string(), last, forgotten: oldest.map(|(name, _)| name.clone()) }
    }

    /// The writes that belong to the request's own.
    pub fn writes(&self, note: &Note) -> Vec<Write> {
        let key = |name: &str| name.as_bytes().to_vec();
        let forget = note.forgotten.iter().map(|name| Write::Delete(self.space, key(name)));
        forget.chain([Write::Put(self.space, key(&note.name), note.last.encode())]).collect()
    }

    /// The request was written.
    pub fn written(&mut self, note: Note) {
        if let Some(name) = note.forgotten {
            self.last.remove(&name);
        }
        self.last.insert(note.name, note.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::memory;
    use millstream_core::state::keyspace::Durability;

    fn mark(producer: &str, sequence: u64) -> Mark<'_> {
        Mark { producer, sequence }
    }

    fn send(db: &dyn Keyspaces, producers: &Producers, mark: Mark<'_>, now_ms: i64) -> Result<Option<u64>, Problem> {
        producers.open()?.with(|known| {
            let answered = known.answered(mark)?;
            if answered.is_none() {
                let note = known.note(mark, mark.sequence as usize * 10, now_ms);
                db.apply(known.writes(&note), Durability::Process).unwrap();
                known.written(note);
            }
            Ok(answered)
        })
    }

    #[test]
    fn a_repetition_is_known_also_after_a_restart() {
        let db = memory();
        let producers = Producers::new(db.clone());
        assert_eq!(send(&*db, &producers, mark("a", 1), 1).unwrap(), None);
        assert_eq!(send(&*db, &producers, mark("a", 2), 2).unwrap(), None);
        assert_eq!(send(&*db, &producers, mark("b", 1), 3).unwrap(), None);
        for producers in [producers, Producers::new(db.clone())] {
            assert_eq!(send(&*db, &producers, mark("a", 2), 4).unwrap(), Some(20));
            for out_of_step in [0, 1, 4, u64::MAX] {
                let problem = send(&*db, &producers, mark("a", out_of_step), 5).unwrap_err();
                assert_eq!(problem.kind(), Some(Kind::OutOfStep), "{out_of_step}");
            }
            let problem = send(&*db, &producers, mark("new", 2), 5).unwrap_err();
            assert!(problem.detail.contains("was 0, and 2 does not follow"), "{}", problem.detail);
        }
    }

    #[test]
    fn the_quietest_producer_is_forgotten_first() {
        let db = memory();
        let producers = Producers::new(db.clone());
        for number in 0..PRODUCERS_MAX {
            send(&*db, &producers, mark(&format!("p{number}"), 1), number as i64).unwrap();
        }
        send(&*db, &producers, mark("p0", 2), i64::MAX).unwrap();
        send(&*db, &producers, mark("late", 1), i64::MAX).unwrap();
        let again = Producers::new(db.clone());
        again
            .open()
            .unwrap()
            .with(|known| {
                assert_eq!(known.last.len(), PRODUCERS_MAX);
                assert!(
                    known.last.contains_key("p0") && known.last.contains_key("late") && !known.last.contains_key("p1")
                );
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let db = memory();
        let space = db.open_space("producers", SpaceKind::State).unwrap();
        db.apply(vec![Write::Put(space, b"p".to_vec(), vec![2, 0])], Durability::Process).unwrap();
        let problem = Producers::new(db).open().err().unwrap();
        assert!(problem.status == 500 && problem.detail.contains("`p`"), "{}", problem.detail);
    }
}
