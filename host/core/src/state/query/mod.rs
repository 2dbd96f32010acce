//! Reading a task's stores from outside, as the last commit left them. What the open interval has changed is not in the database yet, so
//! that nobody sees what may still be taken back; a [`View`] keeps all of an answer at one commit. Not here: who asks, in what form it is
//! answered, which host has the task. Which stores there are and how each is read says [`kinds`]; windows that are put together from slices
//! are in `slices`.
//!
//! Every question is one walk over a store's keys in their order, with jumps over what cannot match. A walk ends when the answer is
//! complete or its [`Budget`] is used up, and then says where another one goes on.

pub mod kinds;
mod results;
mod slices;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::key::{self, StoreKind};
use super::keyspace::{Scan, Space, StorageError, View};
use super::value::{STATELESS, Stored};
use crate::function::{Fault, Functions, Prepared};
use crate::operator::process::Kept;
use crate::record::Timestamp;
use crate::slicing::Slicing;
use crate::window::Grid;

/// How the rows of a store are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// By key.
    Keys,
    /// By a window that came with the key, then key.
    WindowedKeys,
    /// By window, then key.
    Windows(Grid),
    /// By key, in sessions.
    Sessions,
    /// By key, in slices, of which windows are put together when they are asked for.
    Slices(Slicing),
}

/// Starts of windows, milliseconds, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The earliest.
    pub from: Timestamp,
    /// The latest.
    pub to: Timestamp,
}

impl Span {
    /// All of them.
    pub const ALL: Span = Span { from: Timestamp::MIN, to: Timestamp::MAX };

    fn holds(self, start: Timestamp) -> bool {
        (self.from..=self.to).contains(&start)
    }
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What<'a> {
    /// What it has of one key: a row, or those of its windows.
    Key(&'a [u8], Span),
    /// What it has of keys with `from <= key < to`; without `to`, to the last: rows, or those of their windows.
    Range(&'a [u8], Option<&'a [u8]>, Span),
    /// Rows of all keys by window. Where keys have windows.
    Windows(Span),
}

impl What<'_> {
    /// Whether a store of this form can be asked that: keys without windows are asked for no windows.
    pub fn suits(self, form: Form) -> bool {
        match self {
            What::Key(_, span) | What::Range(_, _, span) => form != Form::Keys || span == Span::ALL,
            What::Windows(_) => form != Form::Keys,
        }
    }

    fn span(self) -> Span {
        let (What::Key(_, span) | What::Range(_, _, span) | What::Windows(span)) = self;
        span
    }

    /// Where a key lies that is in the answer or not, and the first that can be in it.
    fn place(&self, key: &[u8]) -> (Ordering, &[u8]) {
        match self {
            What::Key(wanted, _) => (key.cmp(wanted), wanted),
            What::Range(from, ..) if key < *from => (Ordering::Less, from),
            What::Range(from, Some(to), _) if key >= *to => (Ordering::Greater, from),
            What::Range(..) | What::Windows(_) => (Ordering::Equal, b""),
        }
    }
}

/// What an answer may still take; what is read of several tasks for one answer shares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Rows.
    pub rows: usize,
    /// Bytes of keys and values; the row that passes it is still in the answer.
    pub bytes: usize,
    /// Entries looked at, whether they are in the answer or not; a jump counts as one.
    pub looks: usize,
}

impl Budget {
    /// Whether nothing more may be read.
    pub fn is_spent(&self) -> bool {
        self.rows == 0 || self.bytes == 0 || self.looks == 0
    }
}

/// What a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key, without its window.
    pub key: Vec<u8>,
    /// Start and end of the window, milliseconds; of a session the times of its first and last record.
    pub window: Option<(Timestamp, Timestamp)>,
    /// Of an aggregate the largest timestamp of its records, of a table's row that of its record, of a processor's entry the time at which
    /// it was written; [`NEVER`](crate::time::NEVER) where none was known then.
    pub timestamp: Timestamp,
    /// The value, or an aggregate's state in its function's layout.
    pub value: Vec<u8>,
    /// The number of that layout; 0 where there is none.
    pub layout: u32,
}

