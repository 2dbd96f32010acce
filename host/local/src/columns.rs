//! Chunks as bytes, turned back into columns: several end to end, the first from any record on. Blocks are copied, not parsed.
//! Writing is in `chunk`, with the format.

use std::sync::Arc;

use millstream_core::record::{Batch, BytesColumn, HeaderColumns, ShapeError, Timestamp};

use crate::chunk::{ALL_NULL, ALL_THERE, HAS_HEADERS, SOME_NULL, VERSION};

/// What is wrong with the bytes of a chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They end early, or go on behind the end.
    #[error("the chunk has another length than its parts")]
    Length,
    /// The first byte.
    #[error("the chunk has format {0}, this version reads {VERSION}")]
    Version(u8),
    /// An unknown flag or column kind.
    #[error("the chunk has a mark {0} that is not known")]
    Mark(u8),
    /// Ends that fall, or that do not fit the data.
    #[error("the ends of the chunk's items fall")]
    Falls,
    /// Fewer records than the index says.
    #[error("the chunk has {records} records, not more than {wanted} as the index says")]
    Records {
        /// Records in it.
        records: usize,
        /// Place of the record that was looked for.
        wanted: usize,
    },
    /// The columns as a whole.
    #[error(transparent)]
    Shape(#[from] ShapeError),
}

/// Columns of records, joined from chunks.
#[derive(Debug, Default)]
pub struct Columns {
    timestamps: Vec<Timestamp>,
    keys: Column,
    values: Column,
    headers: Option<Headers>,
}

#[derive(Debug)]
struct Headers {
    offsets: Vec<u32>,
    names: Column,
    values: Column,
}

#[derive(Debug)]
struct Column {
    /// One more than items.
    offsets: Vec<u32>,
    data: Vec<u8>,
    /// Empty while no item is null.
    validity: Vec<u8>,
}

/// A column inside the bytes of a chunk.
struct Raw<'a> {
    kind: u8,
    items: usize,
    ends: Ends<'a>,
    validity: &'a [u8],
    data: &'a [u8],
}

/// Ends inside the bytes of a chunk, 4 each.
#[derive(Clone, Copy)]
struct Ends<'a>(&'a [u8]);

