//! Mappers: 0..n results for each record, written straight into columns. A column that no result changes is not sent.

use crate::{Batch, BytesColumn, HeaderColumns, OutputColumns, Record, Reject, Rejection};

/// Result bytes of one call after which a mapper stops early; the host asks again with the rest of the records. A column
/// that grows takes three times its size for a moment, and a guest has 64 MiB by default.
pub const RESULT_BYTES_MAX: usize = 8 << 20;

/// Bytes by which each item may grow within the room that a column has at once. A column that needs more is copied.
const GROWTH_BYTES: usize = 8;

/// Makes results of records. Any `fn(&Record, &mut Output)`, with or without `-> Result<(), Reject>`, is one.
pub trait Mapper {
    /// Writes the results of `record` into `out`. On an error nothing of what it wrote for this record stays.
    fn map(&self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Reject>;
}

/// What a mapper written as a plain function may answer with.
pub trait Mapped {
    /// As the trait [`Mapper`] wants it.
    fn mapped(self) -> Result<(), Reject>;
}

impl Mapped for () {
    #[inline]
    fn mapped(self) -> Result<(), Reject> {
        Ok(())
    }
}

impl Mapped for Result<(), Reject> {
    #[inline]
    fn mapped(self) -> Result<(), Reject> {
        self
    }
}

impl<F, R> Mapper for F
where
    F: for<'a, 'b, 'c, 'd> Fn(&'a Record<'b>, &'c mut Output<'d>) -> R,
    R: Mapped,
{
    #[inline]
    fn map(&self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Reject> {
        self(record, out).mapped()
    }
}

/// A set of columns of results: one look tells whether there is any that the function did not write itself.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fields(u8);

impl Fields {
    const NONE: Self = Self(0);
    const KEY: Self = Self(1);
    const VALUE: Self = Self(2);
    const TIMESTAMP: Self = Self(4);
    const RECORD: Self = Self::KEY.with(Self::VALUE).with(Self::TIMESTAMP);
    /// What few functions fill: sources, ports, headers.
    const RARE: Self = Self(8);

    #[inline]
    const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    #[inline]
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Where results go. Nothing is allocated for a record, only for columns, and for these only when a result differs from
/// its record.
pub struct Output<'a> {
    records: &'a Batch,
    record: usize,
    port: u32,
    /// How many results there are so far.
    results: usize,
    /// The columns that are there, or, of the rare ones, soon will be.
    open: Fields,
    /// The record of each result; `None` while result i came from record i.
    sources: Option<Vec<u32>>,
    ports: Option<Vec<u32>>,
    keys: Option<BytesColumn>,
    values: Option<BytesColumn>,
    timestamps: Option<Vec<i64>>,
    headers: Option<Headers<'a>>,
}

/// Headers of results, once one differs from its record's.
struct Headers<'a> {
    columns: HeaderColumns,
    /// Those of the records.
    given: Option<&'a HeaderColumns>,
}

impl Headers<'_> {
    fn push_given(&mut self, record: usize) {
        self.columns.push_record();
        let own = self.given.into_iter().flat_map(|given| given.of(record));
        own.for_each(|(name, value)| self.columns.push(name, value));
    }
}

impl<'a> Output<'a> {
    pub(crate) fn new(records: &'a Batch) -> Self {
        Self {
            records,
            record: 0,
            port: 0,
            results: 0,
            open: Fields::NONE,
            sources: None,
            ports: None,
            keys: None,
            values: None,
            timestamps: None,
            headers: None,
        }
    }

    /// A result that is the record itself.
    #[inline]
    pub fn emit_same(&mut self) {
        self.end_result(Fields::NONE);
    }

    /// A result with a new value; key and time stay.
    #[inline]
    pub fn emit_value(&mut self, value: Option<&[u8]>) {
        self.put_value(value);
        self.end_result(Fields::VALUE);
    }

    /// A result with a new key; value and time stay.
    #[inline]
    pub fn emit_key(&mut self, key: Option<&[u8]>) {
        self.put_key(key);
        self.end_result(Fields::KEY);
    }

    /// A result. A part that is the record's own, not a copy of it, costs nothing while that column is unchanged.
    #[inline]
    pub fn emit(&mut self, key: Option<&[u8]>, value: Option<&[u8]>, timestamp: i64) {
        self.put_key(key);
        self.put_value(value);
        self.put_timestamp(timestamp);
        self.end_result(Fields::RECORD);
    }

