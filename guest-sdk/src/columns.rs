//! The contract's columns as plain Rust, the same natively and in a guest. No generated code here: `bindings` moves its
//! lists into these without copying a byte.

use crate::{Context, Place, Record, Window};

/// Byte strings in the layout of an Arrow binary array: item i is `data[offsets[i]..offsets[i + 1]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesColumn {
    /// One more than items; they never fall; the last is the length of `data`.
    pub offsets: Vec<u32>,
    /// The bytes of all items, one after the other.
    pub data: Vec<u8>,
    /// Bit i (byte i/8, from the low end) is 1 when item i is there. Empty: all are there.
    pub validity: Vec<u8>,
}

impl Default for BytesColumn {
    fn default() -> Self {
        Self { offsets: vec![0], data: Vec::new(), validity: Vec::new() }
    }
}

impl BytesColumn {
    /// An empty column with room for `items` items of `bytes` bytes together.
    pub fn with_capacity(items: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(items + 1);
        offsets.push(0);
        Self { offsets, data: Vec::with_capacity(bytes), validity: Vec::new() }
    }

    /// How many items there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// No items at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Item `index`; `None` when it is null, or not there at all.
    ///
    /// Not a panic, since then no item that a function does not look at could be optimised away.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if self.validity.get(index >> 3).is_some_and(|byte| byte >> (index & 7) & 1 == 0) {
            return None;
        }
        let (start, end) = (*self.offsets.get(index)?, *self.offsets.get(index + 1)?);
        self.data.get(start as usize..end as usize)
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// Adds an item; `None` is null.
    #[inline]
    pub fn push(&mut self, item: Option<&[u8]>) {
        match item {
            Some(bytes) => {
                self.data.extend_from_slice(bytes);
                self.close();
            }
            None => self.push_null(),
        }
    }

    /// Adds an item that `write` appends to the bytes it is given. It must only append.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.data.len();
        write(&mut self.data);
        self.close_after(before);
    }

    /// Adds an item that `write` appends, or null where it answers `false`; what it then wrote is forgotten.
    #[inline]
    pub fn push_or_null(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        let before = self.data.len();
        if write(&mut self.data) {
            self.close_after(before);
        } else {
            self.data.truncate(before);
            self.push_null();
        }
    }

    /// Forgets all items from `items` on.
    pub fn truncate(&mut self, items: usize) {
        if items >= self.len() {
            return;
        }
        self.offsets.truncate(items + 1);
        self.data.truncate(self.offsets[items] as usize);
        if !self.validity.is_empty() {
            self.validity.truncate(items.div_ceil(8));
            if let (Some(last), false) = (self.validity.last_mut(), items.is_multiple_of(8)) {
                *last &= (1 << (items % 8)) - 1;
            }
        }
    }

    /// Ends the item that a function wrote behind the first `before` bytes.
    #[inline]
    fn close_after(&mut self, before: usize) {
        if self.data.len() < before {
            not_appended(before, self.data.len());
        }
        self.close();
    }

    /// Ends the item whose bytes were just appended.
    #[inline]
    fn close(&mut self) {
        self.offsets.push(self.data.len() as u32);
        if !self.validity.is_empty() {
            self.mark_last();
        }
    }

    /// The last item is there: in a column with nulls that must be said.
    #[inline(never)]
    fn mark_last(&mut self) {
        let index = self.len() - 1;
        if index.is_multiple_of(8) {
            self.validity.push(0);
        }
        self.validity[index >> 3] |= 1 << (index & 7);
    }

    #[cold]
    fn push_null(&mut self) {
        let index = self.len();
        if self.validity.is_empty() {
            // The first null: so far every item was there.
            self.validity = vec![0xff; index / 8];
            self.validity.push(((1u16 << (index % 8)) - 1) as u8);
        } else if index.is_multiple_of(8) {
            self.validity.push(0);
        }
        self.offsets.push(self.data.len() as u32);
    }
}

/// Not an `assert!` where items are written: what makes up its message would keep small functions from being inlined.
#[cold]
fn not_appended(before: usize, after: usize) -> ! {
    panic!("a written item may only append: {after} < {before} bytes")
}

impl<'a> FromIterator<Option<&'a [u8]>> for BytesColumn {
    fn from_iter<T: IntoIterator<Item = Option<&'a [u8]>>>(items: T) -> Self {
        let mut column = Self::default();
        items.into_iter().for_each(|item| column.push(item));
        column
    }
}

/// A header: its name, and its value, which may be null.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Headers of records: record i owns entries `offsets[i]..offsets[i + 1]` of the other two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderColumns {
    /// One more than records; they never fall; the last is the number of entries.
    pub offsets: Vec<u32>,
    /// Names, UTF-8, never null.
    pub names: BytesColumn,
    /// Values; null is allowed.
    pub values: BytesColumn,
}

