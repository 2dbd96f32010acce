//! A filter that traps when it is started.

use millstream_sdk::{Record, Settings};

pub fn keep(_record: &Record) -> bool {
    true
}

type Keep = fn(&Record) -> bool;

pub fn make(_settings: &Settings) -> Result<Keep, String> {
    panic!("this function never starts")
}

millstream_sdk::functions! {
    /// A filter that traps when it is started.
    "bad": filter = make;
}