/// Some rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order in which they stand: by key, or by window and then key; sessions of a key, and windows that are put together from
    /// slices, by their end.
    pub rows: Vec<Row>,
    /// Where to go on, for [`Ground::ask`], where there may be more; `None`: that was all.
    pub next: Option<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The place to go on from is none of this question.
    #[error("it goes on from a place that this question does not come by")]
    Cursor,
    /// Those of the storage; corrupted where something stored cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The function that merges states has failed.
    #[error("the function that has made its states {0}")]
    Function(Fault),
    /// A state is stored in another layout than the version reads.
    #[error("a state is stored in layout {stored}, and the version of the function in force reads layout {reads}")]
    Layout {
        /// The layout of the state.
        stored: u32,
        /// That of the version.
        reads: u32,
    },
}

pub use results::results;

/// Who calls the function that has made states, for what is to be told of them.
pub struct Calls<'a> {
    /// The functions of whoever asks.
    pub functions: &'a mut dyn Functions,
    /// The version that has the states.
    pub prepared: Prepared,
    /// States are values of records, which have no layout.
    pub reduces: bool,
}

/// A store of a task, in a database as it was at one moment.
#[derive(Clone, Copy)]
pub struct Ground<'a> {
    /// The database.
    pub view: &'a dyn View,
    /// The keyspace.
    pub space: Space,
    /// In front of every key.
    pub prefix: &'a [u8],
    /// How rows are found.
    pub form: Form,
    /// Which entries are there still, by when they were written.
    pub kept: Kept,
    /// Closing time up to which windows have been closed; [`NEVER`](crate::time::NEVER): none has. Slices of such may be there still.
    pub closed: Timestamp,
}

/// What a walk does with an entry.
enum Step {
    /// It is in the answer.
    Take(Row),
    /// It is not, and the next one may be.
    Pass,
    /// Neither is what comes before this key (without the task's prefix).
    Jump(Vec<u8>),
    /// Nothing that follows is.
    End,
}

/// The first key of a walk and the first behind it, without the task's prefix.
type Bounds = (Vec<u8>, Option<Vec<u8>>);

