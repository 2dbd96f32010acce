//! Whether a version can go on with the states that are stored, in each layout in which they may be: it reads that, or a version that wrote
//! it turns it back. And when none is in another layout any more, which each host tells of its own tasks. How states are brought into
//! another layout is [`millstream_core::operator::migrate`]'s matter, which layouts are stored that of [`millstream_core::swap::layouts`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use millstream_core::function::Prepared;
use millstream_core::operator::migrate::keeps_states_of;
use millstream_core::swap::layouts::Stored;
use millstream_core::swap::{Entry, Version};
use millstream_core::topology::graph::Topology;
use millstream_wasm::Layouts;
use tracing::{info, warn};

use super::turn::APPEND_AGAIN;
use super::{Fleet, State};
use crate::runtime::status::Status;

/// What sweeps over states have come to on this host.
pub struct Sweeps {
    /// Where tasks tell it.
    pub status: Arc<Status>,
    /// The pipeline.
    pub topology: Arc<Topology>,
}

impl Sweeps {
    /// Into how many parts the states of a function, given by its number, are divided: a step's by its tasks.
    fn parts(&self, function: usize) -> u32 {
        let steps = |nodes: &[_]| nodes.iter().filter(|node| keeps_states_of(node, function)).count() as u32;
        self.topology.subs.iter().map(|sub| steps(&sub.nodes) * sub.tasks).sum()
    }

    /// The parts here that are done, with the epoch at which their sweeps began.
    fn done(&self, function: usize) -> Vec<(u64, String)> {
        let mut done = Vec::new();
        for (task, status) in self.status.tasks() {
            for (step, sweep) in status.sweeps.iter().filter(|(_, sweep)| sweep.done) {
                let epoch = sweep.epochs.iter().find(|(of, _)| *of == function).map(|(_, epoch)| *epoch);
                done.extend(epoch.map(|epoch| (epoch, format!("{step}/{}", task.partition))));
            }
        }
        done
    }
}

/// How a version gets at states in a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is its own layout, or it reads it.
    Reads,
    /// The version that wrote it turns it back.
    Back,
}

/// How a version gets at what is `stored`; `by`: the layouts of the newest version that wrote those.
///
/// # Errors
/// Why it does not.
fn way(stored: u32, new: &Layouts, by: Option<&Layouts>) -> Result<Way, String> {
    if stored == new.current || new.reads.contains(&stored) {
        return Ok(Way::Reads);
    }
    if by.is_some_and(|by| by.current == stored && by.writes.contains(&new.current)) {
        return Ok(Way::Back);
    }
    let reads: Vec<String> = new.reads.iter().map(|layout| format!(" and {layout}")).collect();
    Err(format!(
        "states may be stored in layout {stored}, this version reads layout {}{}, and the version that wrote them does not turn them back: \
         deploy one whose `migrator` reads {stored}, or wait until a sweep has brought all states into another layout, as `status` shows",
        new.current,
        reads.concat()
    ))
}

