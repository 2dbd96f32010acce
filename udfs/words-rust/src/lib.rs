//! A record for each word of the value, with the word as key. Words are what stands between white space; nothing is folded
//! or stemmed.

use millstream_sdk::{Output, Record, Reject};

/// The record once for each of its words, which become the key.
pub fn words(record: &Record, out: &mut Output) -> Result<(), Reject> {
    for word in record.text()?.split_whitespace() {
        out.emit_key(Some(word.as_bytes()));
    }
    Ok(())
}

millstream_sdk::mapper!(words);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_a_key() {
        let records = ["to be ", "", "or"].map(|value| Record::of(value.as_bytes())).into_iter().collect();
        let output = millstream_sdk::apply(&words, &records);
        assert_eq!(output.keys, Some([Some(&b"to"[..]), Some(b"be"), Some(b"or")].into_iter().collect()));
        assert_eq!((output.sources, output.values), (Some(vec![0, 0, 2]), None));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let output = millstream_sdk::apply(&words, &[Record::of(b"\xff"), Record::default()].into_iter().collect());
        assert_eq!(output.rejected.len(), 2);
    }
}
