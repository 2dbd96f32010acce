//! Whether a host takes records: asked for by an operator, carried out by its workers, each in its own time, and kept over a
//! restart. How a worker stops is its own affair.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use millstream_core::state::keyspace::{Durability, Keyspaces, Space, SpaceKind, Write};
use tracing::info;

use super::storage::HOST_SPACE;

/// How long a request to pause waits until what is done is committed.
pub const PAUSE_WAIT: Duration = Duration::from_secs(10);

/// Time between two looks at that.
const LOOK: Duration = Duration::from_millis(10);

/// The key, and the file's name, that say that a host is paused.
const MARK: &str = "paused";

/// Where it is kept.
pub enum Mark {
    /// On Kafka: as a file in the state directory.
    File(PathBuf),
    /// In local mode: in the database.
    Key(Arc<dyn Keyspaces>, Space),
}

impl Mark {
    /// In a state directory.
    pub fn file(directory: &std::path::Path) -> Self {
        Mark::File(directory.join(MARK))
    }

    /// In a database.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn key(db: Arc<dyn Keyspaces>) -> anyhow::Result<Self> {
        let space = db.open_space(HOST_SPACE, SpaceKind::State)?;
        Ok(Mark::Key(db, space))
    }

    fn is_set(&self) -> anyhow::Result<bool> {
        match self {
            Mark::File(path) => path.try_exists().with_context(|| format!("look for {}", path.display())),
            Mark::Key(db, space) => Ok(db.get(*space, MARK.as_bytes())?.is_some()),
        }
    }

    fn set(&self, paused: bool) -> anyhow::Result<()> {
        let key = || MARK.as_bytes().to_vec();
        match (self, paused) {
            (Mark::File(path), true) => std::fs::write(path, "`millstream resume` ends it\n")
                .with_context(|| format!("write {}", path.display())),
            (Mark::File(path), false) => match std::fs::remove_file(path) {
                Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                    Err(why).with_context(|| format!("delete {}", path.display()))
                }
                _ => Ok(()),
            },
            (Mark::Key(db, space), true) => {
                Ok(db.apply(vec![Write::Put(*space, key(), Vec::new())], Durability::Device)?)
            }
            (Mark::Key(db, space), false) => Ok(db.apply(vec![Write::Delete(*space, key())], Durability::Device)?),
        }
    }
}

/// How a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes records.
    Running,
    /// It takes no more; some worker still commits.
    Pausing,
    /// What was done is committed, and nothing is worked on.
    Paused,
}

/// See the module.
pub struct Pause {
    mark: Mark,
    workers: AtomicUsize,
    asked: AtomicBool,
    /// Workers that work on nothing.
    quiet: AtomicUsize,
}

impl Pause {
    /// As it was left when the host was last stopped.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn open(mark: Mark) -> anyhow::Result<Arc<Self>> {
        let asked = mark.is_set()?;
        if asked {
            info!("paused before the last stop and paused still: `millstream resume` ends it");
        }
        let (workers, quiet) = Default::default();
        Ok(Arc::new(Self { mark, workers, asked: AtomicBool::new(asked), quiet }))
    }

    /// Asks all workers to stop or to go on; it is kept first. Waits within bounds until they have stopped.
    ///
    /// # Errors
    /// When it cannot be kept: nothing has changed then.
    pub fn ask(&self, pause: bool) -> anyhow::Result<()> {
        self.mark.set(pause)?;
        if self.asked.swap(pause, Ordering::SeqCst) != pause {
            info!("{}", if pause { "pausing" } else { "resumed" });
        }
        let until = Instant::now() + PAUSE_WAIT;
        while self.standing() == Standing::Pausing && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// How the host stands.
    pub fn standing(&self) -> Standing {
        if !self.asked.load(Ordering::SeqCst) {
            return Standing::Running;
        }
        let all = self.quiet.load(Ordering::SeqCst) >= self.workers.load(Ordering::SeqCst);
        if all { Standing::Paused } else { Standing::Pausing }
    }

    /// A worker's part in it.
    pub fn part(self: &Arc<Self>) -> Part {
        self.workers.fetch_add(1, Ordering::SeqCst);
        Part { pause: self.clone(), at: At::Work }
    }
}