impl Ground<'_> {
    /// Rows, as far as the budget goes. `after`: the place that an earlier answer to the same question gave. `calls`: who puts windows
    /// together, of [`Form::Slices`]; `None`: states are counts, which are added up.
    ///
    /// # Errors
    /// See [`QueryError`].
    ///
    /// # Panics
    /// Where the question does not suit the store: see [`What::suits`].
    pub fn ask(
        &self,
        what: What<'_>,
        after: Option<&[u8]>,
        budget: &mut Budget,
        calls: Option<&mut Calls<'_>>,
    ) -> Result<Page, QueryError> {
        assert!(what.suits(self.form), "{what:?} is asked of {:?}", self.form);
        let (begin, end) = self.bounds(what);
        let at = match after {
            None => begin,
            Some(after) if *after >= begin[..] && end.as_ref().is_none_or(|end| after < &end[..]) => after.to_vec(),
            Some(_) => return Err(QueryError::Cursor),
        };
        if let Form::Slices(slicing) = self.form {
            let asked = slices::Asked { ground: self, slicing, what, end: end.as_deref() };
            return asked.go(at, budget, calls);
        }
        let walk = Walk { ground: self, what, end: end.as_deref() };
        Ok(walk.go(at, budget)?)
    }

    fn bounds(&self, what: What<'_>) -> Bounds {
        let all = |kind: StoreKind| key::successor(&[kind as u8]);
        let from_start =
            |kind: StoreKind, span: Span| ([&[kind as u8], &key::ordered(span.from)[..]].concat(), all(kind));
        match (self.form, what) {
            (Form::Keys, What::Key(key, _)) => {
                let whole = key::plain(b"", StoreKind::KeyValue, key);
                let behind = [&whole[..], &[0]].concat();
                (whole, Some(behind))
            }
            (Form::Keys, What::Range(from, to, _)) => {
                let end = to.map(|to| key::plain(b"", StoreKind::KeyValue, to));
                (key::plain(b"", StoreKind::KeyValue, from), end.or_else(|| all(StoreKind::KeyValue)))
            }
            (Form::Sessions, What::Key(key, span)) => {
                let of_key = key::sessions_of(b"", key);
                // A session that starts at `from` ends there at the earliest.
                let begin = [&of_key[..], &key::ordered(span.from)].concat();
                (begin, key::successor(&of_key))
            }
            (Form::Slices(_), What::Key(key, _)) => {
                let of_key = key::sessions_of(b"", key);
                let end = key::successor(&of_key);
                (of_key, end)
            }
            (Form::Slices(_), What::Windows(_)) => (Vec::from([StoreKind::Session as u8]), all(StoreKind::Session)),
            (Form::Sessions | Form::Slices(_), What::Range(from, to, _)) => {
                let end = to.map(|to| key::sessions_of(b"", to));
                (key::sessions_of(b"", from), end.or_else(|| all(StoreKind::Session)))
            }
            (Form::Sessions, What::Windows(span)) => from_start(StoreKind::SessionTime, span),
            (Form::WindowedKeys, what) => from_start(StoreKind::WindowedKeyValue, what.span()),
            // A mark is never before its window's start.
            (Form::Windows(_), what) => from_start(StoreKind::Window, what.span()),
            (Form::Keys, What::Windows(_)) => unreachable!("such questions are refused"),
        }
    }

    fn whole(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix, key].concat()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.view.get(self.space, &self.whole(key))
    }

    /// An entry as a row; `None`: it is there no more, or has no state.
    fn row(
        &self,
        key: &[u8],
        window: Option<(Timestamp, Timestamp)>,
        stored: &[u8],
    ) -> Result<Option<Row>, StorageError> {
        if stored == STATELESS {
            return Ok(None);
        }
        let unknown = || StorageError::Corrupted("a stored row has a form this version does not know".to_string());
        let Stored { timestamp, state, layout } = Stored::decode(stored).ok_or_else(unknown)?;
        let row = Row { key: key.to_vec(), window, timestamp, value: state.to_vec(), layout };
        Ok(self.kept.is_kept(timestamp).then_some(row))
    }

    /// [`Step::Take`] where there is a row, else [`Step::Pass`].
    fn take(&self, key: &[u8], window: Option<(Timestamp, Timestamp)>, stored: &[u8]) -> Result<Step, StorageError> {
        Ok(self.row(key, window, stored)?.map_or(Step::Pass, Step::Take))
    }
}

struct Walk<'w> {
    ground: &'w Ground<'w>,
    what: What<'w>,
    end: Option<&'w [u8]>,
}

