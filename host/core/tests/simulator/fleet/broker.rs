//! The brokers: partitions with transactions in them, producers, committed offsets, compaction. As Kafka has them, where it
//! matters to an engine: what a transaction wrote is in the log before it is decided; markers come partition by partition
//! after the decision; a producer that is initialised anew ends what was there; offsets with a stale generation are refused.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::task::TaskId;

use super::super::roles::Rec;
use super::group::Group;

/// A partition's place.
pub type Place = (String, u32);

#[derive(Clone, Debug)]
pub enum Entry {
    /// A record; of a transaction that has no marker here yet, or committed. `cleaned`: when compaction first found nothing
    /// newer of its key, and left nothing older.
    Record { rec: Rec, txn: Option<u64>, cleaned: Option<i64> },
    /// A marker, or a record that was aborted or compacted away.
    Nothing,
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    pub start: i64,
    pub entries: Vec<Entry>,
    /// Of a topic of the user's: how many records are there already.
    pub visible: Option<usize>,
    /// Transactions without a marker here, with their first offset.
    open: BTreeMap<u64, i64>,
}

impl Log {
    /// A topic of the user's, with what will be in it.
    pub fn of_input(records: &[Rec]) -> Self {
        let entry = |rec: &Rec| Entry::Record { rec: rec.clone(), txn: None, cleaned: None };
        Self { entries: records.iter().map(entry).collect(), visible: Some(0), ..Self::default() }
    }

    /// The high watermark.
    pub fn end(&self) -> i64 {
        self.visible.unwrap_or(self.entries.len()) as i64
    }

    /// The last stable offset: all below is decided.
    pub fn stable(&self) -> i64 {
        self.open.values().min().copied().unwrap_or(self.end())
    }

    /// A committed record.
    pub fn record(&self, offset: i64) -> Option<&Rec> {
        match self.entries.get(usize::try_from(offset).ok()?)? {
            Entry::Record { rec, txn: None, .. } => Some(rec),
            _ => None,
        }
    }

    /// Committed records from an offset on: none where there is a hole; where it ends.
    pub fn run(&self, from: i64, most: i64) -> (Vec<Rec>, i64) {
        let to = self.stable().min(from + most);
        let records: Vec<Rec> = (from..to).map_while(|at| self.record(at).cloned()).collect();
        let end = from + records.len() as i64;
        (records, end)
    }

    /// The first offset at or behind this one at which a committed record stands, or the last stable offset.
    pub fn next(&self, from: i64) -> i64 {
        (from..self.stable()).find(|at| self.record(*at).is_some()).unwrap_or(self.stable().max(from))
    }
}

/// What a group keeps for a task: next offsets, and a text beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub positions: Vec<i64>,
    /// Who committed it, in which interval.
    pub token: (String, u64),
    /// The task's metadata less its clocks.
    pub meta: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Ending { commit: bool },
}

#[derive(Clone, Debug)]
struct Txn {
    producer: String,
    state: State,
    /// Partitions without a marker.
    left: BTreeSet<Place>,
    offsets: Vec<(TaskId, Committed)>,
}

/// Why a broker refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Another instance with this id has come, or the transaction took too long.
    Fenced,
    /// Not a member, or of another generation.
    Stale,
    /// A transaction of this id is being ended: try again.
    Busy,
}

#[derive(Default)]
pub struct Broker {
    pub logs: BTreeMap<Place, Log>,
    /// Epoch by transactional id.
    producers: BTreeMap<String, u64>,
    txns: BTreeMap<u64, Txn>,
    offsets: BTreeMap<TaskId, Committed>,
    next_txn: u64,
    /// Transactions decided.
    pub decided: u64,
}

impl Broker {
    pub fn new(logs: BTreeMap<Place, Log>) -> Self {
        Self { logs, ..Self::default() }
    }

    fn txn_of(&mut self, id: &str) -> Option<(u64, &mut Txn)> {
        self.txns.iter_mut().find(|(_, t)| t.producer == id).map(|(n, t)| (*n, t))
    }

    /// A producer comes up: what is open of its id is aborted, what is being ended comes first. Gives its epoch.
    pub fn init(&mut self, id: &str) -> Result<u64, Refused> {
        if let Some((_, txn)) = self.txn_of(id) {
            if txn.state == State::Open {
                txn.state = State::Ending { commit: false };
            }
            return Err(Refused::Busy);
        }
        let epoch = self.producers.entry(id.into()).or_default();
        *epoch += 1;
        Ok(*epoch)
    }

    fn check(&mut self, id: &str, epoch: u64) -> Result<(), Refused> {
        if self.producers.get(id) != Some(&epoch) {
            return Err(Refused::Fenced);
        }
        match self.txn_of(id) {
            Some((_, txn)) if txn.state != State::Open => Err(Refused::Busy),
            _ => Ok(()),
        }
    }

    fn begun(&mut self, id: &str) -> u64 {
        if let Some((number, _)) = self.txn_of(id) {
            return number;
        }
        self.next_txn += 1;
        let (left, offsets) = Default::default();
        self.txns.insert(self.next_txn, Txn { producer: id.into(), state: State::Open, left, offsets });
        self.next_txn
    }

