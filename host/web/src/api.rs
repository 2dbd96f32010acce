//! What a host answers: the port that it implements. Nothing here knows HTTP beyond the problems that are told.
//!
//! All calls may block; the server makes them on threads for that.

pub mod inside;

use std::borrow::Cow;
use std::time::Duration;

use crate::Problem;
use crate::types::trials::Probation;
use crate::types::{Appended, Deployed, Function, History, Pipeline, Rows, Store, Task, Together, Topic};
use inside::Inside;

/// A running pipeline as its HTTP API sees it.
pub trait Api: Inside + Send + Sync + 'static {
    /// What runs here.
    fn pipeline(&self) -> Pipeline;

    /// Takes no more records, and waits, within bounds, until what is done is committed. Tasks and the place in a group stay.
    ///
    /// # Errors
    /// When it cannot be noted for the next start.
    fn pause(&self) -> Result<Pipeline, Problem>;

    /// Takes records again.
    ///
    /// # Errors
    /// As [`Api::pause`].
    fn resume(&self) -> Result<Pipeline, Problem>;

    /// Why the pipeline is not doing its work, a reason each; empty when it is.
    fn not_ready(&self) -> Vec<String>;

    /// All tasks, by sub-topology and partition.
    ///
    /// # Errors
    /// Those of the storage.
    fn tasks(&self) -> Result<Vec<Task>, Problem>;

    /// All functions, in the order of the manifest.
    ///
    /// # Errors
    /// Those of the storage.
    fn functions(&self) -> Result<Vec<Function>, Problem>;

    /// Versions of a function.
    ///
    /// # Errors
    /// [`Kind::UnknownFunction`](crate::Kind::UnknownFunction); those of the storage.
    fn history(&self, function: &str) -> Result<History, Problem>;

    /// The component of a version of a function: the one with this number, or the one in force.
    ///
    /// # Errors
    /// [`Kind::UnknownFunction`](crate::Kind::UnknownFunction), [`Kind::UnknownVersion`](crate::Kind::UnknownVersion); those of the storage.
    fn component(&self, function: &str, version: Option<u64>) -> Result<Vec<u8>, Problem>;

    /// Checks components, each of another function, and puts them in force together; all are tried as the first is.
    ///
    /// # Errors
    /// Why they were not taken; the versions before run on.
    fn deploy(&self, deploys: &[Deploy<'_>]) -> Result<Together, Problem>;

    /// The last version of a function that was tried first, or is on trial; what hosts saw.
    ///
    /// # Errors
    /// [`Kind::UnknownFunction`](crate::Kind::UnknownFunction), [`Kind::NotOnTrial`](crate::Kind::NotOnTrial).
    fn probation(&self, function: &str) -> Result<Probation, Problem>;

    /// Puts a version in force that is on trial until it is promoted.
    ///
    /// # Errors
    /// [`Kind::NotOnTrial`](crate::Kind::NotOnTrial); those of [`Api::deploy`].
    fn promote(&self, function: &str) -> Result<Deployed, Problem>;

    /// Gives a version up that is on trial.
    ///
    /// # Errors
    /// [`Kind::NotOnTrial`](crate::Kind::NotOnTrial).
    fn abandon(&self, function: &str) -> Result<(), Problem>;

    /// Goes back to an earlier version: the one with this number, or the one before.
    ///
    /// # Errors
    /// When there is none; those of [`Api::deploy`].
    fn rollback(&self, function: &str, to: Option<u64>) -> Result<Deployed, Problem>;

    /// All stores, by sub-topology.
    fn stores(&self) -> Vec<Store>;

    /// Rows of a store, as the last commit of each partition left them.
    ///
    /// # Errors
    /// [`Kind::UnknownStore`](crate::Kind::UnknownStore), [`Kind::StoreClosed`](crate::Kind::StoreClosed); what does not suit the store;
    /// [`Kind::UnknownKey`](crate::Kind::UnknownKey); where the partition of a key is not here to be read,
    /// [`Kind::Restoring`](crate::Kind::Restoring), [`Kind::Elsewhere`](crate::Kind::Elsewhere) with the host that has it, or
    /// [`Kind::OwnerUnknown`](crate::Kind::OwnerUnknown); those of the storage.
    fn rows(&self, question: &Question) -> Result<Rows, Problem>;

    /// All topics, internal ones too, by name.
    ///
    /// # Errors
    /// Those of the storage.
    fn topics(&self) -> Result<Vec<Topic>, Problem>;

    /// One topic.
    ///
    /// # Errors
    /// [`Kind::UnknownTopic`](crate::Kind::UnknownTopic), with what it is that there is; those of the storage.
    fn topic(&self, topic: &str) -> Result<Topic, Problem>;

    /// Writes records: all or, on any error, none. A record without a partition goes where its key belongs; those without
    /// a key go, all of one call, to one partition, the next at each call.
    ///
    /// # Errors
    /// An unknown or internal topic, a partition it has not, a record too large, a producer out of step; those of the
    /// storage.
    fn append(&self, append: Append<'_>) -> Result<Appended, Problem>;

    /// Shows records of one partition from an offset on, until `sink` has had enough or there is no more; the position
    /// behind the last one shown.
    ///
    /// # Errors
    /// An unknown topic or partition; [`Kind::OffsetOutOfRange`](crate::Kind::OffsetOutOfRange); those of the storage.
    fn read(&self, topic: &str, partition: u32, from: i64, sink: Sink<'_>) -> Result<i64, Problem>;

    /// A number that grows with every write to any topic.
    fn generation(&self) -> u64;

    /// Waits until the number is larger than `generation`, or the time is over.
    fn wait(&self, generation: u64, longest: Duration);

    /// What is counted for the pipeline as a whole.
    fn totals(&self) -> Totals;
}

/// A question to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The store.
    pub store: String,
    /// What of it.
    pub what: What,
    /// In this partition alone.
    pub partition: Option<u32>,
    /// Most rows of the answer.
    pub limit: usize,
    /// Where an earlier answer ended.
    pub after: Option<Place>,
    /// What leaves the step, by its function's `finish`, in place of states.
    pub results: bool,
}

/// What is asked of a store. Times are starts of windows, milliseconds, both in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// What it has of a key.
    Key {
        /// The key.
        key: Vec<u8>,
        /// The earliest window.
        from: Option<i64>,
        /// The latest.
        to: Option<i64>,
    },
    /// What it has of keys.
    Keys {
        /// The first key.
        from: Vec<u8>,
        /// The key before which they end; `None`: with the last.
        to: Option<Vec<u8>>,
        /// The earliest window and the latest.
        windows: (Option<i64>, Option<i64>),
    },
    /// Rows of all keys, by window.
    Windows {
        /// The earliest.
        from: Option<i64>,
        /// The latest.
        to: Option<i64>,
    },
}

/// Where an answer ended: what its `next` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The partition.
    pub partition: u32,
    /// The place in it, the host's own; empty: its beginning.
    pub at: Vec<u8>,
}

