//! The ledger of local mode: three keyspaces of the one database. `control` holds the log by position, `modules` the components by
//! `DIGEST/PLACE`, `history` a line for each task's switch, written with the interval that is the first under a version.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, anyhow};
use millstream_core::state::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, StorageError, Write};
use millstream_core::swap::{Control, Entry, Version};

use super::entries::{self, SwitchRecord};
use super::ledger::{Follow, FollowError, Ledger, Logged};
use super::random_id;
use crate::runtime::worker::wall_ms;

/// The one host's name.
pub const HOST: &str = "this host";

const CONTROL: &str = "control";
const MODULES: &str = "modules";
const HISTORY: &str = "history";

/// See the module.
pub struct LocalLedger {
    db: Arc<dyn Keyspaces>,
    control: Space,
    modules: Space,
    history: Space,
    tail: Mutex<Tail>,
}

struct Tail {
    last: u64,
    reader: Sender<Logged>,
}

/// Its reader.
pub struct LocalFollow {
    first: VecDeque<Logged>,
    then: Receiver<Logged>,
}

/// The space of the history.
///
/// # Errors
/// Those of the storage.
pub fn history_space(db: &dyn Keyspaces) -> Result<Space, StorageError> {
    db.open_space(HISTORY, SpaceKind::State)
}

/// The write by which a switch becomes history, together with the interval that is the first under a version.
///
/// # Errors
/// Those of [`SwitchRecord::encode`].
pub fn switch_write(history: Space, record: &SwitchRecord) -> anyhow::Result<Write> {
    let (epoch, sub) = (record.epoch.to_be_bytes(), (record.sub_topology as u32).to_be_bytes());
    let key = [record.function.as_bytes(), &[0], &epoch, &sub, &record.partition.to_be_bytes()].concat();
    Ok(Write::Put(history, key, record.encode()?))
}

impl LocalLedger {
    /// Opens the ledger; gives up proposals that the host had not prepared when it died: it may have died of that.
    ///
    /// # Errors
    /// Those of the storage; a log that cannot be read.
    pub fn open(db: Arc<dyn Keyspaces>) -> anyhow::Result<(Self, LocalFollow)> {
        let control = db.open_space(CONTROL, SpaceKind::State)?;
        let modules = db.open_space(MODULES, SpaceKind::Log)?;
        let history = history_space(db.as_ref())?;
        let (mut first, mut failed, mut last) = (VecDeque::new(), None, i64::MIN);
        db.scan(control, &[], None, &mut |key, value| match read_entry(key, value) {
            Ok(mut logged) => {
                logged.time = logged.time.max(last);
                last = logged.time;
                first.push_back(logged);
                Scan::Continue
            }
            Err(error) => {
                failed = Some(error);
                Scan::Stop
            }
        })?;
        if let Some(error) = failed {
            return Err(error.context("read the control log"));
        }
        let mut state = Control::default();
        for Logged { at, time, entry } in &first {
            state.apply(*at, *time, entry).map_err(|last| anyhow!("control log: entry {at} follows {last}"))?;
        }
        let (reader, then) = channel();
        let tail = Mutex::new(Tail { last: state.last(), reader });
        let ledger = Self { db, control, modules, history, tail };
        for (proposal, _) in state.open().filter(|(_, open)| open.answers.is_empty()) {
            let reason = "the host stopped before it was prepared".to_string();
            ledger.append(&Entry::Void { proposal, reason })?;
        }
        // What was just appended counts as what was there.
        first.extend(then.try_iter());
        Ok((ledger, LocalFollow { first, then }))
    }
}

fn read_entry(key: &[u8], value: &[u8]) -> anyhow::Result<Logged> {
    let at = key.try_into().map(u64::from_be_bytes).map_err(|_| anyhow!("an entry's key has not 8 bytes"))?;
    let entry = entries::decode(value).with_context(|| format!("entry {at}"))?;
    let entry = entry.with_context(|| format!("entry {at} is none"))?;
    Ok(Logged { at, time: entries::time(value).unwrap_or_else(|| proposed_at(&entry)), entry })
}

