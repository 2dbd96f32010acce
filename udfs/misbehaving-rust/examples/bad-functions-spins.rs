//! A file that never ends saying which functions it holds.

use millstream_sdk::{Function, Record};

pub fn keep(_record: &Record) -> bool {
    true
}

pub fn functions() -> &'static [Function] {
    loop {
        std::hint::spin_loop();
    }
}

millstream_sdk::columns!(lifecycle, functions());
millstream_sdk::filter!(keep);