impl Ends<'_> {
    /// Where item `i` begins.
    fn begin(self, i: usize) -> u32 {
        let end = i.checked_sub(1).and_then(|i| self.0.get(i * 4..)?.first_chunk::<4>());
        end.map_or(0, |end| u32::from_le_bytes(*end))
    }

    /// Appends the ends of the items from `from` on, moved so that item `from` begins at `base`.
    fn append(self, from: usize, base: u32, to: &mut Vec<u32>) -> Result<(), Damage> {
        // Damaged ends may wrap; then they fall, which the next line sees.
        let shift = base.wrapping_sub(self.begin(from));
        let before = to.len();
        let ends = self.0[from * 4..].chunks_exact(4);
        to.extend(ends.map(|e| u32::from_le_bytes([e[0], e[1], e[2], e[3]]).wrapping_add(shift)));
        let rises = to[before..].is_sorted() && to.get(before).is_none_or(|first| *first >= base);
        if rises { Ok(()) } else { Err(Damage::Falls) }
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Damage> {
    bytes.split_off(..count).ok_or(Damage::Length)
}

fn byte(bytes: &mut &[u8]) -> Result<u8, Damage> {
    bytes.split_off_first().copied().ok_or(Damage::Length)
}

impl<'a> Raw<'a> {
    fn take(bytes: &mut &'a [u8], items: usize) -> Result<Self, Damage> {
        let kind = byte(bytes)?;
        if kind == ALL_NULL {
            return Ok(Self { kind, items, ends: Ends(&[]), validity: &[], data: &[] });
        }
        if kind != ALL_THERE && kind != SOME_NULL {
            return Err(Damage::Mark(kind));
        }
        let ends = Ends(take(bytes, items * 4)?);
        let validity = if kind == SOME_NULL { take(bytes, items.div_ceil(8))? } else { &[] };
        let data = take(bytes, ends.begin(items) as usize)?;
        Ok(Self { kind, items, ends, validity, data })
    }
}

impl Headers {
    /// Of so many records without any.
    fn none(records: usize) -> Self {
        Self { offsets: vec![0; records + 1], names: Column::default(), values: Column::default() }
    }
}

impl Default for Column {
    fn default() -> Self {
        Self { offsets: vec![0], data: Vec::new(), validity: Vec::new() }
    }
}

impl Column {
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Appends the items of `raw` from `from` on.
    fn add(&mut self, raw: &Raw<'_>, from: usize) -> Result<(), Damage> {
        let (before, items) = (self.len(), raw.items - from);
        let base = self.data.len() as u32;
        match raw.kind {
            ALL_NULL => self.offsets.resize(before + items + 1, base),
            _ => {
                raw.ends.append(from, base, &mut self.offsets)?;
                self.data.extend_from_slice(raw.data.get(raw.ends.begin(from) as usize..).ok_or(Damage::Falls)?);
            }
        }
        if raw.kind != ALL_THERE && self.validity.is_empty() {
            self.mark(0, before, |_| true);
        }
        match raw.kind {
            ALL_THERE if self.validity.is_empty() => {}
            ALL_THERE => self.mark(before, items, |_| true),
            ALL_NULL => self.validity.resize((before + items).div_ceil(8), 0),
            _ => self.mark(before, items, |i| raw.validity[(from + i) / 8] >> ((from + i) % 8) & 1 == 1),
        }
        Ok(())
    }

    /// Says which of `items` items behind the first `before` are there.
    fn mark(&mut self, before: usize, items: usize, is_there: impl Fn(usize) -> bool) {
        self.validity.resize((before + items).div_ceil(8), 0);
        for i in 0..items {
            self.validity[(before + i) / 8] |= u8::from(is_there(i)) << ((before + i) % 8);
        }
    }

    fn finish(self) -> Result<BytesColumn, ShapeError> {
        BytesColumn::from_parts(self.offsets, self.data, self.validity)
    }
}

/// The records of a chunk and what follows its head.
fn head(mut chunk: &[u8]) -> Result<(u8, usize, &[u8]), Damage> {
    let version = byte(&mut chunk)?;
    if version != VERSION {
        return Err(Damage::Version(version));
    }
    let flags = byte(&mut chunk)?;
    if flags & !HAS_HEADERS != 0 {
        return Err(Damage::Mark(flags));
    }
    let (records, rest) = chunk.split_first_chunk::<4>().ok_or(Damage::Length)?;
    Ok((flags, u32::from_le_bytes(*records) as usize, rest))
}

fn times(block: &[u8]) -> impl ExactSizeIterator<Item = Timestamp> {
    block.chunks_exact(8).map(|t| i64::from_le_bytes([t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]]))
}

/// The first record of a chunk, not before `from`, that is not older than `time`.
pub fn first_since(chunk: &[u8], from: usize, time: Timestamp) -> Result<Option<usize>, Damage> {
    let (_, records, mut rest) = head(chunk)?;
    let found = times(take(&mut rest, records * 8)?).enumerate().skip(from).find(|(_, t)| *t >= time);
    Ok(found.map(|(i, _)| i))
}

impl Columns {
    /// Number of records so far.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Appends the records of a chunk from `from` on. After an error the columns are of no use.
    pub fn add(&mut self, chunk: &[u8], from: usize) -> Result<(), Damage> {
        let (flags, records, mut rest) = head(chunk)?;
        if from >= records {
            return Err(Damage::Records { records, wanted: from });
        }
        let before = self.len();
        self.timestamps.extend(times(&take(&mut rest, records * 8)?[from * 8..]));
        self.keys.add(&Raw::take(&mut rest, records)?, from)?;
        self.values.add(&Raw::take(&mut rest, records)?, from)?;
        if flags & HAS_HEADERS != 0 {
            let ends = Ends(take(&mut rest, records * 4)?);
            let entries = ends.begin(records) as usize;
            let (names, values) = (Raw::take(&mut rest, entries)?, Raw::take(&mut rest, entries)?);
            let first = ends.begin(from) as usize;
            if first > entries {
                return Err(Damage::Falls);
            }
            let headers = self.headers.get_or_insert_with(|| Headers::none(before));
            ends.append(from, headers.names.len() as u32, &mut headers.offsets)?;
            headers.names.add(&names, first)?;
            headers.values.add(&values, first)?;
        } else if let Some(headers) = &mut self.headers {
            headers.offsets.resize(self.timestamps.len() + 1, headers.names.len() as u32);
        }
        if rest.is_empty() { Ok(()) } else { Err(Damage::Length) }
    }