impl Walk<'_> {
    fn go(&self, from: Vec<u8>, budget: &mut Budget) -> Result<Page, StorageError> {
        let (mut page, mut at) = (Page::default(), Some(from));
        while let Some(from) = at.take() {
            if budget.is_spent() {
                page.next = Some(from);
                break;
            }
            at = self.stretch(&from, budget, &mut page)?;
        }
        Ok(page)
    }

    /// Walks up to a jump; where it goes on.
    fn stretch(&self, from: &[u8], budget: &mut Budget, page: &mut Page) -> Result<Option<Vec<u8>>, StorageError> {
        let Ground { view, space, prefix, .. } = *self.ground;
        let end = self.end.map_or_else(|| key::successor(prefix), |end| Some(self.ground.whole(end)));
        let (mut next, mut failed) = (None, None);
        view.scan(space, &self.ground.whole(from), end.as_deref(), &mut |whole, stored| {
            let key = &whole[prefix.len()..];
            if budget.is_spent() {
                next = Some(key.to_vec());
                return Scan::Stop;
            }
            budget.looks -= 1;
            match self.step(key, stored) {
                Ok(Step::Take(row)) => {
                    budget.rows -= 1;
                    budget.bytes = budget.bytes.saturating_sub(row.key.len() + row.value.len());
                    page.rows.push(row);
                    return Scan::Continue;
                }
                Ok(Step::Pass) => return Scan::Continue,
                Ok(Step::Jump(to)) => next = Some(to).filter(|to| self.end.is_none_or(|end| to.as_slice() < end)),
                Ok(Step::End) => {}
                Err(why) => failed = Some(why),
            }
            Scan::Stop
        })?;
        failed.map_or(Ok(next), Err)
    }

    fn step(&self, whole: &[u8], stored: &[u8]) -> Result<Step, StorageError> {
        let strange = || StorageError::Corrupted("a stored key has a form this version does not know".to_string());
        match self.ground.form {
            Form::Slices(_) => unreachable!("they are walked otherwise"),
            Form::Keys => self.ground.take(&whole[1..], None, stored),
            Form::Sessions => match self.what {
                What::Windows(span) => {
                    let (key, start, end) = split_session_time(whole).ok_or_else(strange)?;
                    let stored = match span.holds(start) {
                        true => self.ground.get(&key::session(b"", key, start, end))?,
                        false => None,
                    };
                    stored.map_or(Ok(Step::Pass), |stored| self.ground.take(key, Some((start, end)), &stored))
                }
                What::Key(_, span) => {
                    let (key, start, end) = key::split_session(whole).ok_or_else(strange)?;
                    match span.holds(start) {
                        true => self.ground.take(&key, Some((start, end)), stored),
                        // Sessions of a key do not overlap: they start in the order in which they end.
                        false if start > span.to => Ok(Step::End),
                        false => Ok(Step::Pass),
                    }
                }
                What::Range(_, _, span) => {
                    let (key, start, end) = key::split_session(whole).ok_or_else(strange)?;
                    match span.holds(start) {
                        true => self.ground.take(&key, Some((start, end)), stored),
                        false => Ok(Step::Pass),
                    }
                }
            },
            Form::WindowedKeys => {
                let (key, start, end) = key::split_windowed_group(&whole[1..]).ok_or_else(strange)?;
                self.in_window(whole, (key, start, end), 16, stored)
            }
            Form::Windows(grid) => {
                let (mark, key) = whole[1..].split_first_chunk::<8>().ok_or_else(strange)?;
                let (start, end) = grid.bounds(key::unordered(*mark));
                self.in_window(whole, (key, start, end), 8, stored)
            }
        }
    }

    /// An entry in front of whose key its window stands, in so many bytes.
    fn in_window(
        &self,
        whole: &[u8],
        (key, start, end): (&[u8], Timestamp, Timestamp),
        window_bytes: usize,
        stored: &[u8],
    ) -> Result<Step, StorageError> {
        let span = self.what.span();
        // Starts never fall from one window to the next.
        if start > span.to {
            return Ok(Step::End);
        }
        let window = &whole[..1 + window_bytes];
        let behind = || key::successor(window).map_or(Step::End, Step::Jump);
        if start < span.from {
            return Ok(behind());
        }
        match self.what.place(key) {
            (Ordering::Less, first) => Ok(Step::Jump([window, first].concat())),
            (Ordering::Greater, _) => Ok(behind()),
            (Ordering::Equal, _) => self.ground.take(key, Some((start, end)), stored),
        }
    }
}

/// Splits what [`key::session_time`] made without a prefix: key, start, end.
fn split_session_time(whole: &[u8]) -> Option<(&[u8], Timestamp, Timestamp)> {
    let (end, rest) = whole.get(1..)?.split_first_chunk::<8>()?;
    let (start, key) = rest.split_first_chunk::<8>()?;
    Some((key, key::unordered(*start), key::unordered(*end)))
}

#[cfg(test)]
mod tests;