impl Default for HeaderColumns {
    fn default() -> Self {
        Self { offsets: vec![0], names: BytesColumn::default(), values: BytesColumn::default() }
    }
}

impl HeaderColumns {
    /// How many records there are, with or without headers.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// No records at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The headers of record `index` in order.
    pub fn of(&self, index: usize) -> impl Iterator<Item = Header<'_>> {
        let name = |entry: usize| std::str::from_utf8(self.names.get(entry).unwrap_or_default());
        let entries = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        entries.map(move |entry| (name(entry).expect("header names are UTF-8"), self.values.get(entry)))
    }

    /// Adds a record, so far without headers.
    pub fn push_record(&mut self) {
        self.offsets.push(self.names.len() as u32);
    }

    /// Adds a header to the last record.
    ///
    /// # Panics
    /// When there is no record yet.
    pub fn push(&mut self, name: &str, value: Option<&[u8]>) {
        assert!(!self.is_empty(), "a header belongs to a record, and there is none yet");
        self.names.push(Some(name.as_bytes()));
        self.values.push(value);
        self.end_last();
    }

    /// Forgets all records from `records` on.
    pub(crate) fn truncate(&mut self, records: usize) {
        if records < self.len() {
            self.offsets.truncate(records + 1);
            self.cut(self.offsets[records] as usize);
        }
    }

    /// Forgets the headers of the last record, which stays.
    pub(crate) fn clear_last(&mut self) {
        if let [.., start, _] = self.offsets[..] {
            self.cut(start as usize);
            self.end_last();
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.names.data.len() + self.values.data.len() + (2 * self.names.len() + self.len()) * size_of::<u32>()
    }

    fn cut(&mut self, entries: usize) {
        self.names.truncate(entries);
        self.values.truncate(entries);
    }

    fn end_last(&mut self) {
        if let Some(last) = self.offsets.last_mut() {
            *last = self.names.len() as u32;
        }
    }
}

impl<'a> FromIterator<&'a [Header<'a>]> for HeaderColumns {
    fn from_iter<I: IntoIterator<Item = &'a [Header<'a>]>>(records: I) -> Self {
        let mut columns = Self::default();
        for headers in records {
            columns.push_record();
            headers.iter().for_each(|(name, value)| columns.push(name, *value));
        }
        columns
    }
}

/// Records in the order of their partition; as many as there are timestamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// One key a record.
    pub keys: BytesColumn,
    /// One value a record.
    pub values: BytesColumn,
    /// Event times, milliseconds since 1970-01-01T00:00:00Z.
    pub timestamps: Vec<i64>,
    /// Headers and other facts about these records.
    pub context: Context,
}

impl Batch {
    /// How many records there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// No records at all.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Record `index`, borrowed from the columns.
    #[inline]
    pub fn record(&self, index: usize) -> Record<'_> {
        Record {
            key: self.keys.get(index),
            value: self.values.get(index),
            timestamp: self.timestamps[index],
            place: Place::new(&self.context, index),
        }
    }

    /// All records in order.
    #[inline]
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }
}

impl<'a> FromIterator<Record<'a>> for Batch {
    fn from_iter<T: IntoIterator<Item = Record<'a>>>(records: T) -> Self {
        let mut batch = Self::default();
        for record in records {
            batch.keys.push(record.key);
            batch.values.push(record.value);
            batch.timestamps.push(record.timestamp);
        }
        batch
    }
}

/// A record that the function will not handle, by its place in what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Place in the call's records, or in `members` for folds.
    pub index: u32,
    /// The function's own words.
    pub reason: String,
}

/// A filter's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bit i (byte i/8, from the low end) is 1: record i is kept.
    pub bits: Vec<u8>,
    /// Records refused; their bits are 0.
    pub rejected: Vec<Rejection>,
}

/// A mapper's answer, field by field as the contract's `output`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputColumns {
    /// How many of the records were dealt with, at least 1.
    pub taken: u32,
    /// Which record each result came from, never falling. `None`: one result for each record taken.
    pub sources: Option<Vec<u32>>,
    /// To which named output each result goes. `None`: all to the first.
    pub ports: Option<Vec<u32>>,
    /// `None`: as in the source record.
    pub keys: Option<BytesColumn>,
    /// `None`: as in the source record.
    pub values: Option<BytesColumn>,
    /// `None`: as in the source record.
    pub timestamps: Option<Vec<i64>>,
    /// `None`: as in the source record.
    pub headers: Option<HeaderColumns>,
    /// Records refused.
    pub rejected: Vec<Rejection>,
}

/// Some groups, and which records fall into each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// One key a group.
    pub keys: BytesColumn,
    /// Window starts in milliseconds; empty when there is no window.
    pub starts: Vec<i64>,
    /// Window ends in milliseconds; empty when there is no window.
    pub ends: Vec<i64>,
    /// Null: nothing was stored for this group.
    pub states: BytesColumn,
    /// Group g owns `members[offsets[g]..offsets[g + 1]]`.
    pub offsets: Vec<u32>,
    /// Indexes of records, in their order.
    pub members: Vec<u32>,
}