    /// The records.
    pub fn finish(self) -> Result<Batch, Damage> {
        let headers = match self.headers {
            None => None,
            Some(Headers { offsets, names, values }) => {
                Some(Arc::new(HeaderColumns { offsets, names: names.finish()?, values: values.finish()? }))
            }
        };
        Ok(Batch {
            keys: Arc::new(self.keys.finish()?),
            values: Arc::new(self.values.finish()?),
            timestamps: Arc::new(self.timestamps),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk;
    use millstream_core::record::BatchBuilder;
    use proptest::collection::vec;
    use proptest::prelude::*;

    type Item = Option<Vec<u8>>;
    type Record = (Item, Item, i64, Vec<(Vec<u8>, Item)>);

    /// Batches whose columns are whole, null, or mixed.
    fn batches() -> impl Strategy<Value = Vec<Batch>> {
        let item = || proptest::option::of(vec(any::<u8>(), 0..6));
        let records = vec((item(), item(), any::<i64>(), vec((vec(97u8..123, 0..3), item()), 0..2)), 1..20);
        vec((records, 0u8..3, 0u8..3, any::<bool>()), 1..5).prop_map(|all| {
            let one = |item: &Item, how: u8| match how {
                0 => None,
                1 => Some(item.clone().unwrap_or_default()),
                _ => item.clone(),
            };
            let batch = |(records, keys, values, with_headers): (Vec<Record>, _, _, _)| {
                let mut out = BatchBuilder::default();
                for (key, value, time, headers) in &records {
                    let headers = headers.iter().map(|(n, v)| (&n[..], v.as_deref())).filter(|_| with_headers);
                    out.push(one(key, keys).as_deref(), one(value, values).as_deref(), *time, headers);
                }
                out.finish()
            };
            all.into_iter().map(batch).collect()
        })
    }

    /// Appends of several batches to one, by the core's own means.
    fn joined(batches: &[Batch], skip: usize) -> Vec<Record> {
        let owned = |item: Option<&[u8]>| item.map(<[u8]>::to_vec);
        let mut out = Vec::new();
        for b in batches {
            for i in 0..b.len() {
                let headers = b.headers.as_ref().map(|h| h.of(i).map(|(n, v)| (n.to_vec(), owned(v))).collect());
                out.push((owned(b.keys.get(i)), owned(b.values.get(i)), b.timestamps[i], headers.unwrap_or_default()));
            }
        }
        out.split_off(skip)
    }

    #[test]
    fn headers_that_begin_behind_their_end_are_damage() {
        let mut batch = BatchBuilder::default();
        (0..2).for_each(|_| batch.push(None, None, 0, [(&b"n"[..], None)]));
        let mut bytes = chunk::write([&batch.finish()]).remove(0).bytes;
        // Head, two timestamps, two columns of nulls; then the end of the first record's headers.
        let end = 6 + 16 + 2;
        assert_eq!(bytes[end], 1);
        bytes[end] = 200;
        assert_eq!(Columns::default().add(&bytes, 1), Err(Damage::Falls));
        assert_eq!(Columns::default().add(&bytes, 0), Err(Damage::Falls));
    }

    proptest! {
        #[test]
        fn records_come_back(chunks in vec(batches(), 1..4), skip in 0usize..20) {
            let written: Vec<Vec<chunk::Chunk>> = chunks.iter().map(chunk::write).collect();
            let skip = skip % written[0][0].records as usize;
            let mut columns = Columns::default();
            for (i, chunk) in written.iter().flatten().enumerate() {
                columns.add(&chunk.bytes, if i == 0 { skip } else { 0 }).unwrap();
            }
            let largest = chunks[0].iter().flat_map(|b| b.timestamps.iter()).max();
            prop_assert_eq!(Some(&written[0][0].largest), largest);
            prop_assert_eq!(joined(&[columns.finish().unwrap()], 0), joined(&chunks.concat(), skip));
        }

        #[test]
        fn damage_is_no_panic(batches in batches(), at: prop::sample::Index, byte: u8, skip in 0usize..20) {
            let mut bytes = chunk::write(&batches).remove(0).bytes;
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let mut columns = Columns::default();
            if columns.add(&bytes, skip).is_ok() && let Ok(batch) = columns.finish() {
                joined(&[batch], 0);
            }
            if let Ok(Some(found)) = first_since(&bytes, skip, 0) {
                prop_assert!(found >= skip);
            }
        }
    }
}
