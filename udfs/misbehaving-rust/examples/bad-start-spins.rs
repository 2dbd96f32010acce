//! A filter whose start never ends.

use millstream_sdk::{Record, Settings};

pub fn keep(_record: &Record) -> bool {
    true
}

type Keep = fn(&Record) -> bool;

pub fn make(_settings: &Settings) -> Result<Keep, String> {
    loop {
        std::hint::spin_loop();
    }
}

millstream_sdk::functions! {
    /// A filter whose start never ends.
    "bad": filter = make;
}