/// What a worker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Its work.
    Work,
    /// Commit what is done, and take no more: said once.
    Drain,
    /// Wait until that is committed, then say [`Part::drained`].
    Wait,
    /// Nothing.
    Rest,
    /// Open its tasks again: said once.
    Resume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Work,
    Draining,
    Rest,
}

/// A worker's part.
///
/// ```text
///          asked             drained
///  work ──────────▶ draining ───────▶ rest
///    ▲  not asked any more │            │ not asked any more
///    └─────────────────────┴────────────┘
/// ```
pub struct Part {
    pause: Arc<Pause>,
    at: At,
}

impl Part {
    /// What to do now; to be asked in each turn.
    pub fn duty(&mut self) -> Duty {
        let asked = self.pause.asked.load(Ordering::SeqCst);
        match (self.at, asked) {
            (At::Work, false) => Duty::Work,
            (At::Work, true) => {
                self.at = At::Draining;
                Duty::Drain
            }
            (At::Draining, true) => Duty::Wait,
            // Nothing was closed yet.
            (At::Draining, false) => {
                self.at = At::Work;
                Duty::Work
            }
            (At::Rest, true) => Duty::Rest,
            (At::Rest, false) => {
                self.at = At::Work;
                self.pause.quiet.fetch_sub(1, Ordering::SeqCst);
                Duty::Resume
            }
        }
    }

    /// What was done is committed, and the tasks are closed.
    pub fn drained(&mut self) {
        assert_eq!(self.at, At::Draining, "only what was asked to drain has drained");
        self.at = At::Rest;
        self.pause.quiet.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether tasks that are offered are to stay closed.
    pub fn rests(&self) -> bool {
        self.at == At::Rest
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.pause.workers.fetch_sub(1, Ordering::SeqCst);
        if self.at == At::Rest {
            self.pause.quiet.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::memory::memory;

    #[test]
    fn a_host_is_paused_when_all_its_workers_are() {
        let pause = Pause::open(Mark::key(memory()).unwrap()).unwrap();
        let (mut one, mut other) = (pause.part(), pause.part());
        assert_eq!((pause.standing(), one.duty()), (Standing::Running, Duty::Work));
        pause.asked.store(true, Ordering::SeqCst);
        assert_eq!([one.duty(), one.duty()], [Duty::Drain, Duty::Wait]);
        one.drained();
        assert_eq!((pause.standing(), one.duty(), one.rests()), (Standing::Pausing, Duty::Rest, true));
        other.duty();
        other.drained();
        assert_eq!(pause.standing(), Standing::Paused);
        pause.ask(false).unwrap();
        assert_eq!([one.duty(), one.duty()], [Duty::Resume, Duty::Work]);
        assert_eq!((pause.standing(), other.rests()), (Standing::Running, true));
        pause.asked.store(true, Ordering::SeqCst);
        assert_eq!(one.duty(), Duty::Drain);
        pause.asked.store(false, Ordering::SeqCst);
        assert_eq!(one.duty(), Duty::Work, "what was not closed yet goes on");
        pause.asked.store(true, Ordering::SeqCst);
        drop(one);
        drop(other);
        assert_eq!(pause.quiet.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn it_outlives_the_host_in_both_places() {
        let (dir, db) = (tempfile::tempdir().unwrap(), memory());
        let marks = || [Mark::file(dir.path()), Mark::key(db.clone()).unwrap()];
        for asked in [true, true, false, false] {
            for mark in marks() {
                Pause::open(mark).unwrap().ask(asked).unwrap();
            }
            for mark in marks() {
                assert_eq!(Pause::open(mark).unwrap().standing() != Standing::Running, asked);
            }
        }
    }
}