/// When an entry was appended that does not say so: not before the proposals up to it.
fn proposed_at(entry: &Entry) -> i64 {
    match entry {
        Entry::Propose(proposal) => proposal.changes.iter().map(|change| change.version.proposed_at).max().unwrap_or(0),
        _ => 0,
    }
}

/// Where a component is in its space. Without a place: it was kept before there were places.
fn key(digest: &str, place: &str) -> Vec<u8> {
    if place.is_empty() { digest.as_bytes().to_vec() } else { format!("{digest}/{place}").into_bytes() }
}

impl Ledger for LocalLedger {
    fn append(&self, entry: &Entry) -> anyhow::Result<()> {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, time) = (tail.last + 1, wall_ms());
        let bytes = entries::encode_at(entry, time)?;
        let write = Write::Put(self.control, at.to_be_bytes().to_vec(), bytes);
        self.db.apply(vec![write], Durability::Device).context("write the control log")?;
        tail.last = at;
        // A reader that has ended needs no telling.
        let _ended = tail.reader.send(Logged { at, time, entry: entry.clone() });
        Ok(())
    }

    fn keep(&self, digest: &str, component: &[u8]) -> anyhow::Result<String> {
        let place = random_id()?;
        let write = Write::Put(self.modules, key(digest, &place), component.to_vec());
        self.db.apply(vec![write], Durability::Device).context("keep the component")?;
        Ok(place)
    }

    fn component(&self, version: &Version) -> anyhow::Result<Vec<u8>> {
        let kept = self.db.get(self.modules, &key(&version.digest, &version.place))?;
        kept.with_context(|| format!("no component {} is kept", version.digest))
    }

    fn discard(&self, digest: &str, place: &str) -> anyhow::Result<()> {
        let write = Write::Delete(self.modules, key(digest, place));
        self.db.apply(vec![write], Durability::Process).context("let go of a component")
    }

    fn needs(&self, _: &BTreeSet<String>) {}

    fn live(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(BTreeSet::from([HOST.to_string()]))
    }

    fn switches(&self, function: &str) -> anyhow::Result<Vec<SwitchRecord>> {
        let from = [function.as_bytes(), &[0]].concat();
        let to = [function.as_bytes(), &[1]].concat();
        let (mut out, mut failed) = (Vec::new(), None);
        self.db.scan(self.history, &from, Some(&to), &mut |_, value| match SwitchRecord::decode(value) {
            Ok(record) => {
                out.push(record);
                Scan::Continue
            }
            Err(error) => {
                failed = Some(error);
                Scan::Stop
            }
        })?;
        failed.map_or(Ok(out), Err)
    }
}

impl Follow for LocalFollow {
    fn read(&mut self, wait: Duration) -> Result<Vec<Logged>, FollowError> {
        if !self.first.is_empty() {
            return Ok(self.first.drain(..).collect());
        }
        // Nobody who could write is left: the host ends.
        let Ok(next) = self.then.recv_timeout(wait) else { return Ok(Vec::new()) };
        Ok([next].into_iter().chain(self.then.try_iter()).collect())
    }