    /// A result whose new value `write` appends to the bytes it is given; key and time stay. Nothing is allocated for it.
    #[inline]
    pub fn emit_value_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.open_values().push_with(write);
        self.end_result(Fields::VALUE);
    }

    /// A result whose value `write` appends to the bytes it is given.
    #[inline]
    pub fn emit_with(&mut self, key: Option<&[u8]>, timestamp: i64, write: impl FnOnce(&mut Vec<u8>)) {
        self.put_key(key);
        self.open_values().push_with(write);
        self.put_timestamp(timestamp);
        self.end_result(Fields::RECORD);
    }

    /// The named output, by its place in the step's list, of this record's results from here on; 0 without this.
    #[inline]
    pub fn port(&mut self, port: u32) {
        self.port = port;
        if port != 0 {
            self.open = self.open.with(Fields::RARE);
        }
    }

    /// Adds a header to the result emitted last, behind those it has from its record.
    ///
    /// # Panics
    /// When this record has no result yet.
    pub fn add_header(&mut self, name: &str, value: Option<&[u8]>) {
        self.headers_of_last().push(name, value);
    }

    /// Takes all headers from the result emitted last.
    ///
    /// # Panics
    /// When this record has no result yet.
    pub fn clear_headers(&mut self) {
        self.headers_of_last().clear_last();
    }
}

