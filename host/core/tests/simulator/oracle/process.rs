//! The oracle's processors: a copy of everything before each record, which comes back when the record is refused; timers one after
//! the other, of all that are due those of the earliest time.

use std::collections::BTreeMap;

use millstream_core::topology::spec::*;

use super::super::processors::Desk;
use super::super::roles::{Mark, Running, mark};
use super::fold::{Clock, Event};
use super::{Item, NEVER, Rec, Row};

/// Clock (whether by the wall), key, name.
type Timer = (bool, Option<Vec<u8>>, String);

#[derive(Clone, Debug)]
pub struct ProcState {
    pub process: Process,
    pub function: Option<Running>,
    /// The upstream tasks it goes by; none: by what it has seen.
    pub clock: Option<Clock>,
    observed: i64,
    /// By store and key: when it was written, and the value.
    entries: BTreeMap<(String, Vec<u8>), (i64, Vec<u8>)>,
    timers: BTreeMap<Timer, i64>,
    /// The first time that was known to a call.
    first: i64,
    /// Up to when everything that was due has fired.
    reached: i64,
    /// While a timer fires: the time for entries.
    firing: Option<i64>,
}

/// What comes out: at an output, or a refusal.
pub enum Out {
    Result(u32, Item),
    Refused(&'static str, Item),
}

impl ProcState {
    pub fn new(process: Process, clock: Option<Clock>) -> Self {
        let (entries, timers) = Default::default();
        Self {
            process,
            function: None,
            clock,
            observed: NEVER,
            entries,
            timers,
            first: NEVER,
            reached: NEVER,
            firing: None,
        }
    }

    /// Whether something may still come out by event time.
    pub fn holds(&self) -> bool {
        self.timers.keys().any(|(wall, ..)| !wall)
    }

    fn closing(&self) -> i64 {
        self.clock.as_ref().map_or(self.observed, Clock::closing)
    }

    fn running(&self) -> Running {
        self.function.expect("a processor has a function")
    }

    /// Takes a record in.
    pub fn take(&mut self, item: Item, row: Option<&Row>, input: Option<u32>) -> Vec<Out> {
        let before = self.clone();
        let own = self.time(&item, row);
        let mut out = self.fire_due();
        let refused = match mark(self.running().function, item.rec.value.as_deref()) {
            Some(Mark::Trap | Mark::Bad) => Some("poisoned"),
            Some(Mark::Reject) => Some("rejected"),
            _ => None,
        };
        if let Some(why) = refused {
            *self = before;
            let mut out = self.fire_due();
            out.push(Out::Refused(why, item));
            return out;
        }
        let results = self.running().process(&item.rec, own, input, &mut At(self));
        for (port, rec) in results {
            let window = item.window.filter(|_| rec.key == item.rec.key);
            out.push(Out::Result(port, Item { rec, window, derived: item.derived, old: None, behind: false }));
        }
        out.extend(self.fire_due());
        out
    }

    /// The stream time of a record's own task once it is in.
    fn time(&mut self, item: &Item, row: Option<&Row>) -> i64 {
        match &mut self.clock {
            Some(clock) => clock.own(item.rec.time, row),
            None => {
                self.observed = self.observed.max(item.rec.time);
                self.observed
            }
        }
    }

    /// Fires what is due by event time, until nothing is.
    pub fn fire_due(&mut self) -> Vec<Out> {
        let mut out = Vec::new();
        loop {
            let due = self.timers.iter().filter(|((wall, ..), _)| !wall).map(|(_, due)| *due).min();
            let Some(due) = due.filter(|due| *due <= self.closing()) else {
                self.reached = self.closing();
                return out;
            };
            self.reached = self.reached.max(due);
            let together: Vec<Timer> =
                self.timers.iter().filter(|((wall, ..), at)| !wall && **at == due).map(|(t, _)| t.clone()).collect();
            together.iter().for_each(|timer| _ = self.timers.remove(timer));
            for timer in together {
                self.firing = Some(self.reached);
                out.extend(self.fire(timer, due));
                self.firing = None;
            }
        }
    }

