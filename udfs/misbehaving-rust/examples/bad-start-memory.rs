//! A filter that takes memory until there is none when it is started.

use millstream_sdk::{Record, Settings};

pub fn keep(_record: &Record) -> bool {
    true
}

type Keep = fn(&Record) -> bool;

pub fn make(_settings: &Settings) -> Result<Keep, String> {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&all);
    }
}

millstream_sdk::functions! {
    /// A filter that takes memory until there is none when it is started.
    "bad": filter = make;
}
