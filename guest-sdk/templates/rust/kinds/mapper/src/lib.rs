//! Makes the first word of a line its key.

use millstream_sdk::{Output, Record, Reject};

/// The record with another key; its value and its time stay. `emit` may be called several times, or not at all.
pub fn map(record: &Record, out: &mut Output) -> Result<(), Reject> {
    let word = record.text()?.split_whitespace().next().ok_or("the line is empty")?;
    out.emit(Some(word.as_bytes()), record.value, record.timestamp);
    Ok(())
}

millstream_sdk::mapper!(map);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_is_the_key() {
        let records = [Record::of(b"alice logged in")].into_iter().collect();
        let output = millstream_sdk::apply(&map, &records);
        assert_eq!(output.keys, Some([Some(&b"alice"[..])].into_iter().collect()));
    }
}
