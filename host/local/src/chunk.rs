//! A chunk: records in columns, as bytes. How batches are cut and joined into chunks and written; reading is in `columns`.
//!
//! ```text
//! chunk   = version 1 (1 byte), flags (1; bit 0: has headers), records n (4), timestamps (8 each),
//!           keys column of n, values column of n, [headers]
//! headers = end of each record's entries (4 each), names column, values column (of as many as the last end says)
//! column  = kind (1): 0 all items are there, 1 all are null, 2 some are null; not for kind 1: end of each item in the
//!           data (4 each); only kind 2: validity bits, low end first; the data
//! ```
//!
//! Numbers are little-endian and of fixed width: a block is read by copying it, which is what makes reading cheap.

use millstream_core::record::{Batch, BytesColumn, HeaderColumns, Timestamp};

/// First byte of a chunk.
pub const VERSION: u8 = 1;

/// Flag: records have headers.
pub const HAS_HEADERS: u8 = 1;

/// Kinds of a column.
pub const ALL_THERE: u8 = 0;
pub const ALL_NULL: u8 = 1;
pub const SOME_NULL: u8 = 2;

/// Bytes at which an append is cut into a further chunk. A record larger than that is a chunk by itself.
pub const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Bytes a record may have: key, value and headers together. More than a function can return in one answer.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// Bytes that a record takes beside its own: a timestamp and two ends.
const RECORD_BYTES: usize = 16;
/// Bytes that a header entry takes beside its name and value: two ends.
pub const HEADER_BYTES: usize = 8;

/// What is wrong with a batch that is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Its columns differ in length.
    Uneven { keys: usize, values: usize, timestamps: usize, headers: Option<usize> },
    /// A record is larger than [`RECORD_BYTES_MAX`].
    TooLarge { record: usize, bytes: usize },
}

/// Records `from..to` of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    batch: &'a Batch,
    from: usize,
    to: usize,
}

/// A chunk, written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub records: u32,
    pub largest: Timestamp,
    pub bytes: Vec<u8>,
}

/// Whether a batch can be written.
pub fn check(batch: &Batch) -> Result<(), Defect> {
    let (keys, values, timestamps) = (batch.keys.len(), batch.values.len(), batch.len());
    let headers = batch.headers.as_ref().map(|h| h.len());
    if keys != timestamps || values != timestamps || headers.is_some_and(|h| h != timestamps) {
        return Err(Defect::Uneven { keys, values, timestamps, headers });
    }
    // A batch that is smaller has no record that is larger: the common case costs nothing for each record.
    if batch.bytes() > RECORD_BYTES_MAX {
        let sizes = (0..timestamps).map(|record| (record, record_bytes(batch, record)));
        if let Some((record, bytes)) = sizes.into_iter().find(|(_, bytes)| *bytes > RECORD_BYTES_MAX) {
            return Err(Defect::TooLarge { record, bytes });
        }
    }
    Ok(())
}

fn between(column: &BytesColumn, from: usize, to: usize) -> usize {
    (column.offsets()[to] - column.offsets()[from]) as usize
}

/// Bytes of a record's key, value and headers.
fn record_bytes(batch: &Batch, record: usize) -> usize {
    let headers = batch.headers.as_ref().map_or(0, |h| {
        let (from, to) = entries(h, record, record + 1);
        between(&h.names, from, to) + between(&h.values, from, to) + (to - from) * HEADER_BYTES
    });
    between(&batch.keys, record, record + 1) + between(&batch.values, record, record + 1) + headers
}

/// The header entries of records `from..to`.
fn entries(headers: &HeaderColumns, from: usize, to: usize) -> (usize, usize) {
    (headers.offsets[from] as usize, headers.offsets[to] as usize)
}

/// Cuts batches into chunks of about [`CHUNK_BYTES_MAX`] and writes these: small batches together in one, large ones apart.
pub fn write<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut pieces: Vec<Piece<'a>> = Vec::new();
    let mut bytes = 0;
    for batch in batches.into_iter().filter(|b| !b.is_empty()) {
        if bytes + batch.bytes() <= CHUNK_BYTES_MAX {
            bytes += batch.bytes();
            pieces.push(Piece { batch, from: 0, to: batch.len() });
            continue;
        }
        let mut from = 0;
        for record in 0..batch.len() {
            let more = RECORD_BYTES + record_bytes(batch, record);
            if bytes > 0 && bytes + more > CHUNK_BYTES_MAX {
                pieces.extend((from < record).then_some(Piece { batch, from, to: record }));
                chunks.push(encode(&pieces));
                pieces.clear();
                (from, bytes) = (record, 0);
            }
            bytes += more;
        }
        pieces.push(Piece { batch, from, to: batch.len() });
    }
    if !pieces.is_empty() {
        chunks.push(encode(&pieces));
    }
    chunks
}

