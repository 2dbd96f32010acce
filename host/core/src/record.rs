//! What flows: batches of records in columns, in the shape of the contract and of Arrow's binary arrays.
//!
//! A batch is immutable once built; steps share unchanged columns by reference.

use alloc::sync::Arc;
use alloc::vec::Vec;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Timestamp = i64;

/// Bytes of an item for which a gathered column has room from the start.
const GATHER_ITEM_BYTES: usize = 256;

/// A byte column may hold at most this many bytes: its offsets are 32 bits and the contract keeps the top one free.
pub const COLUMN_BYTES_MAX: usize = i32::MAX as usize;

/// Byte strings laid end to end: item i is `data[offsets[i]..offsets[i+1]]`.
///
/// Bit i of `validity` (low end first) is 1 when item i is there; an empty `validity` means that all are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesColumn {
    offsets: Vec<u32>,
    data: Vec<u8>,
    validity: Vec<u8>,
}

/// Why parts handed in from outside are not a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// There must be one offset more than items.
    #[error("a column has one offset more than items, and this one has no offset at all")]
    NoOffsets,
    /// Offsets begin at 0 and never fall.
    #[error("offset {index} of the column falls below the one before it (or the first is not 0)")]
    Falls {
        /// Place of the offending offset.
        index: usize,
    },
    /// The last offset is the length of the data.
    #[error("the last offset of the column is {last}, its data has {len} bytes")]
    Length {
        /// The last offset.
        last: u32,
        /// Bytes of data.
        len: usize,
    },
    /// Validity has one bit for each item, or none at all.
    #[error("the validity of a column of {items} items has {bytes} bytes, not {expected}")]
    Validity {
        /// Items in the column.
        items: usize,
        /// Bytes that were given.
        bytes: usize,
        /// Bytes that would be right.
        expected: usize,
    },
    /// A null has no bytes.
    #[error("item {index} of the column is null and has bytes")]
    NullWithBytes {
        /// Place of the offending item.
        index: usize,
    },
    /// More than [`COLUMN_BYTES_MAX`].
    #[error("the column holds {len} bytes; the limit is {max}", max = COLUMN_BYTES_MAX)]
    TooLarge {
        /// Bytes of data.
        len: usize,
    },
}

impl Default for BytesColumn {
    fn default() -> Self {
        Self::with_capacity(0, 0)
    }
}

impl BytesColumn {
    /// An empty column with room for `items` items of `bytes` bytes together.
    pub fn with_capacity(items: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(items + 1);
        offsets.push(0);
        Self { offsets, data: Vec::with_capacity(bytes), validity: Vec::new() }
    }

    /// Makes room for `items` more of `bytes` bytes together.
    pub fn reserve(&mut self, items: usize, bytes: usize) {
        self.offsets.reserve(items);
        self.data.reserve(bytes);
    }

    /// A column of `items` nulls.
    pub fn nulls(items: usize) -> Self {
        Self { offsets: alloc::vec![0; items + 1], data: Vec::new(), validity: alloc::vec![0; items.div_ceil(8)] }
    }

    /// Takes parts from outside after checking every rule of the shape.
    ///
    /// # Errors
    /// The first rule that is broken, see [`ShapeError`].
    pub fn from_parts(offsets: Vec<u32>, data: Vec<u8>, validity: Vec<u8>) -> Result<Self, ShapeError> {
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else {
            return Err(ShapeError::NoOffsets);
        };
        if data.len() > COLUMN_BYTES_MAX {
            return Err(ShapeError::TooLarge { len: data.len() });
        }
        if first != 0 {
            return Err(ShapeError::Falls { index: 0 });
        }
        if let Some(at) = offsets.windows(2).position(|w| w[1] < w[0]) {
            return Err(ShapeError::Falls { index: at + 1 });
        }
        if last as usize != data.len() {
            return Err(ShapeError::Length { last, len: data.len() });
        }
        let items = offsets.len() - 1;
        if !validity.is_empty() {
            let expected = items.div_ceil(8);
            if validity.len() != expected {
                return Err(ShapeError::Validity { items, bytes: validity.len(), expected });
            }
            for index in 0..items {
                if validity[index / 8] >> (index % 8) & 1 == 0 && offsets[index] != offsets[index + 1] {
                    return Err(ShapeError::NullWithBytes { index });
                }
            }
        }
        Ok(Self { offsets, data, validity })
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether item `i` is null.
    pub fn is_null(&self, i: usize) -> bool {
        !self.validity.is_empty() && self.validity[i / 8] >> (i % 8) & 1 == 0
    }

    /// Item `i`, or `None` where it is null.
    #[inline]
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        if self.is_null(i) {
            return None;
        }
        Some(&self.data[self.offsets[i] as usize..self.offsets[i + 1] as usize])
    }