/// A group as a function sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group<'a> {
    /// The key all of its records have.
    pub key: &'a [u8],
    /// `None` when there is no window.
    pub window: Option<Window>,
}

impl Groups {
    /// Group `index`, borrowed from the columns.
    #[inline]
    pub fn group(&self, index: usize) -> Group<'_> {
        let window = self.starts.get(index).zip(self.ends.get(index)).map(|(&start, &end)| Window { start, end });
        Group { key: self.keys.get(index).unwrap_or_default(), window }
    }
}

/// What a router answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// One for each record; null: the sink's own topic.
    pub topics: BytesColumn,
    /// One for each record; `None`: by their keys.
    pub partitions: Option<Vec<u32>>,
    /// Records refused.
    pub rejected: Vec<Rejection>,
}

/// What a joiner answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// One for each pair; null: no value.
    pub values: BytesColumn,
    /// Pairs refused.
    pub rejected: Vec<Rejection>,
}

/// What each record of a scan left, besides the states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// One a group; null removes the group.
    pub states: BytesColumn,
    /// One for each entry of `members`; null: nothing leaves after that record.
    pub values: BytesColumn,
    /// By place in `members`.
    pub rejected: Vec<Rejection>,
}

/// What a fold left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// One a group; null removes the group.
    pub states: BytesColumn,
    /// By place in `members`.
    pub rejected: Vec<Rejection>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(column: &BytesColumn) -> Vec<Option<Vec<u8>>> {
        column.iter().map(|item| item.map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn every_place_of_a_null_is_read_back() {
        for length in 0..=17usize {
            for null in 0..=length {
                let texts: Vec<_> = (0..length).map(|index| format!("item {index}")).collect();
                let given: Vec<_> =
                    texts.iter().enumerate().map(|(index, text)| (index != null).then_some(text.as_bytes())).collect();
                let column: BytesColumn = given.iter().copied().collect();
                assert_eq!(column.iter().collect::<Vec<_>>(), given, "{length} items, null at {null}");
                let expected = if null < length { length.div_ceil(8) } else { 0 };
                assert_eq!(column.validity.len(), expected);
            }
        }
    }

    #[test]
    fn a_truncated_column_is_the_shorter_column() {
        let given: Vec<Option<&[u8]>> = (0..20).map(|i| (i % 3 != 1).then_some(&b"abc"[..i % 4])).collect();
        for length in 2..=20 {
            let mut column: BytesColumn = given.iter().copied().collect();
            column.truncate(length);
            assert_eq!(column, given[..length].iter().copied().collect());
            column.push(Some(b"next"));
            assert_eq!(items(&column).last(), Some(&Some(b"next".to_vec())));
        }
    }

    #[test]
    fn headers_are_added_to_the_last_record_and_forgotten_from_the_end() {
        let given: [&[Header]; 3] = [&[("a", Some(b"1")), ("b", None)], &[], &[("a", Some(b"2"))]];
        let mut columns: HeaderColumns = given.into_iter().collect();
        assert_eq!((0..3).map(|index| columns.of(index).collect::<Vec<_>>()).collect::<Vec<_>>(), given);
        columns.clear_last();
        assert_eq!((columns.len(), columns.of(2).count(), columns.names.len()), (3, 0, 2));
        columns.truncate(1);
        assert_eq!(columns, given[..1].iter().copied().collect());
        columns.truncate(0);
        assert_eq!(columns, HeaderColumns::default());
    }

    #[test]
    fn what_was_written_before_a_null_is_forgotten() {
        let mut column = BytesColumn::default();
        for there in [true, false, true] {
            column.push_or_null(|bytes| {
                bytes.extend_from_slice(b"ab");
                there
            });
        }
        assert_eq!(column, [Some(&b"ab"[..]), None, Some(b"ab")].into_iter().collect());
    }

    #[test]
    fn a_function_that_takes_away_what_others_wrote_is_stopped() {
        let shortened = std::panic::catch_unwind(|| {
            let mut column: BytesColumn = [Some(&b"ab"[..])].into_iter().collect();
            column.push_with(|bytes| bytes.truncate(1));
        });
        let words = shortened.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*words, "a written item may only append: 1 < 2 bytes");
    }

    #[test]
    fn the_last_offset_is_the_length_of_the_data() {
        let mut column = BytesColumn::with_capacity(2, 8);
        column.push_with(|bytes| bytes.extend_from_slice(b"ab"));
        column.push(None);
        column.push(Some(b""));
        assert_eq!(column.offsets, [0, 2, 2, 2]);
        assert_eq!(items(&column), [Some(b"ab".to_vec()), None, Some(vec![])]);
    }
}
