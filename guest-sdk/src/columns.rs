//! The contract's columns as plain Rust, the same natively and in a guest. No generated code here: `bindings` moves its
//! lists into these without copying a byte.

use crate::record::Record;

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

    /// Item `index`; `None` when it is null.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        if !self.validity.is_empty() && self.validity[index >> 3] >> (index & 7) & 1 == 0 {
            return None;
        }
        Some(&self.data[self.offsets[index] as usize..self.offsets[index + 1] as usize])
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
        assert!(self.data.len() >= before, "a written item may only append: {} < {before} bytes", self.data.len());
        self.close();
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

    /// Ends the item whose bytes were just appended.
    #[inline]
    fn close(&mut self) {
        let index = self.len();
        self.offsets.push(self.data.len() as u32);
        if !self.validity.is_empty() {
            if index.is_multiple_of(8) {
                self.validity.push(0);
            }
            self.validity[index >> 3] |= 1 << (index & 7);
        }
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

impl<'a> FromIterator<Option<&'a [u8]>> for BytesColumn {
    fn from_iter<T: IntoIterator<Item = Option<&'a [u8]>>>(items: T) -> Self {
        let mut column = Self::default();
        items.into_iter().for_each(|item| column.push(item));
        column
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
        Record { key: self.keys.get(index), value: self.values.get(index), timestamp: self.timestamps[index] }
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
    fn the_last_offset_is_the_length_of_the_data() {
        let mut column = BytesColumn::with_capacity(2, 8);
        column.push_with(|bytes| bytes.extend_from_slice(b"ab"));
        column.push(None);
        column.push(Some(b""));
        assert_eq!(column.offsets, [0, 2, 2, 2]);
        assert_eq!(items(&column), [Some(b"ab".to_vec()), None, Some(vec![])]);
    }
}