    /// Adds an item at the end.
    ///
    /// # Panics
    /// When the column would pass [`COLUMN_BYTES_MAX`]; batches are bounded far below it.
    #[inline]
    pub fn push(&mut self, item: Option<&[u8]>) {
        match item {
            Some(bytes) => {
                self.data.extend_from_slice(bytes);
                assert!(self.data.len() <= COLUMN_BYTES_MAX, "a column passed {COLUMN_BYTES_MAX} bytes");
                self.offsets.push(self.data.len() as u32);
                if !self.validity.is_empty() {
                    self.mark(true);
                }
            }
            None => {
                if self.validity.is_empty() {
                    self.validity = all_ones(self.len());
                }
                self.offsets.push(self.data.len() as u32);
                self.mark(false);
            }
        }
    }

    /// Adds an item that is two pieces end to end.
    #[inline]
    fn push_joined(&mut self, head: &[u8], rest: &[u8]) {
        self.data.extend_from_slice(head);
        self.push(Some(rest));
    }

    fn mark(&mut self, valid: bool) {
        let i = self.len() - 1;
        if i.is_multiple_of(8) {
            self.validity.push(0);
        }
        self.validity[i / 8] |= u8::from(valid) << (i % 8);
    }

    /// Appends all items of `other`.
    pub fn extend(&mut self, other: &BytesColumn) {
        if self.validity.is_empty() && other.validity.is_empty() {
            self.extend_range(other, 0, other.len());
        } else if self.is_empty() {
            self.clone_from(other);
        } else {
            (0..other.len()).for_each(|i| self.push(other.get(i)));
        }
    }

    /// The items at `rows`, in that order.
    pub fn gather(&self, rows: &[u32]) -> BytesColumn {
        if self.all_null() {
            return BytesColumn::nulls(rows.len());
        }
        let mut out = BytesColumn::with_capacity(rows.len(), self.data.len().min(rows.len() * GATHER_ITEM_BYTES));
        if !self.validity.is_empty() {
            rows.iter().for_each(|&r| out.push(self.get(r as usize)));
            return out;
        }
        let mut len = 0;
        for &row in rows {
            let (from, to) = (self.offsets[row as usize], self.offsets[row as usize + 1]);
            len += to - from;
            out.offsets.push(len);
            out.data.extend_from_slice(&self.data[from as usize..to as usize]);
        }
        out
    }

    /// Whether every item is null; a column without items counts as none.
    fn all_null(&self) -> bool {
        !self.validity.is_empty() && self.data.is_empty() && self.validity.iter().all(|byte| *byte == 0)
    }

    /// Appends items `from..to` of a column without nulls; this one has none either.
    fn extend_range(&mut self, other: &BytesColumn, from: usize, to: usize) {
        let (first, last) = (other.offsets[from], other.offsets[to]);
        let base = self.data.len();
        self.data.extend_from_slice(&other.data[first as usize..last as usize]);
        assert!(self.data.len() <= COLUMN_BYTES_MAX, "a column passed {COLUMN_BYTES_MAX} bytes");
        self.offsets.extend(other.offsets[from + 1..=to].iter().map(|o| o - first + base as u32));
    }

    /// The items from `from` up to `to`.
    pub fn slice(&self, from: usize, to: usize) -> BytesColumn {
        if self.all_null() {
            return BytesColumn::nulls(to - from);
        }
        let mut out = BytesColumn::with_capacity(to - from, (self.offsets[to] - self.offsets[from]) as usize);
        if self.validity.is_empty() {
            out.extend_range(self, from, to);
        } else {
            (from..to).for_each(|i| out.push(self.get(i)));
        }
        out
    }

    /// Offsets, one more than items.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// All bytes, end to end.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Validity bits; empty when every item is there.
    pub fn validity(&self) -> &[u8] {
        &self.validity
    }

    /// Bytes this column takes in memory.
    pub fn bytes(&self) -> usize {
        self.data.len() + self.offsets.len() * 4 + self.validity.len()
    }
}

fn all_ones(items: usize) -> Vec<u8> {
    let mut bits = alloc::vec![0xff; items / 8];
    if !items.is_multiple_of(8) {
        bits.push((1u8 << (items % 8)) - 1);
    }
    bits
}

impl<'a> FromIterator<Option<&'a [u8]>> for BytesColumn {
    fn from_iter<I: IntoIterator<Item = Option<&'a [u8]>>>(items: I) -> Self {
        let mut out = BytesColumn::default();
        items.into_iter().for_each(|item| out.push(item));
        out
    }
}