/// Takes a record; whether it wants another.
pub type Sink<'a> = &'a mut dyn FnMut(Record<'_>) -> bool;

/// A component that shall run.
#[derive(Clone, Copy, Debug)]
pub struct Deploy<'a> {
    /// The function.
    pub function: &'a str,
    /// The component.
    pub component: &'a [u8],
    /// Its settings, a JSON object; without them, those in force stay.
    pub settings: Option<&'a str>,
    /// Where it comes from, for people.
    pub origin: &'a str,
    /// Who vouches for it, as `millstream sign` writes it; empty for nobody.
    pub signature: &'a str,
    /// How it is tried first.
    pub probation: Trying,
    /// About so many of the last records are given to it first.
    pub replay: u64,
}

/// Most records from before that a deploy may ask for.
pub const REPLAY_RECORDS_MAX: u64 = 100_000;

/// Whether so many records from before may be asked for.
///
/// # Errors
/// Why not, in words for the user.
pub fn replay_of(trying: Trying, replay: Option<u64>) -> Result<u64, String> {
    match replay {
        Some(_) if trying == Trying::Not => Err("a version that is not tried is given no records first".into()),
        Some(count) if count > REPLAY_RECORDS_MAX => {
            Err(format!("{count} records are more than the {REPLAY_RECORDS_MAX} that are taken through again"))
        }
        _ => Ok(replay.unwrap_or(0)),
    }
}