    fn is_at_end(&self) -> bool {
        self.first.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use millstream_core::swap::{Change, Proposal};
    use millstream_core::task::{Switch, TaskId};

    use super::*;
    use crate::runtime::memory::memory;

    fn propose(id: &str, builds_on: u64) -> Entry {
        let version = Version { digest: id.into(), ..Version::default() };
        Entry::Propose(Proposal {
            id: id.into(),
            changes: vec![Change { function: "f".into(), version, builds_on }],
            probation: None,
        })
    }

    fn read(follow: &mut LocalFollow) -> Vec<(u64, Entry)> {
        follow.read(Duration::ZERO).unwrap().into_iter().map(|logged| (logged.at, logged.entry)).collect()
    }

    #[test]
    fn the_log_survives_and_open_proposals_are_given_up() {
        let db = memory();
        let (ledger, mut follow) = LocalLedger::open(db.clone()).unwrap();
        assert!(follow.is_at_end());
        let all = [propose("a", 0), Entry::Activate { proposal: 1 }, propose("b", 2)];
        all.iter().for_each(|entry| ledger.append(entry).unwrap());
        assert_eq!(read(&mut follow), (1..).zip(all.clone()).collect::<Vec<_>>());
        let places = [ledger.keep("b", b"two").unwrap(), ledger.keep("b", b"two").unwrap()];
        assert_ne!(places[0], places[1]);
        let before = wall_ms();
        drop(ledger);
        let (ledger, mut follow) = LocalLedger::open(db).unwrap();
        assert!(!follow.is_at_end());
        let again = follow.read(Duration::ZERO).unwrap();
        let times: Vec<i64> = again.iter().map(|logged| logged.time).collect();
        assert!(times.is_sorted() && times[2] <= before && before - times[0] < 60_000, "{times:?}, {before}");
        let again: Vec<_> = again.into_iter().map(|logged| (logged.at, logged.entry)).collect();
        assert_eq!(again[..3], (1..).zip(all).collect::<Vec<_>>());
        assert!(
            matches!(&again[3..], [(4, Entry::Void { proposal: 3, reason })] if reason.contains("host stopped")),
            "{again:?}"
        );
        assert!(follow.is_at_end() && read(&mut follow).is_empty());
        let component = |digest: &str, place: &str| {
            ledger.component(&Version { digest: digest.into(), place: place.into(), ..Version::default() })
        };
        assert_eq!(component("b", &places[0]).unwrap(), b"two");
        assert!(component("c", &places[0]).is_err());
        for _twice in 0..2 {
            ledger.discard("b", &places[0]).unwrap();
            assert!(component("b", &places[0]).is_err());
            assert_eq!(component("b", &places[1]).unwrap(), b"two", "what was kept again stays");
        }
    }

    #[test]
    fn what_was_kept_before_there_were_places_and_times_is_read() {
        let db = memory();
        let (ledger, _follow) = LocalLedger::open(db.clone()).unwrap();
        let mut proposal = propose("a", 0);
        if let Entry::Propose(made) = &mut proposal {
            made.changes[0].version.proposed_at = 7;
        }
        let entries = [(1, proposal), (2, Entry::Activate { proposal: 1 })];
        let puts = entries.iter().map(|(at, entry)| {
            let at: u64 = *at;
            Write::Put(ledger.control, at.to_be_bytes().to_vec(), entries::encode(entry).unwrap())
        });
        let component = Write::Put(ledger.modules, b"a".to_vec(), b"one".to_vec());
        db.apply(puts.chain([component]).collect(), Durability::Process).unwrap();
        let (ledger, mut follow) = LocalLedger::open(db).unwrap();
        let times: Vec<i64> = follow.read(Duration::ZERO).unwrap().iter().map(|logged| logged.time).collect();
        assert_eq!(times, [7, 7]);
        let version = Version { digest: "a".into(), ..Version::default() };
        assert_eq!(ledger.component(&version).unwrap(), b"one");
        ledger.discard("a", "").unwrap();
        assert!(ledger.component(&version).is_err());
    }

    #[test]
    fn switches_come_back_in_order() {
        let db = memory();
        let (ledger, _follow) = LocalLedger::open(db.clone()).unwrap();
        for (epoch, partition) in [(7, 1), (3, 0), (7, 0)] {
            let switch = Switch { function: 0, epoch, positions: vec![("in".into(), 5)] };
            let record = SwitchRecord::new(TaskId { sub: 0, partition }, "f", &switch);
            db.apply(vec![switch_write(ledger.history, &record).unwrap()], Durability::Process).unwrap();
        }
        let order: Vec<_> = ledger.switches("f").unwrap().iter().map(|s| (s.epoch, s.partition)).collect();
        assert_eq!(order, [(3, 0), (7, 0), (7, 1)]);
        assert!(ledger.switches("ff").unwrap().is_empty());
    }
}
