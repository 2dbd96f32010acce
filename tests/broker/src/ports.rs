//! Free ports that stay ours, also while the broker on them is down.

use std::{
    fs::{self, File},
    net::TcpListener,
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::jars::cache;

/// Ports below those which the system gives to connections that go out: otherwise a client that tries a broker which is
/// down may be given that very port, and be connected to itself.
const FIRST: u16 = 19_000;
const COUNT: u16 = 12_000;

/// A port of 127.0.0.1 that no other test is given while this lives.
#[derive(Debug)]
pub struct Port {
    /// Its number.
    pub number: u16,
    _reserved: File,
}

/// Reserves a free port.
///
/// # Panics
/// When there is none.
pub fn reserve() -> Port {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let folder = cache().join("kafka").join("ports");
    fs::create_dir_all(&folder).expect("make the folder of reserved ports");
    let start = (process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = FIRST + start.wrapping_add(step) % COUNT;
        let file = File::create(folder.join(number.to_string())).expect("make the file of a reserved port");
        if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
            return Port { number, _reserved: file };
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT)
}
