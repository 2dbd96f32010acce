//! How a host takes a task on: the group's stable offsets, then its changelogs up to the high watermark as it was after that,
//! then the engine. State that is kept from last time is used unless it is older than removals live.

use millstream_core::meta::Meta;
use millstream_core::state::changelog::restore;
use millstream_core::task::TaskId;
use millstream_core::worker::Input;

use super::super::Planted;
use super::broker::{Committed, Log};
use super::directory::Checkpoint;
use super::host::Host;
use super::{Fleet, batch};

/// Milliseconds for which a changelog keeps removals.
pub const RETENTION_MS: i64 = 200;

/// Where the opening of a task stands.
#[derive(Clone, Debug, Default)]
pub enum Opening {
    #[default]
    Offsets,
    /// Up to these ends of the stores' changelogs, which were asked for at this time.
    Restoring { committed: Option<Committed>, ends: Vec<i64>, since: i64 },
}

impl Fleet {
    /// One step of a task's opening.
    pub fn advance_opening(&mut self, host: &mut Host, task: TaskId) -> Result<(), String> {
        let Some(process) = &mut host.process else { return Ok(()) };
        // What is being committed of it would come into its database behind what is read now.
        if process.job.as_ref().is_some_and(|job| job.interval.parts.iter().any(|part| part.task == task)) {
            return Ok(());
        }
        let Some(opening) = process.opening.remove(&task) else { return Ok(()) };
        let next = match opening {
            Opening::Offsets => self.offsets(host, task),
            Opening::Restoring { committed, ends, since } => match self.restore(host, task, &ends, since) {
                Restored::Over => Opening::default(),
                Restored::Not => Opening::Restoring { committed, ends, since },
                Restored::All => return self.open(host, task, committed),
            },
        };
        host.process.as_mut().map(|p| p.opening.insert(task, next));
        Ok(())
    }

    fn offsets(&mut self, host: &mut Host, task: TaskId) -> Opening {
        let Ok(committed) = self.broker.stable_offsets(task) else { return Opening::Offsets };
        let stores = self.topology.subs[task.sub].stores.len();
        let end = |store: usize| {
            let log = self.broker.logs.get(&self.changelog(task, store));
            log.map_or(0, |log| if self.planted == Planted::RestoreToLso { log.stable() } else { log.end() })
        };
        let (ends, since) = ((0..stores).map(end).collect(), self.clock);
        host.directory.task(&self.topology, task);
        Opening::Restoring { committed, ends, since }
    }

    /// Reads a piece of a changelog.
    fn restore(&mut self, host: &mut Host, task: TaskId, ends: &[i64], since: i64) -> Restored {
        let state = host.directory.task(&self.topology, task);
        // What a checkpoint says of time holds until the end is reached.
        let of = |store: usize| state.checkpoint(store).unwrap_or(Checkpoint { offset: 0, at: since });
        let old = (0..ends.len()).any(|store| self.clock - of(store).at >= RETENTION_MS);
        if old && self.planted != Planted::OldTombstones {
            host.directory.start_over(&self.topology, task);
            return Restored::Over;
        }
        let Some(store) = (0..ends.len()).find(|store| of(*store).offset < ends[*store]) else {
            let checked = |store: usize| {
                let offset = of(store).offset;
                state.checkpoint_write(store, Checkpoint { offset, at: since })
            };
            state.apply((0..ends.len()).map(checked).collect());
            return Restored::All;
        };
        let (from, at) = (of(store).offset, of(store).at);
        let none = Log::default();
        let log = self.broker.logs.get(&self.changelog(task, store)).unwrap_or(&none);
        let hole = log.next(from);
        let (records, offset) = if hole > from {
            (Vec::new(), hole)
        } else {
            log.run(from, if self.slow { 1 } else { *self.rng.pick(&[1, 3, 20]) })
        };
        // Nothing to read yet: a transaction in front of the end is not decided.
        if offset > from {
            let writes = restore(&batch(&records), state.store(store), state.prefix());
            let mut writes = writes.expect("only hosts write changelogs");
            let at = if self.planted == Planted::FreshPartial { self.clock } else { at };
            writes.push(state.checkpoint_write(store, Checkpoint { offset, at }));
            state.apply(writes);
        }
        Restored::Not
    }

    fn open(&mut self, host: &mut Host, task: TaskId, committed: Option<Committed>) -> Result<(), String> {
        let clocks = host.directory.task(&self.topology, task).clocks();
        let inputs = self.topology.subs[task.sub].inputs.len();
        let positions = committed.as_ref().map_or(vec![0; inputs], |c| c.positions.clone());
        let meta = committed.map(|committed| {
            let mut meta = Meta::decode(&committed.meta).expect("it was written by an engine");
            if let Some(clocks) = clocks.and_then(|bytes| Meta::decode(&bytes)) {
                meta.clocks = clocks.clocks;
            }
            meta.encode()
        });
        let ahead = self.is_ahead(host, meta.as_deref());
        let Some(process) = &mut host.process else { return Ok(()) };
        let token = process.owned[&task];
        process.opened.insert(task, token);
        self.book.opened(&mut process.watched, task, positions, self.now);
        self.step(host, Input::Open { task, meta, start: vec![0; inputs] })?;
        if ahead { self.not_opened(host, task) } else { Ok(()) }
    }
}

enum Restored {
    All,
    Not,
    /// The state was thrown away.
    Over,
}
