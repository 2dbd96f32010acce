//! Shows what the host says about each record, as the new value; adds a header; and logs a line for a record whose value
//! begins with `log `. For tests of hosts, not for pipelines.

use std::io::Write as _;

use millstream_sdk::{Output, Record, log};

/// `headers a=1 b; stream time 5; window 0..10; input 0`, with what is not there left out.
pub fn facts(record: &Record, out: &mut Output) {
    if let Some(line) = record.value_or_empty().strip_prefix(b"log ") {
        log::info(&String::from_utf8_lossy(line));
    }
    // Writing into a vector cannot fail.
    out.emit_value_with(|into| {
        into.extend_from_slice(b"headers");
        for (name, value) in record.headers() {
            let _ = write!(into, " {name}");
            if let Some(value) = value {
                into.push(b'=');
                into.extend_from_slice(value);
            }
        }
        if let Some(time) = record.stream_time() {
            let _ = write!(into, "; stream time {time}");
        }
        if let Some(window) = record.window() {
            let _ = write!(into, "; window {}..{}", window.start, window.end);
        }
        let _ = write!(into, "; input {}", record.input());
    });
    out.add_header("seen", Some(b"yes"));
}

millstream_sdk::mapper!(facts);

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_sdk::{Batch, Context, Header, Window, apply};

    #[test]
    fn all_that_is_there_is_shown() {
        let mut batch: Batch = [Record::of(b"log hello")].into_iter().collect();
        let value = |batch: &Batch| {
            let values = apply(&facts, batch).values.unwrap();
            String::from_utf8(values.get(0).unwrap().to_vec()).unwrap()
        };
        assert_eq!(value(&batch), "headers; input 0");
        let headers: &[Header] = &[("a", Some(b"1")), ("b", None)];
        batch.context = Context::default()
            .with_headers([headers].into_iter().collect())
            .with_stream_times(vec![5])
            .with_windows(&[Window { start: 0, end: 10 }])
            .with_inputs(vec![1]);
        assert_eq!(value(&batch), "headers a=1 b; stream time 5; window 0..10; input 1");
        let written = apply(&facts, &batch).headers.unwrap();
        assert_eq!(written.of(0).last(), Some(("seen", Some(&b"yes"[..]))));
    }
}