    /// Appends records to a partition; gives the offset of the last.
    pub fn produce(&mut self, id: &str, epoch: u64, to: &Place, records: Vec<Rec>) -> Result<i64, Refused> {
        self.check(id, epoch)?;
        let number = self.begun(id);
        let log = self.logs.entry(to.clone()).or_default();
        log.open.entry(number).or_insert(log.entries.len() as i64);
        log.entries.extend(records.into_iter().map(|rec| Entry::Record { rec, txn: Some(number), cleaned: None }));
        let last = log.entries.len() as i64 - 1;
        self.txns.get_mut(&number).expect("it was just begun").left.insert(to.clone());
        Ok(last)
    }

    /// Offsets become part of the transaction, if whoever sends them is of the group's generation.
    pub fn send_offsets(
        &mut self,
        id: &str,
        epoch: u64,
        member: (&Group, usize, u64),
        offsets: Vec<(TaskId, Committed)>,
    ) -> Result<(), Refused> {
        self.check(id, epoch)?;
        let (group, host, generation) = member;
        if !group.is_member(host) || group.generation != generation {
            return Err(Refused::Stale);
        }
        let number = self.begun(id);
        self.txns.get_mut(&number).expect("it was just begun").offsets = offsets;
        Ok(())
    }

    /// Decides the open transaction.
    pub fn end(&mut self, id: &str, epoch: u64, commit: bool) -> Result<(), Refused> {
        self.check(id, epoch)?;
        let number = self.begun(id);
        self.txns.get_mut(&number).expect("it was just begun").state = State::Ending { commit };
        self.decided += 1;
        Ok(())
    }

    /// An open transaction has taken too long: it is aborted, and its producer fenced.
    pub fn time_out(&mut self, id: &str) {
        if let Some((_, txn)) = self.txn_of(id).filter(|(_, txn)| txn.state == State::Open) {
            txn.state = State::Ending { commit: false };
            *self.producers.entry(id.into()).or_default() += 1;
        }
    }

    /// Writes one marker that is due: of the `nth`, in some order. `false`: none is.
    pub fn mark(&mut self, nth: u64) -> bool {
        let mut due: Vec<(u64, bool, Option<Place>)> = Vec::new();
        for (number, txn) in &self.txns {
            if let State::Ending { commit } = txn.state {
                due.extend(txn.left.iter().map(|place| (*number, commit, Some(place.clone()))));
                if !txn.offsets.is_empty() || txn.left.is_empty() {
                    due.push((*number, commit, None));
                }
            }
        }
        if due.is_empty() {
            return false;
        }
        let (number, commit, place) = due.swap_remove((nth % due.len() as u64) as usize);
        let txn = self.txns.get_mut(&number).expect("it is due");
        match place {
            None => {
                let offsets = std::mem::take(&mut txn.offsets);
                if commit {
                    self.offsets.extend(offsets);
                }
            }
            Some(place) => {
                txn.left.remove(&place);
                let log = self.logs.get_mut(&place).expect("it was written to");
                log.open.remove(&number);
                for entry in &mut log.entries {
                    match entry {
                        Entry::Record { txn, .. } if *txn == Some(number) && commit => *txn = None,
                        Entry::Record { txn, .. } if *txn == Some(number) => *entry = Entry::Nothing,
                        _ => {}
                    }
                }
                log.entries.push(Entry::Nothing);
            }
        }
        let txn = &self.txns[&number];
        if txn.left.is_empty() && txn.offsets.is_empty() {
            self.txns.remove(&number);
        }
        true
    }

    /// Whether any transaction is open or being ended.
    pub fn busy(&self) -> bool {
        !self.txns.is_empty()
    }

    /// What is committed for a task; `Err`: a transaction that is not ended may change it.
    pub fn stable_offsets(&self, task: TaskId) -> Result<Option<Committed>, Refused> {
        if self.txns.values().any(|t| t.offsets.iter().any(|(of, _)| *of == task)) {
            return Err(Refused::Busy);
        }
        Ok(self.offsets.get(&task).cloned())
    }

    /// Cleans a changelog below an offset: of each key the last record stays. A removal goes too, once it was found so
    /// `retention` ago: whoever has read what it removes has had so long to read the removal.
    pub fn compact(&mut self, place: &Place, below: i64, now: i64, retention: i64) {
        let Some(log) = self.logs.get_mut(place) else { return };
        let below = below.min(log.stable()) as usize;
        let mut seen: BTreeSet<Vec<u8>> = BTreeSet::new();
        for entry in log.entries[..below].iter_mut().rev() {
            let Entry::Record { rec, cleaned, .. } = entry else { continue };
            let last = seen.insert(rec.key.clone().unwrap_or_default());
            let since = *cleaned.get_or_insert(now);
            if !last || rec.value.is_none() && now - since >= retention {
                *entry = Entry::Nothing;
            }
        }
    }
}