/// Headers of records: record i owns entries `offsets[i]..offsets[i+1]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderColumns {
    /// One offset more than records; never falls; the last is the number of entries.
    pub offsets: Vec<u32>,
    /// Names, UTF-8, never null.
    pub names: BytesColumn,
    /// Values; null is allowed.
    pub values: BytesColumn,
}

impl Default for HeaderColumns {
    fn default() -> Self {
        Self { offsets: alloc::vec![0], names: BytesColumn::default(), values: BytesColumn::default() }
    }
}

/// One header as seen when reading: name and value.
pub type Header<'a> = (&'a [u8], Option<&'a [u8]>);

impl HeaderColumns {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The headers of record `i`, in order.
    pub fn of(&self, i: usize) -> impl Iterator<Item = Header<'_>> + Clone {
        (self.offsets[i]..self.offsets[i + 1])
            .map(|e| (self.names.get(e as usize).unwrap_or_default(), self.values.get(e as usize)))
    }

    /// Adds a record with these headers.
    pub fn push<'a>(&mut self, headers: impl IntoIterator<Item = Header<'a>>) {
        for (name, value) in headers {
            self.names.push(Some(name));
            self.values.push(value);
        }
        self.offsets.push(self.names.len() as u32);
    }

    /// The records at `rows`, in that order.
    pub fn gather(&self, rows: &[u32]) -> HeaderColumns {
        let mut out = HeaderColumns::default();
        rows.iter().for_each(|&r| out.push(self.of(r as usize)));
        out
    }

    /// Appends the records of `other`.
    pub fn extend(&mut self, other: &HeaderColumns) {
        let base = self.names.len() as u32;
        self.names.extend(&other.names);
        self.values.extend(&other.values);
        self.offsets.extend(other.offsets[1..].iter().map(|o| o + base));
    }

    /// Bytes these headers take in memory.
    pub fn bytes(&self) -> usize {
        self.offsets.len() * 4 + self.names.bytes() + self.values.bytes()
    }
}

/// Records in columns, as many as there are timestamps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Keys; null is allowed.
    pub keys: Arc<BytesColumn>,
    /// Values; null is allowed.
    pub values: Arc<BytesColumn>,
    /// Event times.
    pub timestamps: Arc<Vec<Timestamp>>,
    /// `None` when no record has headers.
    pub headers: Option<Arc<HeaderColumns>>,
}

impl Batch {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The records at `rows`, in that order.
    pub fn gather(&self, rows: &[u32]) -> Batch {
        Batch {
            keys: Arc::new(self.keys.gather(rows)),
            values: Arc::new(self.values.gather(rows)),
            timestamps: Arc::new(rows.iter().map(|&r| self.timestamps[r as usize]).collect()),
            headers: self.headers.as_ref().map(|h| Arc::new(h.gather(rows))),
        }
    }

    /// The records from `from` up to `to`.
    pub fn slice(&self, from: usize, to: usize) -> Batch {
        if from == 0 && to == self.len() {
            return self.clone();
        }
        Batch {
            keys: Arc::new(self.keys.slice(from, to)),
            values: Arc::new(self.values.slice(from, to)),
            timestamps: Arc::new(self.timestamps[from..to].to_vec()),
            headers: self.headers.as_ref().map(|h| {
                let rows: Vec<u32> = (from as u32..to as u32).collect();
                Arc::new(h.gather(&rows))
            }),
        }
    }

    /// Bytes this batch takes in memory; shared columns count each time.
    pub fn bytes(&self) -> usize {
        self.keys.bytes()
            + self.values.bytes()
            + self.timestamps.len() * 8
            + self.headers.as_ref().map_or(0, |h| h.bytes())
    }
}

/// How much room a batch takes: records, bytes of keys, bytes of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    records: usize,
    key_bytes: usize,
    value_bytes: usize,
}

/// The headers of so many records without any.
fn no_headers(records: usize) -> HeaderColumns {
    HeaderColumns { offsets: alloc::vec![0; records + 1], ..HeaderColumns::default() }
}

/// Builds a [`Batch`] record by record.
#[derive(Clone, Debug, Default)]
pub struct BatchBuilder {
    keys: BytesColumn,
    values: BytesColumn,
    timestamps: Vec<Timestamp>,
    headers: Option<HeaderColumns>,
}

