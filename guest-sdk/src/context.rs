//! Facts about the records of a call beside the records themselves: headers, stream times, windows, inputs. Not a store,
//! and nothing that changes while a call runs.
//!
//! Each is fetched from the host when it is first asked for, once a call. A function that never asks does not even import
//! the interface.

use std::cell::OnceCell;

use crate::HeaderColumns;

/// Start (in it) and end (no longer in it) of a window, milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first instant in the window.
    pub start: i64,
    /// The first instant after it.
    pub end: i64,
}

/// What the host knows about the records of a call. Natively nothing, but for what a test gives.
///
/// ```
/// use millstream_sdk::{Batch, Context, Record};
///
/// let headers = [&[("user", Some(&b"alice"[..]))][..]];
/// let mut batch: Batch = [Record::of(b"hello")].into_iter().collect();
/// batch.context = Context::default().with_headers(headers.into_iter().collect()).with_stream_times(vec![7]);
/// assert_eq!(batch.record(0).header("user"), Some(&b"alice"[..]));
/// assert_eq!(batch.record(0).stream_time(), Some(7));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    headers: OnceCell<Option<HeaderColumns>>,
    stream_times: OnceCell<Vec<i64>>,
    windows: OnceCell<Option<(Vec<i64>, Vec<i64>)>>,
    inputs: OnceCell<Option<Vec<u32>>>,
}

impl Context {
    /// For tests: the headers of the records, as many as there are records.
    pub fn with_headers(self, headers: HeaderColumns) -> Self {
        Self { headers: OnceCell::from(Some(headers)), ..self }
    }

    /// For tests: the step's stream time once each record is in, milliseconds.
    pub fn with_stream_times(self, times: Vec<i64>) -> Self {
        Self { stream_times: OnceCell::from(times), ..self }
    }

    /// For tests: the window of each record's key.
    pub fn with_windows(self, windows: &[Window]) -> Self {
        let sides = windows.iter().map(|window| (window.start, window.end)).unzip();
        Self { windows: OnceCell::from(Some(sides)), ..self }
    }

    /// For tests: which of the step's inputs each record came from.
    pub fn with_inputs(self, inputs: Vec<u32>) -> Self {
        Self { inputs: OnceCell::from(Some(inputs)), ..self }
    }

    /// The headers of the records; `None` when no record has any.
    pub fn headers(&self) -> Option<&HeaderColumns> {
        self.headers.get_or_init(host::headers).as_ref()
    }

    /// The step's stream time once record `index` is in, milliseconds.
    pub fn stream_time(&self, index: usize) -> Option<i64> {
        self.stream_times.get_or_init(host::stream_times).get(index).copied()
    }

    /// The window of the key of record `index`; `None` where keys have no window.
    pub fn window(&self, index: usize) -> Option<Window> {
        let (starts, ends) = self.windows.get_or_init(host::windows).as_ref()?;
        Some(Window { start: *starts.get(index)?, end: *ends.get(index)? })
    }

    /// Which of the step's inputs, in the manifest's order, record `index` came from; 0 where there is only one.
    pub fn input(&self, index: usize) -> u32 {
        let inputs = self.inputs.get_or_init(host::inputs).as_ref();
        inputs.and_then(|inputs| inputs.get(index).copied()).unwrap_or_default()
    }
}

#[cfg(target_arch = "wasm32")]
mod host {
    use crate::{HeaderColumns, bindings::imports::millstream::udf::context};

    pub use context::{inputs, stream_times, windows};

    pub fn headers() -> Option<HeaderColumns> {
        context::headers().map(Into::into)
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use crate::HeaderColumns;

    pub fn headers() -> Option<HeaderColumns> {
        None
    }

    pub fn stream_times() -> Vec<i64> {
        Vec::new()
    }

    pub fn windows() -> Option<(Vec<i64>, Vec<i64>)> {
        None
    }

    pub fn inputs() -> Option<Vec<u32>> {
        None
    }
}

/// Where a record stands in its batch: by this its headers and other facts are found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a>(Option<(&'a Context, usize)>);

impl<'a> Place<'a> {
    #[inline]
    pub(crate) fn new(context: &'a Context, index: usize) -> Self {
        Self(Some((context, index)))
    }

    #[inline]
    pub(crate) fn get(self) -> Option<(&'a Context, usize)> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Record};

    #[test]
    fn facts_belong_to_their_records() {
        let mut batch: Batch = [Record::of(b"a"), Record::of(b"b")].into_iter().collect();
        let windows = [Window { start: 0, end: 10 }, Window { start: 10, end: 20 }];
        batch.context =
            Context::default().with_windows(&windows).with_inputs(vec![1, 0]).with_stream_times(vec![5, 15]);
        let facts: Vec<_> =
            batch.records().map(|record| (record.window(), record.input(), record.stream_time())).collect();
        assert_eq!(facts, [(Some(windows[0]), 1, Some(5)), (Some(windows[1]), 0, Some(15))]);
    }

    #[test]
    fn without_facts_there_are_none() {
        for record in [Record::of(b"a"), Batch::from_iter([Record::of(b"a")]).record(0)] {
            assert_eq!((record.window(), record.input(), record.stream_time()), (None, 0, None));
            assert_eq!((record.headers().count(), record.header("a")), (0, None));
        }
    }
}