impl Fleet {
    /// Whether a version can go on with what is stored, and how: noted with it.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn can_go_on(&self, number: usize, prepared: Prepared) -> anyhow::Result<()> {
        let hindrances = self.find_ways(number, prepared);
        match hindrances.into_iter().next() {
            Some(why) => anyhow::bail!("function `{}` was refused: {why}", self.functions[number].plan.name),
            None => Ok(()),
        }
    }

    /// Finds for a version that is in force the ways to what is stored; where there is none, a step that meets such a state stops.
    pub(super) fn find_all_ways(&self, number: usize, prepared: Prepared) {
        for why in self.find_ways(number, prepared) {
            warn!(function = self.functions[number].plan.name, "{why}");
        }
    }

    /// Finds the ways to what is stored and notes them; gives what is in the way of the others.
    fn find_ways(&self, number: usize, prepared: Prepared) -> Vec<String> {
        let versions: Vec<_> = {
            let state = self.lock();
            let here = |version: &Version| self.prepared_of(&state, number, version);
            let all = self.wanted_of(&state, number, prepared).into_iter();
            all.map(|(layout, version)| (layout, here(&version), version)).collect()
        };
        let ready = versions.into_iter().map(|(layout, here, version)| {
            let by = here.map_or_else(|| self.prepare_version(number, &version), Ok);
            (layout, by.map_err(|why| format!("{why:#}")))
        });
        self.note_ways(prepared, ready.collect())
    }

    /// The same while the state is locked: of versions that are prepared here, and without a word of the others.
    pub(super) fn find_ways_here(&self, state: &State, number: usize, prepared: Prepared) {
        let mut ready = Vec::new();
        for (layout, version) in self.wanted_of(state, number, prepared) {
            if let Some(by) = self.prepared_of(state, number, &version) {
                ready.push((layout, Ok(by)));
            }
        }
        self.note_ways(prepared, ready);
    }

    /// Versions that may turn states back for a version: of each layout that is stored and that it does not read.
    fn wanted_of(&self, state: &State, number: usize, prepared: Prepared) -> Vec<(u32, Version)> {
        let new = self.registry.layouts(prepared);
        let held = state.control.function(&self.functions[number].plan.name);
        let stored =
            held.filter(|_| self.sweeps.parts(number) > 0).into_iter().flat_map(|held| held.stored().versions());
        let others = stored.filter(|(layout, _)| way(*layout, &new, None).is_err());
        others.map(|(layout, version)| (layout, version.clone())).collect()
    }

    fn note_ways(&self, prepared: Prepared, ready: Vec<(u32, Result<Prepared, String>)>) -> Vec<String> {
        let (mut ways, mut hindrances, new) = (BTreeMap::new(), Vec::new(), self.registry.layouts(prepared));
        for (layout, by) in ready {
            let found = by.and_then(|by| way(layout, &new, Some(&self.registry.layouts(by))).map(|_| by));
            match found {
                Ok(by) => drop(ways.insert(layout, by)),
                Err(why) => hindrances.push(why),
            }
        }
        self.registry.set_ways_back(prepared, ways);
        hindrances
    }

    /// Says which parts of functions' states sweeps have gone over here, as long as others may be stored in another layout.
    pub(super) fn tell_swept(&self) {
        for (number, wanted) in self.functions.iter().enumerate() {
            let name = &wanted.plan.name;
            let entries = {
                let mut state = self.lock();
                let State { control, told_swept, at_end, .. } = &mut *state;
                let Some(held) = control.function(name).filter(|_| *at_end) else { continue };
                let is_told = told_swept.get(&number).is_some_and(|at| at.elapsed() < APPEND_AGAIN);
                if held.stored().versions().count() < 2 || is_told {
                    continue;
                }
                let entries = swept(name, held.stored(), self.sweeps.done(number), self.sweeps.parts(number));
                if !entries.is_empty() {
                    told_swept.insert(number, Instant::now());
                }
                entries
            };
            for entry in entries {
                match self.ledger.append(&entry) {
                    Ok(()) => info!(function = name, "states here are all in the layout of the version in force"),
                    Err(why) => warn!(error = format!("{why:#}"), "the control log could not be written, trying again"),
                }
            }
        }
    }
}

/// What is to be said of parts that are done; an entry for each epoch at which their sweeps began.
fn swept(function: &str, stored: &Stored, done: Vec<(u64, String)>, of: u32) -> Vec<Entry> {
    let mut by_epoch: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for (epoch, part) in done.into_iter().filter(|(epoch, part)| stored.wants(*epoch, part)) {
        by_epoch.entry(epoch).or_default().push(part);
    }
    let entry = |(epoch, parts)| Entry::Swept { function: function.to_string(), epoch, parts, of };
    by_epoch.into_iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_reads_what_is_stored_or_it_is_turned_back_or_says_why_not() {
        let new =
            |current, reads: &[u32], writes: &[u32]| Layouts { current, reads: reads.into(), writes: writes.into() };
        assert_eq!(way(1, &new(1, &[], &[]), None), Ok(Way::Reads), "the same layout");
        assert_eq!(way(0, &new(1, &[0], &[]), None), Ok(Way::Reads), "it turns it");
        assert_eq!(way(2, &new(1, &[], &[]), Some(&new(2, &[1], &[1]))), Ok(Way::Back));
        for by in [None, Some(new(2, &[1], &[])), Some(new(2, &[1], &[0])), Some(new(3, &[], &[1]))] {
            let why = way(2, &new(1, &[0], &[]), by.as_ref()).unwrap_err();
            assert!(why.contains("in layout 2") && why.contains("reads layout 1 and 0"), "{why}");
        }
    }
}
