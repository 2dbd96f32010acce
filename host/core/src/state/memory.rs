//! Keyspaces in memory: the twin of the real storage for tests, `millstream test` and the simulator.
//!
//! It needs exclusive access inside and offers shared access outside; the lock is the caller's choice through
//! [`Guard`], since the core knows no threads.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Bound;

use super::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, StorageError, View, Write};

/// All spaces, by number; names beside them.
#[derive(Clone, Debug, Default)]
pub struct Spaces {
    names: BTreeMap<String, u32>,
    data: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// Gives out the spaces, one user at a time: a mutex in a threaded program, a cell in the simulator.
pub trait Guard: Send + Sync {
    /// Runs `f` with exclusive access.
    fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R;
}

/// Keyspaces in memory behind a [`Guard`].
#[derive(Debug, Default)]
pub struct Memory<G>(pub G);

impl Spaces {
    fn space(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.names.get(name) {
            return number;
        }
        let number = self.data.len() as u32;
        self.names.insert(name.to_string(), number);
        self.data.push(BTreeMap::new());
        number
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let upper = to.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in self.data[space.0 as usize].range::<[u8], _>((Bound::Included(from), upper)) {
            if visit(key, value) == Scan::Stop {
                break;
            }
        }
        Ok(())
    }

    fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put(space, key, value) => {
                    self.data[space.0 as usize].insert(key, value);
                }
                Write::Delete(space, key) => {
                    self.data[space.0 as usize].remove(&key);
                }
                Write::DeleteRange(space, from, to) => {
                    remove_range(&mut self.data[space.0 as usize], &from, &to);
                }
            }
        }
    }
}

/// Costs as much as the keys removed, not as all keys of the space: logs are dropped from the front, a little at a time.
fn remove_range(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, from: &[u8], to: &[u8]) {
    if from >= to {
        return;
    }
    let range = (Bound::Included(from), Bound::Excluded(to));
    while let Some((key, _)) = map.range::<[u8], _>(range).next() {
        let key = key.clone();
        map.remove(&key);
    }
}

impl<G: Guard> Keyspaces for Memory<G> {
    fn open_space(&self, name: &str, _kind: SpaceKind) -> Result<Space, StorageError> {
        Ok(Space(self.0.with(|s| s.space(name))))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.0.with(|s| s.data[space.0 as usize].get(key).cloned()))
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        self.0.with(|s| s.scan(space, from, to, visit))
    }

    fn last(&self, space: Space, from: &[u8], before: &[u8]) -> Result<Option<(Vec<u8>, Vec<u8>)>, StorageError> {
        if before <= from {
            return Ok(None);
        }
        let range = (Bound::Included(from), Bound::Excluded(before));
        Ok(self.0.with(|s| {
            s.data[space.0 as usize].range::<[u8], _>(range).next_back().map(|(k, v)| (k.clone(), v.clone()))
        }))
    }

    fn apply(&self, writes: Vec<Write>, _durability: Durability) -> Result<(), StorageError> {
        self.0.with(|s| s.apply(writes));
        Ok(())
    }

    /// A copy of everything.
    fn view(&self) -> Result<Box<dyn View + '_>, StorageError> {
        Ok(Box::new(self.0.with(|s| s.clone())))
    }
}

impl View for Spaces {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.data[space.0 as usize].get(key).cloned())
    }

    fn scan(
        &self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Scan,
    ) -> Result<(), StorageError> {
        Spaces::scan(self, space, from, to, visit)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;

    use super::*;

    /// Spaces behind a mutex.
    #[derive(Default)]
    pub struct Locked(std::sync::Mutex<Spaces>);

    impl Guard for Locked {
        fn with<R>(&self, f: impl FnOnce(&mut Spaces) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }

    /// Everything in a space.
    pub fn all(db: &dyn Keyspaces, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut out = Vec::new();
        db.scan(space, b"", None, &mut |key, value| {
            out.push((key.to_vec(), value.to_vec()));
            Scan::Continue
        })
        .unwrap();
        out
    }
}
