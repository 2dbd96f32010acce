//! A filter whose start refuses whatever it is given.

use millstream_sdk::{Record, Settings};

pub fn keep(_record: &Record) -> bool {
    true
}

type Keep = fn(&Record) -> bool;

pub fn make(_settings: &Settings) -> Result<Keep, String> {
    Err("this function never starts".into())
}

millstream_sdk::functions! {
    /// A filter whose start refuses whatever it is given.
    "bad": filter = make;
}