/// Longest time for which a deploy may ask a version to be tried, milliseconds: it waits for it.
pub const PROBATION_MS_MAX: i64 = 120_000;

/// How a version is tried beside the one in force, before it takes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trying {
    /// For as long as the host finds right.
    #[default]
    Usual,
    /// Not at all.
    Not,
    /// For so many milliseconds, however few or many records there are.
    For(i64),
    /// Until somebody promotes it.
    Hold,
}

impl std::str::FromStr for Trying {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time such as `30s` or `500ms`, nor `none`, nor `hold`");
        match text {
            "usual" => return Ok(Self::Usual),
            "none" => return Ok(Self::Not),
            "hold" => return Ok(Self::Hold),
            _ => {}
        }
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000)];
        let found = units.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?.parse::<i64>().ok()?, *ms)));
        let (count, unit) = found.ok_or_else(wrong)?;
        let ms = count.checked_mul(unit).filter(|ms| *ms > 0).ok_or_else(wrong)?;
        if ms > PROBATION_MS_MAX {
            let most = PROBATION_MS_MAX / 1_000;
            return Err(format!(
                "`{text}` is longer than {most} s; to watch a version for longer hold it, and promote it then"
            ));
        }
        Ok(Self::For(ms))
    }
}

/// A header: name and value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// A header of a record to be written.
pub type NewHeader<'a> = (Cow<'a, [u8]>, Option<Cow<'a, [u8]>>);

/// A record as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its event time, milliseconds.
    pub timestamp: i64,
    /// Its headers, in order.
    pub headers: &'a [Header<'a>],
}

/// A record to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Its line in the request, from 1, for errors.
    pub line: u32,
    /// Where it shall go.
    pub partition: Option<u32>,
    /// Its key.
    pub key: Option<Cow<'a, [u8]>>,
    /// Its value; none is a tombstone.
    pub value: Option<Cow<'a, [u8]>>,
    /// Its event time, milliseconds; the host's clock without it.
    pub timestamp: Option<i64>,
    /// Its headers, in order.
    pub headers: Vec<NewHeader<'a>>,
}

/// Records to be written.
#[derive(Clone, Debug)]
pub struct Append<'a> {
    /// Where.
    pub topic: &'a str,
    /// What.
    pub records: Vec<NewRecord<'a>>,
    /// Which request this is, so that it can be told from a repetition.
    pub mark: Option<Mark<'a>>,
}

/// A producer's count of its requests. A request with the sequence of its last one is a repetition: nothing is
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    /// The producer, a name it made up at random.
    pub producer: &'a str,
    /// 1, 2, …
    pub sequence: u64,
}

/// What is counted for the pipeline as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Seconds since the host started.
    pub uptime_seconds: f64,
    /// Intervals committed.
    pub commits: u64,
    /// Seconds their commits took together.
    pub commit_seconds: f64,
    /// How tries to commit ended, by outcome.
    pub outcomes: Vec<(&'static str, u64)>,
    /// What the group did with this host's partitions, by kind.
    pub rebalances: Vec<(&'static str, u64)>,
    /// Records replayed from changelogs.
    pub restored_records: u64,
    /// Bytes of their keys and values.
    pub restored_bytes: u64,
    /// Bytes of fetched records that wait to be worked on.
    pub waiting_bytes: u64,
    /// Bytes of memory, by what has them.
    pub memory_bytes: Vec<(&'static str, u64)>,
    /// How old the ends are by which lag is counted, seconds; `None`: they are of now.
    pub ends_age_seconds: Option<f64>,
    /// Records that retention deleted before they were read.
    pub lost_records: u64,
    /// Records that left without a result, by step and reason.
    pub dropped: Vec<(String, String, u64)>,
    /// How far global tables have been read.
    pub followed: Vec<Followed>,
}

/// How far a partition of a global table's topic has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The table.
    pub table: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Offset of the next record.
    pub offset: i64,
    /// Where the partition ends.
    pub end: i64,
}