/// How columns are filled. One that no result changed is `None`; the first result that differs opens it, and what was
/// before is filled in from the records.
impl Output<'_> {
    #[inline]
    fn put_key(&mut self, key: Option<&[u8]>) {
        if self.keys.is_some() || !same(key, self.records.keys.get(self.record)) {
            self.open_keys().push(key);
        }
    }

    #[inline]
    fn open_keys(&mut self) -> &mut BytesColumn {
        self.keys.get_or_insert_with(|| {
            self.open = self.open.with(Fields::KEY);
            filled(&self.records.keys, self.results, self.sources.as_deref())
        })
    }

    #[inline]
    fn put_value(&mut self, value: Option<&[u8]>) {
        if self.values.is_some() || !same(value, self.records.values.get(self.record)) {
            self.open_values().push(value);
        }
    }

    #[inline]
    fn open_values(&mut self) -> &mut BytesColumn {
        self.values.get_or_insert_with(|| {
            self.open = self.open.with(Fields::VALUE);
            filled(&self.records.values, self.results, self.sources.as_deref())
        })
    }

    #[inline]
    fn put_timestamp(&mut self, timestamp: i64) {
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.push(timestamp);
        } else if timestamp != self.records.timestamps[self.record] {
            self.open_timestamps(timestamp);
        }
    }

    #[cold]
    fn open_timestamps(&mut self, first: i64) {
        let mut opened = Vec::with_capacity(self.records.len());
        opened.extend(self.so_far().map(|source| self.records.timestamps[source]));
        opened.push(first);
        (self.timestamps, self.open) = (Some(opened), self.open.with(Fields::TIMESTAMP));
    }

    /// Counts the result, of which the `written` fields are in their columns; on the way of most functions nothing else is
    /// looked at.
    #[inline]
    fn end_result(&mut self, written: Fields) {
        if self.open.without(written) != Fields::NONE || self.results != self.record {
            self.end_others(written);
        }
        self.results += 1;
    }

    /// Fills in what is not `written`, where its column is there: from the record.
    #[inline(never)]
    fn end_others(&mut self, written: Fields) {
        let (records, record) = (self.records, self.record);
        if let (Some(keys), false) = (&mut self.keys, written.has(Fields::KEY)) {
            keys.push(records.keys.get(record));
        }
        if let (Some(values), false) = (&mut self.values, written.has(Fields::VALUE)) {
            values.push(records.values.get(record));
        }
        if let (Some(timestamps), false) = (&mut self.timestamps, written.has(Fields::TIMESTAMP)) {
            timestamps.push(records.timestamps[record]);
        }
        if self.open.has(Fields::RARE) || self.results != record {
            self.end_rare();
        }
    }

    /// The rarer columns, and last the source, since the others fill in by those before.
    fn end_rare(&mut self) {
        self.open = self.open.with(Fields::RARE);
        if let Some(ports) = &mut self.ports {
            ports.push(self.port);
        } else if self.port != 0 {
            let mut opened = vec![0; self.results];
            opened.push(self.port);
            self.ports = Some(opened);
        }
        if let Some(headers) = &mut self.headers {
            headers.push_given(self.record);
        }
        if let Some(sources) = &mut self.sources {
            sources.push(self.record as u32);
        } else if self.results != self.record {
            let mut opened: Vec<u32> = (0..self.results as u32).collect();
            opened.push(self.record as u32);
            self.sources = Some(opened);
        }
    }

    /// The record of each result so far.
    fn so_far(&self) -> impl Iterator<Item = usize> {
        (0..self.results).map(|result| self.sources.as_ref().map_or(result, |sources| sources[result] as usize))
    }

    fn headers_of_last(&mut self) -> &mut HeaderColumns {
        let last = self.so_far().last();
        assert!(last == Some(self.record), "a header belongs to a result: emit the result first");
        if self.headers.is_none() {
            let mut opened = Headers { columns: HeaderColumns::default(), given: self.records.context.headers() };
            self.so_far().for_each(|source| opened.push_given(source));
            (self.headers, self.open) = (Some(opened), self.open.with(Fields::RARE));
        }
        let headers = self.headers.as_mut().expect("it was opened just now");
        &mut headers.columns
    }

    /// Begins with the results of record `record`; gives how many there are so far.
    #[inline]
    pub(crate) fn begin(&mut self, record: usize) -> usize {
        (self.record, self.port) = (record, 0);
        self.results
    }

    /// Values are given, also where they are the records' own. Before the first result.
    pub(crate) fn give_values(&mut self) {
        self.open_values();
    }

    /// Forgets all results from `results` on.
    #[cold]
    pub(crate) fn truncate(&mut self, results: usize) {
        self.results = results;
        [&mut self.sources, &mut self.ports].into_iter().flatten().for_each(|column| column.truncate(results));
        [&mut self.keys, &mut self.values].into_iter().flatten().for_each(|column| column.truncate(results));
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.truncate(results);
        }
        if let Some(headers) = &mut self.headers {
            headers.columns.truncate(results);
        }
    }

    /// The columns, of so many records.
    pub(crate) fn into_columns(mut self, taken: usize, rejected: Vec<Rejection>) -> OutputColumns {
        if self.results != taken || !rejected.is_empty() {
            self.sources.get_or_insert_with(|| (0..self.results as u32).collect());
        }
        OutputColumns {
            taken: taken as u32,
            sources: self.sources,
            ports: self.ports,
            keys: self.keys,
            values: self.values,
            timestamps: self.timestamps,
            headers: self.headers.map(|headers| headers.columns),
            rejected,
        }
    }

    /// About how many bytes the results take.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        let column = |column: &Option<BytesColumn>| column.as_ref().map_or(0, |column| column.data.len());
        let headers = || self.headers.as_ref().map_or(0, |headers| headers.columns.bytes());
        let rare = if self.open.has(Fields::RARE) { headers() } else { 0 };
        column(&self.keys) + column(&self.values) + self.results * size_of::<u64>() + rare
    }
}

/// A column that opens: the `results` so far, which came from the records `sources`, have their records' own items.
#[cold]
fn filled(own: &BytesColumn, results: usize, sources: Option<&[u32]>) -> BytesColumn {
    let mut made = BytesColumn::with_capacity(own.len(), own.data.len() + own.len() * GROWTH_BYTES);
    let source = |result| sources.map_or(result, |sources| sources[result] as usize);
    (0..results).for_each(|result| made.push(own.get(source(result))));
    made
}

/// The same bytes at the same place: a pass-through is seen without reading them.
#[inline]
fn same(given: Option<&[u8]>, own: Option<&[u8]>) -> bool {
    match (given, own) {
        (Some(given), Some(own)) => std::ptr::eq(given, own),
        (None, None) => true,
        _ => false,
    }
}

/// Maps records until they are all dealt with or the result is [`RESULT_BYTES_MAX`] bytes.
pub fn apply<M: Mapper + ?Sized>(mapper: &M, records: &Batch) -> OutputColumns {
    apply_up_to(mapper, records, RESULT_BYTES_MAX)
}

