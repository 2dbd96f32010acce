//! The parking rule: while somebody changes which partitions are read and from where, no reader is inside a batch call.
//! A small lock of many readers and one changer, who goes first and does not wait for ever. It knows nothing of Kafka.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lets readers in, or one changer.
///
/// ```text
///   open ── park ──▶ wanted ── the last reader has left ──▶ parked ── guard dropped ──▶ open
///                      └────── time is up ─────────────────────────────────────────────▶ open
///   any of them ── close ──▶ closed: nobody comes in again, changers do
/// ```
#[derive(Debug, Default)]
pub struct Parking {
    state: Mutex<State>,
    changed: Condvar,
    /// A copy of `state.wanted || state.closed` for readers who are inside and about to block.
    wanted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    inside: usize,
    wanted: bool,
    closed: bool,
}

/// Held while a reader is inside a batch call.
#[derive(Debug)]
#[must_use]
pub struct Inside<'a>(&'a Parking);

/// Held while all readers are outside.
#[derive(Debug)]
#[must_use]
pub struct Parked<'a>(&'a Parking);

/// Why a reader may not go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Something is being changed, longer than the reader can wait.
    Parked,
    /// Nothing will be read any more.
    Closed,
}

/// The readers were not out in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{inside} reader(s) were still inside a batch call after {} ms", waited.as_millis())]
pub struct StillInside {
    /// How many, counting a changer who was in the way as none.
    pub inside: usize,
    /// How long they were waited for.
    pub waited: Duration,
}

impl Parking {
    /// Goes inside, after at most `timeout` of waiting for a change to end.
    ///
    /// # Errors
    /// [`Kept`]; the reader is not inside.
    pub fn enter(&self, timeout: Duration) -> Result<Inside<'_>, Kept> {
        let kept = |s: &mut State| s.wanted && !s.closed;
        let (mut state, _) =
            self.changed.wait_timeout_while(self.lock(), timeout, kept).unwrap_or_else(PoisonError::into_inner);
        match (state.closed, state.wanted) {
            (true, _) => Err(Kept::Closed),
            (false, true) => Err(Kept::Parked),
            (false, false) => {
                state.inside += 1;
                Ok(Inside(self))
            }
        }
    }

    /// Waits, at most `timeout`, until no reader is inside, and keeps them out until the guard is dropped. Only one at a
    /// time can do so. `wake` is called once readers are kept out: it must make a blocked batch call return, also
    /// one that begins only after it.
    ///
    /// # Errors
    /// [`StillInside`]: nothing may be changed, and readers go in again.
    pub fn park(&self, timeout: Duration, wake: impl FnOnce()) -> Result<Parked<'_>, StillInside> {
        let started = Instant::now();
        let still = |state: &State| StillInside { inside: state.inside, waited: started.elapsed() };
        let (mut state, _) =
            self.changed.wait_timeout_while(self.lock(), timeout, |s| s.wanted).unwrap_or_else(PoisonError::into_inner);
        if state.wanted {
            return Err(StillInside { inside: 0, ..still(&state) });
        }
        state.wanted = true;
        self.wanted.store(true, Ordering::SeqCst);
        drop(state);
        // From here on the guard lets the readers in again, also when `wake` panics.
        let parked = Parked(self);
        wake();
        let left = timeout.saturating_sub(started.elapsed());
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), left, |s| s.inside > 0)
            .unwrap_or_else(PoisonError::into_inner);
        if state.inside > 0 {
            let still = still(&state);
            drop(state);
            return Err(still);
        }
        drop(state);
        Ok(parked)
    }

    /// Keeps readers out for good.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wanted.store(true, Ordering::SeqCst);
        self.changed.notify_all();
    }

    /// Whether somebody waits for the readers to leave: one that is inside should not block now.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// How many readers are inside.
    pub fn inside(&self) -> usize {
        self.lock().inside
    }

    /// Nothing panics while it holds the lock, and if it did the counts would still be right.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock().inside -= 1;
        self.0.changed.notify_all();
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.wanted = false;
        self.0.wanted.store(state.closed, Ordering::SeqCst);
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn readers_share_and_a_changer_does_not() {
        let parking = Parking::default();
        let (a, b) = (parking.enter(SOON).unwrap(), parking.enter(SOON).unwrap());
        let mut woken = false;
        let error = parking.park(SOON, || woken = true).unwrap_err();
        assert!(woken && error.inside == 2 && error.waited >= SOON, "{error}");
        drop((a, b));
        let parked = parking.park(SOON, || ()).unwrap();
        assert_eq!(parking.enter(SOON).unwrap_err(), Kept::Parked);
        assert_eq!(parking.park(SOON, || ()).unwrap_err().inside, 0, "two changers at once");
        drop(parked);
        assert!(parking.enter(SOON).is_ok() && !parking.is_wanted());
    }

    #[test]
    fn a_changer_who_gives_up_lets_readers_in_again() {
        let parking = Parking::default();
        let inside = parking.enter(SOON).unwrap();
        parking.park(SOON, || ()).unwrap_err();
        assert!(parking.enter(SOON).is_ok());
        drop(inside);
        assert_eq!(parking.inside(), 0);
    }

    #[test]
    fn closed_is_for_readers_only() {
        let parking = Parking::default();
        parking.close();
        assert_eq!(parking.enter(LONG).unwrap_err(), Kept::Closed);
        drop(parking.park(SOON, || ()).unwrap());
        assert_eq!(parking.enter(LONG).unwrap_err(), Kept::Closed);
        assert!(parking.is_wanted(), "a reader who is inside is still told not to block");
    }

    /// Readers that come back at once, changers that come often: nobody is ever inside together with a changer, and
    /// each gets its turn. `MILLSTREAM_PARKING_ROUNDS` makes it longer.
    #[test]
    fn nobody_is_inside_while_something_changes() {
        let rounds = std::env::var("MILLSTREAM_PARKING_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(2_000);
        let (parking, stop) = (Parking::default(), AtomicBool::new(false));
        let (inside, reads, changes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(guard) = parking.enter(LONG) else { panic!("a reader starved") };
                        inside.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        reads.fetch_add(1, Ordering::Relaxed);
                        drop(guard);
                    }
                });
            }
            let changers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..rounds {
                            let parked = parking.park(LONG, || ()).unwrap();
                            assert_eq!(inside.load(Ordering::SeqCst), 0, "a reader is inside");
                            let before = changes.fetch_add(1, Ordering::SeqCst);
                            thread::yield_now();
                            assert_eq!(changes.load(Ordering::SeqCst), before + 1, "two changers");
                            drop(parked);
                        }
                    })
                })
                .collect();
            let results: Vec<_> = changers.into_iter().map(|c| c.join()).collect();
            stop.store(true, Ordering::Relaxed);
            assert!(results.into_iter().all(|r| r.is_ok()));
        });
        assert_eq!(changes.into_inner(), 2 * rounds);
        assert!(reads.into_inner() > 0 && parking.inside() == 0);
    }
}
