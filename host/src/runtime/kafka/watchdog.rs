//! Looks whether each worker still reads. The client's own clock, by which the group gives up a member, sees that somebody polls and
//! cannot see one worker that hangs. It tells, and ends nothing: what a worker hangs in may come to an end.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millstream_kafka::consumer::Watch;
use tracing::{error, info};

use super::directory::lock;

/// A worker that has not read for longer is told of. Longer than giving tasks up waits for their commit.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Looks that are further apart than this say that the whole process stood still, and nothing of a worker.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// See the module. Dropping it ends its thread soon.
pub struct Watchdog {
    stuck: Arc<Mutex<Vec<String>>>,
    _stop: Sender<()>,
}

impl Watchdog {
    /// Starts the thread that looks.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(watch: Watch) -> std::io::Result<Self> {
        let (stuck, (stop, stopped)) = (Arc::<Mutex<Vec<String>>>::default(), channel::<()>());
        let told = stuck.clone();
        std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            let (mut looks, mut last) = (Looks::default(), Instant::now());
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let passed = last.elapsed();
                last = Instant::now();
                *lock(&told) = looks.look(passed, &watch.since_read());
            }
        })?;
        Ok(Self { stuck, _stop: stop })
    }

    /// Workers that hang now, a sentence each.
    pub fn stuck(&self) -> Vec<String> {
        lock(&self.stuck).clone()
    }
}

/// Which workers were told of.
#[derive(Default)]
struct Looks {
    told: Vec<bool>,
}

impl Looks {
    /// Takes in for how long each worker has not read, and how long ago that was last looked at.
    fn look(&mut self, passed: Duration, since_read: &[Duration]) -> Vec<String> {
        self.told.resize(since_read.len(), false);
        if passed > LOOK_MAX {
            return Vec::new();
        }
        let mut stuck = Vec::new();
        for (worker, since) in since_read.iter().enumerate() {
            let (is_stuck, was_stuck) = (*since > STUCK_AFTER, self.told[worker]);
            self.told[worker] = is_stuck;
            let seconds = since.as_secs();
            if is_stuck {
                stuck.push(format!(
                    "worker {worker} has not read for {seconds} s and its tasks stand still: a function or the disk may take long"
                ));
            }
            match (was_stuck, is_stuck) {
                (false, true) => {
                    let going_on = since_read.iter().filter(|since| **since <= STUCK_AFTER).count();
                    error!(worker, seconds, going_on, "a worker has stopped reading");
                }
                (true, false) => info!(worker, "the worker reads again"),
                _ => {}
            }
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_read_is_told_of_and_a_process_that_stood_still_is_not() {
        let mut looks = Looks::default();
        let (short, long) = (Duration::from_millis(20), STUCK_AFTER + LOOK);
        assert_eq!(looks.look(LOOK, &[short, STUCK_AFTER]), Vec::<String>::new());
        let told = looks.look(LOOK, &[short, long]);
        assert!(told.len() == 1 && told[0].contains("worker 1") && told[0].contains("31 s"), "{told:?}");
        assert_eq!(looks.told, [false, true]);
        assert_eq!(looks.look(LOOK, &[short, short]), Vec::<String>::new());
        assert_eq!(looks.look(long, &[long, long]), Vec::<String>::new());
        assert_eq!(looks.look(LOOK, &[long]).len(), 1, "a single worker too");
    }
}