fn apply_up_to<M: Mapper + ?Sized>(mapper: &M, records: &Batch, bytes_max: usize) -> OutputColumns {
    let mut out = Output::new(records);
    let mut rejected = Vec::new();
    let mut taken = 0;
    while taken < records.len() && out.bytes() < bytes_max {
        let results = out.begin(taken);
        if let Err(reject) = mapper.map(&records.record(taken), &mut out) {
            out.truncate(results);
            rejected.push(Rejection { index: taken as u32, reason: reject.into_reason() });
        }
        taken += 1;
    }
    out.into_columns(taken, rejected)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::{Context, Header};

    fn batch(values: &[&'static str]) -> Batch {
        let record = |(index, value): (usize, &&'static str)| Record {
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            timestamp: index as i64,
            ..Record::default()
        };
        values.iter().enumerate().map(record).collect()
    }

    #[test]
    fn what_stays_is_not_sent() {
        let same = apply(&|_: &Record, out: &mut Output| out.emit_same(), &batch(&["a", "b"]));
        assert_eq!(same, OutputColumns { taken: 2, ..OutputColumns::default() });
    }

    #[test]
    fn the_first_change_fills_in_what_was_before() {
        let upper = |record: &Record, out: &mut Output| match record.value {
            Some(b"c") => out.emit(None, Some(b"C"), 9),
            _ => out.emit_same(),
        };
        let output = apply(&upper, &batch(&["a", "b", "c", "d"]));
        assert_eq!(output.sources, None);
        assert_eq!(output.keys, Some([Some(&b"k"[..]), Some(b"k"), None, Some(b"k")].into_iter().collect()));
        assert_eq!(output.values, Some([Some(&b"a"[..]), Some(b"b"), Some(b"C"), Some(b"d")].into_iter().collect()));
        assert_eq!(output.timestamps, Some(vec![0, 1, 9, 3]));
    }

    #[test]
    fn several_or_no_results_are_given_with_their_sources_and_ports() {
        let copies = |record: &Record, out: &mut Output| {
            for copy in 0..record.value_or_empty().len() {
                out.port(copy as u32);
                out.emit_same();
            }
        };
        let output = apply(&copies, &batch(&["a", "", "bb"]));
        assert_eq!(output.sources, Some(vec![0, 2, 2]));
        assert_eq!(output.ports, Some(vec![0, 0, 1]));
        assert_eq!(apply(&copies, &batch(&["a", ""])).sources, Some(vec![0]));
    }

    #[test]
    fn nothing_of_a_refused_record_stays() {
        let picky = |record: &Record, out: &mut Output| {
            out.emit_value(Some(b"new"));
            if record.value == Some(b"bad") { Err(Reject::new("it is bad")) } else { Ok(()) }
        };
        let output = apply(&picky, &batch(&["a", "bad", "b"]));
        assert_eq!(output.sources, Some(vec![0, 2]));
        assert_eq!(output.values, Some([Some(&b"new"[..]), Some(b"new")].into_iter().collect()));
        assert_eq!(output.rejected, [Rejection { index: 1, reason: "it is bad".into() }]);
    }

    #[test]
    fn a_written_value_is_as_one_that_is_given() {
        let written = |record: &Record, out: &mut Output| match record.value {
            Some(b"a") => out.emit_same(),
            _ => out.emit_value_with(|bytes| bytes.extend_from_slice(b"new")),
        };
        let output = apply(&written, &batch(&["a", "b"]));
        assert_eq!(output.values, Some([Some(&b"a"[..]), Some(b"new")].into_iter().collect()));
        assert_eq!((output.keys, output.timestamps), (None, None));
    }

    /// A result as the host reads it: source, port, key, value, time.
    type Seen = (u32, u32, Option<Vec<u8>>, Option<Vec<u8>>, i64);

    fn seen(output: &OutputColumns, records: &Batch) -> Vec<Seen> {
        let results = output.sources.as_ref().map_or(output.taken as usize, Vec::len);
        let one = |result: usize| {
            let source = output.sources.as_ref().map_or(result as u32, |sources| sources[result]);
            let port = output.ports.as_ref().map_or(0, |ports| ports[result]);
            let from = |column: &Option<BytesColumn>, own: &BytesColumn| match column {
                Some(column) => column.get(result).map(<[u8]>::to_vec),
                None => own.get(source as usize).map(<[u8]>::to_vec),
            };
            let (key, value) = (from(&output.keys, &records.keys), from(&output.values, &records.values));
            let times = output.timestamps.as_ref().map(|times| times[result]);
            (source, port, key, value, times.unwrap_or(records.timestamps[source as usize]))
        };
        (0..results).map(one).collect()
    }

    /// One of six ways to emit, and what must be seen of it.
    fn emit(way: u32, port: u32, index: u32, record: &Record, out: &mut Output) -> Seen {
        let own = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let (key, value, time) = (own(record.key), own(record.value), record.timestamp);
        let new = [b'n', index as u8];
        out.port(port);
        match way {
            0 => out.emit_same(),
            1 => out.emit_value(None),
            2 => out.emit_key(Some(&new)),
            3 => out.emit(record.key, Some(&new), time + 1),
            4 => out.emit_value_with(|bytes| bytes.extend_from_slice(&new)),
            _ => out.emit_with(None, time, |bytes| bytes.push(b'w')),
        }
        match way {
            0 => (index, port, key, value, time),
            1 => (index, port, key, None, time),
            2 => (index, port, own(Some(&new)), value, time),
            3 => (index, port, key, own(Some(&new)), time + 1),
            4 => (index, port, key, own(Some(&new)), time),
            _ => (index, port, None, own(Some(b"w")), time),
        }
    }

    #[test]
    fn any_mix_of_results_is_read_back() {
        let records: Batch = (0..9)
            .map(|time| Record {
                key: (time % 4 != 1).then_some(b"key"),
                value: (time % 3 != 2).then_some(b"value"),
                timestamp: time,
                ..Record::default()
            })
            .collect();
        for seed in 0..5_000u64 {
            let state = Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let random = |below: u64| {
                state.set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
                (state.get() >> 33) % below
            };
            // Few ways in one batch, so that columns stay closed in some.
            let (ways, ports, copies) = ([random(6), random(6)], 1 + random(2), 1 + random(3));
            let expected = RefCell::new(Vec::new());
            let mapper = |record: &Record, out: &mut Output| {
                let before = expected.borrow().len();
                for _ in 0..if copies == 1 { 1 } else { random(copies + 1) } {
                    let (way, port) = (ways[random(2) as usize] as u32, random(ports) as u32);
                    expected.borrow_mut().push(emit(way, port, record.timestamp as u32, record, out));
                }
                let refused = seed % 5 == 0 && random(4) == 0;
                if refused {
                    expected.borrow_mut().truncate(before);
                }
                if refused { Err(Reject::new("not this one")) } else { Ok(()) }
            };
            let output = apply(&mapper, &records);
            assert_eq!(seen(&output, &records), *expected.borrow(), "seed {seed}: {output:?}");
        }
    }

    #[test]
    fn headers_are_the_records_own_until_one_is_added_or_taken() {
        let marked = |record: &Record, out: &mut Output| {
            out.emit_same();
            match record.value {
                Some(b"add") => out.add_header("new", Some(b"1")),
                Some(b"bare") => out.clear_headers(),
                Some(b"bad") => {
                    out.add_header("bad", Some(b"2"));
                    return Err(Reject::new("it is bad"));
                }
                _ => {}
            }
            Ok(())
        };
        let own: &[Header] = &[("own", Some(b"0"))];
        let with_headers = |values: &[&'static str]| {
            let context = Context::default().with_headers(values.iter().map(|_| own).collect());
            Batch { context, ..batch(values) }
        };
        assert_eq!(apply(&marked, &with_headers(&["a", "b"])).headers, None);
        let output = apply(&marked, &with_headers(&["a", "bad", "add", "bare", "b"]));
        let expected: [&[_]; 4] = [own, &[own[0], ("new", Some(b"1"))], &[], own];
        assert_eq!(output.headers, Some(expected.into_iter().collect()));
        // Where the records have none, a result gets only what is added.
        let expected: [&[Header]; 2] = [&[], &[("new", Some(b"1"))]];
        assert_eq!(apply(&marked, &batch(&["a", "add"])).headers, Some(expected.into_iter().collect()));
    }

    #[test]
    fn a_large_result_stops_early_and_not_before_the_first_record() {
        let grow = |_: &Record, out: &mut Output| out.emit_value(Some(&[0; 100]));
        assert_eq!(apply_up_to(&grow, &batch(&["a", "b", "c"]), 150).taken, 2);
        assert_eq!(apply_up_to(&grow, &batch(&["a", "b", "c"]), 1).taken, 1);
    }
}