    /// Fires what is due by the wall clock, once each, and what follows by event time.
    pub fn fire_wall(&mut self, now: i64) -> Vec<Out> {
        let mut due: Vec<(i64, Timer)> = self
            .timers
            .iter()
            .filter(|((wall, ..), at)| *wall && **at <= now)
            .map(|(t, at)| (*at, t.clone()))
            .collect();
        due.sort();
        due.iter().for_each(|(_, timer)| _ = self.timers.remove(timer));
        let mut out = Vec::new();
        due.into_iter().for_each(|(at, timer)| out.extend(self.fire(timer, at)));
        out.extend(self.fire_due());
        out
    }

    fn fire(&mut self, (wall, key, name): Timer, due: i64) -> Vec<Out> {
        let rec = Rec { key, value: Some(name.clone().into_bytes()), time: due, headers: Vec::new() };
        let item = |rec: Rec| Item { rec, window: None, derived: true, old: None, behind: false };
        match mark(self.running().function, rec.value.as_deref()) {
            Some(Mark::Trap | Mark::Bad) => return vec![Out::Refused("poisoned", item(rec))],
            Some(Mark::Reject) => return vec![Out::Refused("rejected", item(rec))],
            _ => {}
        }
        let results = self.running().fired(wall, &rec, &name, &mut At(self));
        results.into_iter().map(|(port, rec)| Out::Result(port, item(rec))).collect()
    }

    /// How long entries of a store are kept, and in which steps they age.
    fn ttl(&self, store: &str) -> Option<(i64, i64)> {
        let ttl = self.process.stores.iter().find(|s| s.name == store)?.ttl_ms?;
        Some((ttl, if ttl < 32 { 1 } else { ttl / 16 }))
    }

    /// The time for entries.
    fn now(&self) -> i64 {
        self.firing.unwrap_or(self.closing())
    }

    fn is_there(&self, store: &str, written: i64) -> bool {
        let (Some((ttl, step)), now) = (self.ttl(store), self.now()) else { return true };
        let written = if written == NEVER { self.first } else { written };
        if now == NEVER || written == NEVER {
            return true;
        }
        now / step * step - written / step * step < ttl + step
    }
}

/// A processor's own stores and timers while it is called.
struct At<'p>(&'p mut ProcState);

impl At<'_> {
    fn now(&mut self) -> i64 {
        let now = self.0.now();
        if self.0.first == NEVER {
            self.0.first = now;
        }
        now
    }
}

impl Desk for At<'_> {
    fn get(&mut self, store: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.now();
        let (written, value) = self.0.entries.get(&(store.into(), key.to_vec()))?;
        self.0.is_there(store, *written).then(|| value.clone())
    }
    fn put(&mut self, store: &str, key: &[u8], value: Option<&[u8]>) {
        let (now, id) = (self.now(), (store.to_string(), key.to_vec()));
        match value {
            Some(value) => drop(self.0.entries.insert(id, (now, value.to_vec()))),
            None => drop(self.0.entries.remove(&id)),
        }
    }
    fn range(&mut self, store: &str, start: &[u8], end: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.now();
        let inside = |key: &[u8]| key >= start && (end.is_empty() || key < end);
        let all = self.0.entries.iter().filter(|((s, k), _)| s == store && inside(k));
        let there = all.filter(|(_, (written, _))| self.0.is_there(store, *written));
        there.take(limit).map(|((_, k), (_, v))| (k.clone(), v.clone())).collect()
    }
    fn set(&mut self, wall: bool, key: Option<&[u8]>, name: &str, due: i64) {
        self.now();
        self.0.timers.insert((wall, key.map(<[u8]>::to_vec), name.into()), due.max(0));
    }
    fn cancel(&mut self, wall: bool, key: Option<&[u8]>, name: &str) {
        self.now();
        self.0.timers.remove(&(wall, key.map(<[u8]>::to_vec), name.into()));
    }
}

/// As an aggregate's results and refusals are told, by output.
pub fn events(out: Vec<Out>) -> Vec<(u32, Event)> {
    let event = |out| match out {
        Out::Result(port, item) => (port, Event::Result(item)),
        Out::Refused(why, item) => (0, Event::Refused(why, item)),
    };
    out.into_iter().map(event).collect()
}
