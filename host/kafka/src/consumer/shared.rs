//! What the group member and its readers share. The client in it may be another one after a while: one that the group has refused for
//! good is replaced, see [`super::member`].

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::native::{Client, Queue};
use super::parking::{Parked, Parking, StillInside};
use super::slots::Slots;

/// One worker's part.
#[derive(Default)]
pub(crate) struct Worker {
    pub slots: Mutex<Slots>,
    pub woken: AtomicBool,
    /// Milliseconds since the start at which it last began to read.
    pub last_read_ms: AtomicU64,
}

/// A client and the queues that its records come by.
pub(crate) struct Source {
    /// One for each worker. Before the client, which must outlive them.
    pub queues: Vec<Queue>,
    pub client: Arc<Client>,
}

impl Source {
    fn new(client: Client, workers: usize) -> Arc<Self> {
        let client = Arc::new(client);
        let queues = (0..workers).map(|_| Queue::new(&client)).collect();
        Arc::new(Self { queues, client })
    }
}

/// See the module.
pub(crate) struct Shared {
    source: RwLock<Arc<Source>>,
    pub workers: Vec<Worker>,
    pub parking: Parking,
    /// Bytes of one partition that may wait for its worker.
    pub buffer_bytes_max: usize,
    started: Instant,
}

impl Shared {
    /// Queues for `workers` workers.
    pub fn new(client: Client, workers: usize, buffer_bytes_max: usize) -> Self {
        Self {
            source: RwLock::new(Source::new(client, workers)),
            workers: (0..workers).map(|_| Worker::default()).collect(),
            parking: Parking::default(),
            buffer_bytes_max,
            started: Instant::now(),
        }
    }

    /// The client of now with its queues.
    pub fn source(&self) -> Arc<Source> {
        self.source.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client of now.
    pub fn client(&self) -> Arc<Client> {
        self.source().client.clone()
    }

    /// Another client from here on; gives the one before. It has nothing assigned, and no reader is inside a call of it.
    pub fn replace(&self, client: Client, _parked: &Parked<'_>) -> Arc<Source> {
        let new = Source::new(client, self.workers.len());
        std::mem::replace(&mut *self.source.write().unwrap_or_else(PoisonError::into_inner), new)
    }

    /// Waits until no worker is inside a batch call, and keeps them out.
    pub fn park(&self, timeout: Duration) -> Result<Parked<'_>, StillInside> {
        self.parking.park(timeout, || self.source().queues.iter().for_each(Queue::wake))
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