/// Pieces as one chunk. There is at least one record in them.
fn encode(pieces: &[Piece<'_>]) -> Chunk {
    let records: usize = pieces.iter().map(|p| p.to - p.from).sum();
    let has_headers = pieces.iter().any(|p| p.batch.headers.is_some());
    let data: usize =
        pieces.iter().map(|p| between(&p.batch.keys, p.from, p.to) + between(&p.batch.values, p.from, p.to)).sum();
    let mut bytes = Vec::with_capacity(16 + records * (RECORD_BYTES + 1) + data);
    bytes.extend([VERSION, if has_headers { HAS_HEADERS } else { 0 }]);
    bytes.extend((records as u32).to_le_bytes());
    let mut largest = Timestamp::MIN;
    for p in pieces {
        let times = &p.batch.timestamps[p.from..p.to];
        largest = times.iter().copied().fold(largest, Timestamp::max);
        let at = bytes.len();
        bytes.resize(at + times.len() * 8, 0);
        bytes[at..].chunks_exact_mut(8).zip(times).for_each(|(to, t)| to.copy_from_slice(&t.to_le_bytes()));
    }
    column(&mut bytes, pieces.iter().map(|p| (&*p.batch.keys, p.from, p.to)));
    column(&mut bytes, pieces.iter().map(|p| (&*p.batch.values, p.from, p.to)));
    if has_headers {
        headers(&mut bytes, pieces);
    }
    Chunk { records: records as u32, largest, bytes }
}

/// Parts of columns, end to end, as one column.
fn column<'a>(out: &mut Vec<u8>, parts: impl Iterator<Item = (&'a BytesColumn, usize, usize)> + Clone) {
    let all_there = parts.clone().all(|(column, ..)| column.validity().is_empty());
    if !all_there && parts.clone().all(|(column, from, to)| (from..to).all(|i| column.is_null(i))) {
        out.push(ALL_NULL);
        return;
    }
    out.push(if all_there { ALL_THERE } else { SOME_NULL });
    ends(out, parts.clone().map(|(column, from, to)| &column.offsets()[from..=to]));
    if !all_there {
        let items = parts.clone().flat_map(|(column, from, to)| (from..to).map(|i| column.is_null(i)));
        let at = out.len();
        for (i, null) in items.enumerate() {
            if i % 8 == 0 {
                out.push(0);
            }
            out[at + i / 8] |= u8::from(!null) << (i % 8);
        }
    }
    for (column, from, to) in parts {
        out.extend_from_slice(&column.data()[column.offsets()[from] as usize..column.offsets()[to] as usize]);
    }
}

/// Runs of offsets, laid end to end, as ends: each run's first offset is where the one before it ended.
fn ends<'a>(out: &mut Vec<u8>, runs: impl Iterator<Item = &'a [u32]>) {
    let mut end = 0;
    for run in runs {
        let (first, ends) = (run[0], &run[1..]);
        let at = out.len();
        out.resize(at + ends.len() * 4, 0);
        let places = out[at..].chunks_exact_mut(4);
        places.zip(ends).for_each(|(to, e)| to.copy_from_slice(&(end + (e - first)).to_le_bytes()));
        end += run[run.len() - 1] - first;
    }
}

fn headers(out: &mut Vec<u8>, pieces: &[Piece<'_>]) {
    let none = |p: &Piece<'_>| vec![0; p.to - p.from + 1];
    let runs: Vec<Vec<u32>> = pieces
        .iter()
        .map(|p| p.batch.headers.as_ref().map_or_else(|| none(p), |h| h.offsets[p.from..=p.to].to_vec()))
        .collect();
    ends(out, runs.iter().map(Vec::as_slice));
    let parts = pieces.iter().filter_map(|p| p.batch.headers.as_ref().map(|h| (&**h, entries(h, p.from, p.to))));
    column(out, parts.clone().map(|(h, (from, to))| (&h.names, from, to)));
    column(out, parts.map(|(h, (from, to))| (&h.values, from, to)));
}
