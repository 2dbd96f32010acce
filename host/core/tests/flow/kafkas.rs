//! The functions of Kafka's own tests, for the transcripts that hold their cases. Bytes are text here: an `Integer` of Kafka's
//! tests is its digits.

use millstream_core::record::Timestamp;

use crate::functions::Result4;

/// Names by number, as in `functions::NAMES`, behind those.
pub const NAMES: [(&str, bool); 18] = [
    ("accept", false),
    ("by-key-letters", false),
    ("by-value-unless-null", false),
    ("digits", false),
    ("later", false),
    ("length", false),
    ("length-and-key", false),
    ("letters", false),
    ("minus", false),
    ("route-by-key", false),
    ("swap-pair", false),
    ("third", false),
    ("times-key", false),
    ("until-at", false),
    ("v-and-k", false),
    ("v-and-v", false),
    ("whole", false),
    ("word-of", false),
];

fn digits(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// What a mapper of Kafka's tests makes of a record; `None`: it is none of those.
pub fn map(name: &str, key: Option<&[u8]>, value: Option<&[u8]>, time: Timestamp) -> Option<Vec<Result4>> {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (k, v) = (text(key), text(value));
    let own = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
    let one = |key: Option<&[u8]>, value: &str| vec![(0, own(key), Some(value.as_bytes().to_vec()), time)];
    Some(match name {
        // The first letter of the key is the group, the second what is in it.
        "by-key-letters" => one(k.get(..1).map(str::as_bytes), k.get(1..).unwrap_or_default()),
        "by-value-unless-null" => match &k[..] {
            "null" => one(None, &v),
            "NULL" => vec![],
            _ => one(value, &v),
        },
        "digits" => one(key, &digits(&v).to_string()),
        "later" => vec![(0, own(key), own(value), time + 10)],
        "length" => one(key, &v.len().to_string()),
        "length-and-key" => one(key, &(v.len() as i64 + digits(&k)).to_string()),
        "minus" => one(key, &(-digits(&v)).to_string()),
        // The first predicate that holds: even, a multiple of three, of five, below zero, a multiple of seven.
        "route-by-key" => {
            let n = digits(&k);
            let holds = [n % 2 == 0, n % 3 == 0, n % 5 == 0, n < 0, n % 7 == 0];
            let first = holds.iter().position(|holds| *holds);
            first.map(|port| (port as u32, own(key), own(value), time)).into_iter().collect()
        }
        "swap-pair" => one(value, &k),
        "times-key" => {
            let keys = (0..digits(&k)).map(|i| (digits(&k) * 10 + i).to_string().into_bytes());
            keys.map(|key| (0, Some(key), own(value), time)).collect()
        }
        "until-at" => one(key, v.split('@').next().unwrap_or_default()),
        "v-and-k" => [one(key, &format!("v{v}")), one(key, &format!("k{k}"))].concat(),
        "v-and-v" => [one(key, &format!("v{v}")), one(key, &format!("V{v}"))].concat(),
        "whole" => one(key, v.split('.').next().unwrap_or_default()),
        // Of the value, or else of the key.
        "word-of" => {
            let words = [("1", "ONE"), ("2", "TWO"), ("3", "THREE")];
            let word = [&v, &k].into_iter().find_map(|text| words.iter().find(|(n, _)| n == text).map(|w| w.1));
            vec![(0, word.map(|word| word.as_bytes().to_vec()), own(value), time)]
        }
        _ => return None,
    })
}

/// What a predicate of Kafka's tests says of a record.
pub fn keeps(name: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<bool> {
    match name {
        "accept" => Some(value.is_some_and(|v| v.eq_ignore_ascii_case(b"accept"))),
        "third" => Some(digits(&String::from_utf8_lossy(key.unwrap_or_default())) % 3 == 0),
        _ => None,
    }
}

/// `letters`: what is added stands behind the others, what is removed is cut out, wherever it is.
pub fn letters(state: Option<Vec<u8>>, value: &[u8], adds: bool) -> Vec<u8> {
    let state = String::from_utf8_lossy(&state.unwrap_or_default()).into_owned();
    let value = String::from_utf8_lossy(value);
    if adds { state + &value } else { state.replace(&*value, "") }.into_bytes()
}

pub fn changes_keys(name: &str) -> bool {
    matches!(name, "by-key-letters" | "by-value-unless-null" | "swap-pair" | "times-key" | "word-of")
}