impl BatchBuilder {
    /// Adds a record.
    #[inline]
    pub fn push<'a>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: Timestamp,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) {
        self.push_headers(headers);
        self.keys.push(key);
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// Adds a record whose value is two pieces end to end.
    #[inline]
    pub fn push_joined<'a>(
        &mut self,
        key: Option<&[u8]>,
        head: &[u8],
        rest: &[u8],
        timestamp: Timestamp,
        headers: impl IntoIterator<Item = Header<'a>>,
    ) {
        self.push_headers(headers);
        self.keys.push(key);
        self.values.push_joined(head, rest);
        self.timestamps.push(timestamp);
    }

    #[inline]
    fn push_headers<'a>(&mut self, headers: impl IntoIterator<Item = Header<'a>>) {
        let mut headers = headers.into_iter().peekable();
        if headers.peek().is_some() && self.headers.is_none() {
            self.headers = Some(no_headers(self.len()));
        }
        if let Some(columns) = &mut self.headers {
            columns.push(headers);
        }
    }

    /// Makes room.
    pub fn reserve(&mut self, room: Room) {
        self.keys.reserve(room.records, room.key_bytes);
        self.values.reserve(room.records, room.value_bytes);
        self.timestamps.reserve(room.records);
    }

    /// How much room the records so far take.
    pub fn taken(&self) -> Room {
        Room { records: self.len(), key_bytes: self.keys.data().len(), value_bytes: self.values.data().len() }
    }

    /// Adds all records of a batch.
    pub fn extend(&mut self, batch: &Batch) {
        match (&mut self.headers, &batch.headers) {
            (None, None) => {}
            (Some(columns), Some(more)) => columns.extend(more),
            (Some(columns), None) => columns.extend(&no_headers(batch.len())),
            (None, Some(more)) => {
                let mut columns = no_headers(self.timestamps.len());
                columns.extend(more);
                self.headers = Some(columns);
            }
        }
        self.keys.extend(&batch.keys);
        self.values.extend(&batch.values);
        self.timestamps.extend_from_slice(&batch.timestamps);
    }

    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no record yet.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Bytes so far.
    pub fn bytes(&self) -> usize {
        self.keys.bytes()
            + self.values.bytes()
            + self.timestamps.len() * 8
            + self.headers.as_ref().map_or(0, |h| h.bytes())
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        Batch {
            keys: Arc::new(self.keys),
            values: Arc::new(self.values),
            timestamps: Arc::new(self.timestamps),
            headers: self.headers.map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(items: &[Option<Vec<u8>>]) -> BytesColumn {
        items.iter().map(Option::as_deref).collect()
    }

    fn items(column: &BytesColumn) -> Vec<Option<Vec<u8>>> {
        (0..column.len()).map(|i| column.get(i).map(<[u8]>::to_vec)).collect()
    }

    fn any_items() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
        let bytes = proptest::collection::vec(any::<u8>(), 0..4);
        let dense = proptest::collection::vec(bytes.clone().prop_map(Some), 0..20);
        let sparse = proptest::collection::vec(proptest::option::of(bytes), 0..20);
        let null = (0usize..20).prop_map(|n| alloc::vec![None; n]);
        prop_oneof![dense, sparse, null]
    }

    proptest! {
        #[test]
        fn slices_gathers_and_joins_are_those_of_lists(a in any_items(), b in any_items(), picks: Vec<usize>) {
            let (whole, more) = (column(&a), column(&b));
            prop_assert_eq!(items(&whole), a.clone());
            let to = a.len();
            for from in 0..=to {
                prop_assert_eq!(items(&whole.slice(from, to)), a[from..].to_vec());
            }
            let rows: Vec<u32> = picks.iter().filter(|_| to > 0).map(|p| (p % to.max(1)) as u32).collect();
            let picked: Vec<_> = rows.iter().map(|r| a[*r as usize].clone()).collect();
            prop_assert_eq!(items(&whole.gather(&rows)), picked);
            let mut both = whole.clone();
            both.extend(&more);
            prop_assert_eq!(items(&both), [a, b].concat());
            let (offsets, data, validity) = (both.offsets.clone(), both.data.clone(), both.validity.clone());
            prop_assert_eq!(BytesColumn::from_parts(offsets, data, validity), Ok(both));
        }
    }

    #[test]
    fn batches_with_and_without_headers_join() {
        let batch = |headers: &[Header<'static>]| {
            let mut out = BatchBuilder::default();
            out.push(Some(b"k"), None, 1, headers.iter().copied());
            out.finish()
        };
        let (with, without) = (batch(&[(b"n", Some(b"v"))]), batch(&[]));
        for order in [[&with, &without], [&without, &with], [&with, &with], [&without, &without]] {
            let mut out = BatchBuilder::default();
            order.iter().for_each(|b| out.extend(b));
            let joined = out.finish();
            for (i, part) in order.iter().enumerate() {
                let of = |b: &Batch, i: usize| b.headers.iter().flat_map(|h| h.of(i)).count();
                assert_eq!(of(&joined, i), of(part, 0));
            }
        }
    }
}
