//! What the group member and its readers share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::native::{Client, Queue};
use super::parking::{Parked, Parking, StillInside};
use super::slots::Slots;

/// One worker's part.
pub(crate) struct Worker {
    pub queue: Queue,
    pub slots: Mutex<Slots>,
    pub woken: AtomicBool,
    /// Milliseconds since the start at which it last began to read.
    pub last_read_ms: AtomicU64,
}

/// See the module.
pub(crate) struct Shared {
    // Before the client, which must outlive the queues.
    pub workers: Vec<Worker>,
    pub parking: Parking,
    /// Bytes of one partition that may wait for its worker.
    pub buffer_bytes_max: usize,
    pub client: Arc<Client>,
    started: Instant,
}

impl Shared {
    /// Queues for `workers` workers.
    pub fn new(client: Arc<Client>, workers: usize, buffer_bytes_max: usize) -> Self {
        let worker = || Worker {
            queue: Queue::new(&client),
            slots: Mutex::default(),
            woken: AtomicBool::new(false),
            last_read_ms: AtomicU64::new(0),
        };
        let workers = (0..workers).map(|_| worker()).collect();
        Self { workers, parking: Parking::default(), buffer_bytes_max, client, started: Instant::now() }
    }

    /// Waits until no worker is inside a batch call, and keeps them out.
    pub fn park(&self, timeout: Duration) -> Result<Parked<'_>, StillInside> {
        self.parking.park(timeout, || self.workers.iter().for_each(|w| w.queue.wake()))
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }
}

/// How long ago each worker last read: the client's own clock sees only that somebody polls.
#[derive(Clone)]
pub struct Watch(pub(super) Arc<Shared>);

impl Watch {
    /// For each worker the time since it last began to read, or since the member was made.
    pub fn since_read(&self) -> Vec<Duration> {
        let now = self.0.now_ms();
        let since = |w: &Worker| Duration::from_millis(now.saturating_sub(w.last_read_ms.load(Ordering::Relaxed)));
        self.0.workers.iter().map(since).collect()
    }
}
