//! The functions of a case as the engine calls them: in batches, over columns, with every freedom that the contract leaves
//! (stopping early, leaving unchanged columns out) and every fault that it knows. What they compute is in `roles`.

use std::collections::BTreeMap;

use millstream_core::function::*;
use millstream_core::poll::Polled;
use millstream_core::record::{BytesColumn, HeaderColumns};
use millstream_core::task::TaskId;

use super::case::Case;
use super::layouts;
use super::processors::{Desk, STORES};
use super::rng::Rng;
use super::roles::{Mark, Rec, Role, Running, keeps, mark, mark_of_pair};
use super::standing::Standing;

/// Numbers of prepared functions: number of the version × this + number of the function.
pub const FUNCTIONS_MAX: u32 = 64;

/// The limit that time-outs tell of; small, so that many fit into isolation's budget.
const LIMIT_MS: u64 = 1;

/// Calls of a function between two faults of its instance: more than isolating a batch takes.
const CALM_CALLS: u32 = 200;

pub struct Native {
    roles: Vec<Role>,
    rng: Rng,
    flaky: bool,
    /// Calls that fail from now on, whatever they are given.
    failing: u32,
    /// By function, calls that are let through before the next may fail: faults in a row are a broken function.
    calm: [u32; FUNCTIONS_MAX as usize],
    /// Those whose next call has more time.
    stretched: Vec<Prepared>,
    /// A planted bug: states of a call that failed count all the same.
    pub leaks: bool,
    /// A planted bug: versions that are called instead of others, by function.
    pub newest: BTreeMap<usize, Prepared>,
    leaked: Vec<(Vec<u8>, Option<i64>, Vec<u8>)>,
    /// Functions with a migrator.
    migrators: Vec<bool>,
    /// A planted bug: states keep their layout, and are said to have the new one.
    pub keeps_layouts: bool,
    /// Calls of processors that stand.
    pub standing: Standing,
    /// A planted bug: that calls are taken back is told to nobody.
    pub stands_always: bool,
}

/// Results of a call, each with the record that it came from.
#[derive(Default)]
struct Results {
    sources: Vec<u32>,
    ports: Vec<u32>,
    out: Vec<Rec>,
    given: Vec<Rec>,
}

impl Results {
    /// Adds what came of record `i`.
    fn add(&mut self, i: usize, made: Vec<(u32, Rec)>, of: &Rec) {
        for (port, result) in made {
            self.sources.push(i as u32);
            self.ports.push(port);
            self.out.push(result);
            self.given.push(of.clone());
        }
    }
}

/// Which columns a function may give; `port`: it always gives ports.
#[derive(Clone, Copy)]
struct May {
    key: bool,
    rest: bool,
    port: bool,
}

/// What a call that is not let through gives.
enum Stop {
    Fault(Fault),
    /// An answer that breaks the contract.
    Bad,
}

impl Native {
    pub fn new(case: &Case, rng: Rng) -> Self {
        let (roles, flaky) = (&case.roles, case.flaky);
        Self {
            migrators: layouts::migrators(&case.spec, roles),
            keeps_layouts: false,
            standing: Standing::default(),
            stands_always: false,
            roles: roles.to_vec(),
            rng,
            flaky,
            failing: 0,
            calm: [0; FUNCTIONS_MAX as usize],
            stretched: Vec::new(),
            leaks: false,
            newest: BTreeMap::new(),
            leaked: Vec::new(),
        }
    }

    fn running(&self, f: Prepared) -> Running {
        let function = (f.0 % FUNCTIONS_MAX) as usize;
        let called = self.newest.get(&function).copied().unwrap_or(f);
        Running { function, role: self.roles[function], version: u64::from(called.0 / FUNCTIONS_MAX) }
    }

    fn migrates(&self, f: Prepared) -> bool {
        self.migrators[(f.0 % FUNCTIONS_MAX) as usize]
    }

    /// States as they are of states in the layout of a version, or the other way round.
    fn turned(&self, f: Prepared, states: &BytesColumn) -> BytesColumn {
        if self.migrates(f) { layouts::turned(f, states) } else { states.clone() }
    }

    /// Faults of the instance, which say nothing of the records.
    fn instance(&mut self, f: Prepared, len: usize) -> Result<(), Stop> {
        let calm = &mut self.calm[(f.0 % FUNCTIONS_MAX) as usize];
        if self.failing > 0 {
            self.failing -= 1;
            return Err(Stop::Fault(self.any_fault()));
        }
        if !self.flaky || *calm > 0 {
            *calm = calm.saturating_sub(1);
            return Ok(());
        }
        let times = match self.rng.below(80) {
            // Twice in a row; a record alone that failed twice would rightly count as poisoned.
            0 if len > 1 => 2,
            1 | 2 => 1,
            3 if self.rng.one_in(4) => return Err(Stop::Fault(Fault::Unavailable { message: "planned".into() })),
            _ => return Ok(()),
        };
        *calm = CALM_CALLS;
        self.failing = times - 1;
        Err(Stop::Fault(self.any_fault()))
    }

    fn any_fault(&mut self) -> Fault {
        match self.rng.below(4) {
            0 => Fault::OutOfMemory { what: "planned".into() },
            1 => Fault::Refused { message: "planned".into() },
            2 => Fault::BadResult { what: "planned".into() },
            _ => Fault::Trap { message: "planned".into() },
        }
    }

    /// Lets a call over these values through, with the places of those that are refused.
    fn enter<'v>(
        &mut self,
        f: Prepared,
        values: impl Iterator<Item = Option<&'v [u8]>>,
    ) -> Result<Vec<Rejection>, Stop> {
        let function = (f.0 % FUNCTIONS_MAX) as usize;
        self.let_through(f, values.map(|v| mark(function, v)).collect())
    }

    /// Lets a call over records with these marks through, with the places of those that are refused.
    fn let_through(&mut self, f: Prepared, marks: Vec<Option<Mark>>) -> Result<Vec<Rejection>, Stop> {
        let stretched = self.stretched.contains(&f);
        self.stretched.retain(|other| *other != f);
        if !stretched {
            self.instance(f, marks.len())?;
        }
        let has = |m: Mark| marks.contains(&Some(m));
        if has(Mark::Trap) {
            return Err(Stop::Fault(Fault::Trap { message: "P".into() }));
        }
        if has(Mark::Slow) && !stretched {
            return Err(Stop::Fault(Fault::TimedOut { limit_ms: LIMIT_MS }));
        }
        if has(Mark::Bad) {
            return Err(Stop::Bad);
        }
        let rejected = marks.iter().enumerate().filter(|(_, m)| **m == Some(Mark::Reject));
        Ok(rejected.map(|(i, _)| Rejection { index: i as u32, reason: "R".into() }).collect())
    }
}

fn rec(records: &Records<'_>, context: &Context<'_>, i: usize) -> Rec {
    let own = |c: &BytesColumn| c.get(i).map(<[u8]>::to_vec);
    let headers = context.headers.iter().flat_map(|h| h.of(i));
    Rec {
        key: own(records.keys),
        value: own(records.values),
        time: records.timestamps[i],
        headers: headers.map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect(),
    }
}

fn values<'r>(records: &Records<'r>) -> impl Iterator<Item = Option<&'r [u8]>> + use<'r> {
    let values = records.values;
    (0..values.len()).map(move |i| values.get(i))
}

impl Native {
    fn mapped(
        &mut self,
        f: Prepared,
        context: &Context<'_>,
        records: &Records<'_>,
        rejected: Vec<Rejection>,
    ) -> Output {
        let running = self.running(f);
        // Stops early now and then, as a mapper may.
        let all = records.keys.len();
        let taken = if self.rng.one_in(4) { 1 + self.rng.below(all as u64) as usize } else { all };
        let rejected: Vec<Rejection> = rejected.into_iter().filter(|r| (r.index as usize) < taken).collect();
        let (mut sources, mut ports, mut out, mut given) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for i in (0..taken).filter(|i| rejected.iter().all(|r| r.index as usize != *i)) {
            let source = rec(records, context, i);
            let stream = context.stream_times.get(i).copied().unwrap_or(i64::MIN);
            for (port, result) in running.map(&source, stream, context.inputs.map(|inputs| inputs[i])) {
                sources.push(i as u32);
                ports.push(port);
                out.push(result);
                given.push(source.clone());
            }
        }
        let route = matches!(running.role, Role::Route { .. });
        let keys =
            matches!(running.role, Role::Rekey { .. } | Role::Key | Role::Fan { keys: true } | Role::When { .. });
        let may = May { key: keys, rest: !route, port: route };
        self.output(taken, Results { sources, ports, out, given }, rejected, may)
    }

    /// Names and partitions; of a refused record such as nobody may mind.
    fn routed(&self, f: Prepared, context: &Context<'_>, records: &Records<'_>, rejected: Vec<Rejection>) -> Routed {
        let running = self.running(f);
        let window = |i: usize| context.windows.map(|(starts, ends)| (starts[i], ends[i])).filter(|w| w.0 != i64::MIN);
        let way = |i: usize| {
            if rejected.iter().any(|r| r.index as usize == i) {
                return (Some(b"of a refused record".to_vec()), Some(0));
            }
            let stream = context.stream_times.get(i).copied().unwrap_or(i64::MIN);
            running.route(&rec(records, context, i), window(i), stream)
        };
        let (topics, partitions): (Vec<_>, Vec<_>) = (0..records.keys.len()).map(way).unzip();
        // Said of all records of a call or of none.
        let says = matches!(running.role, Role::Router { parts: true, .. });
        Routed {
            topics: topics.iter().map(Option::as_deref).collect(),
            partitions: says.then(|| partitions.into_iter().flatten().collect()),
            rejected,
        }
    }

    /// An answer with something too few.
    fn badly_routed(&mut self, f: Prepared, count: usize) -> Routed {
        let parts = matches!(self.running(f).role, Role::Router { parts: true, .. }) && self.rng.one_in(2);
        let (topics, partitions) = if parts { (count, Some(vec![0; count - 1])) } else { (count - 1, None) };
        Routed { topics: BytesColumn::nulls(topics), partitions, rejected: vec![] }
    }

    /// A processor's answer. `ended`: the host has ended the call.
    fn answered(
        &mut self,
        entered: Result<Vec<Rejection>, Stop>,
        ended: bool,
        taken: usize,
        results: Results,
    ) -> Answer<Output> {
        match entered {
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Bad) => Ok(Output { taken: 0, ..Output::default() }),
            Ok(_) if ended => Err(Fault::Trap { message: "ended".into() }),
            Ok(rejected) => {
                let rejected = rejected.into_iter().filter(|r| (r.index as usize) < taken).collect();
                let port = results.ports.iter().any(|port| *port > 0);
                Ok(self.output(taken, results, rejected, May { key: true, rest: true, port }))
            }
        }
    }

    /// Results as columns. Those that are as they were may be left out, or not.
    fn output(&mut self, taken: usize, results: Results, rejected: Vec<Rejection>, may: May) -> Output {
        let Results { sources, ports, out, given } = results;
        let mut told = |changed: bool, allowed: bool| allowed && (changed || self.rng.one_in(2));
        let differs = |f: fn(&Rec, &Rec) -> bool| out.iter().zip(&given).any(|(a, b)| f(a, b));
        let keys = told(differs(|a, b| a.key != b.key), may.key);
        let values = told(differs(|a, b| a.value != b.value), may.rest);
        let times = told(differs(|a, b| a.time != b.time), may.rest);
        let headers = told(differs(|a, b| a.headers != b.headers), may.rest);
        let one_each =
            rejected.is_empty() && sources.iter().enumerate().all(|(i, s)| i as u32 == *s) && sources.len() == taken;
        let mut columns = HeaderColumns::default();
        out.iter().for_each(|r| columns.push(r.headers.iter().map(|(n, v)| (&n[..], v.as_deref()))));
        Output {
            taken: taken as u32,
            sources: (!one_each || self.rng.one_in(2)).then_some(sources),
            ports: (may.port || self.rng.one_in(2)).then_some(ports),
            keys: keys.then(|| out.iter().map(|r| r.key.as_deref()).collect()),
            values: values.then(|| out.iter().map(|r| r.value.as_deref()).collect()),
            timestamps: times.then(|| out.iter().map(|r| r.time).collect()),
            headers: headers.then_some(columns),
            rejected,
        }
    }

    /// Folds the members of each group that are not refused.
    fn folded(
        &self,
        f: Prepared,
        times: &[i64],
        into: &Groups<'_>,
        records: &Records<'_>,
        skip: &[Rejection],
    ) -> Vec<Option<Vec<u8>>> {
        let running = self.running(f);
        (0..into.keys.len())
            .map(|g| {
                let mut state = into.states.get(g).map(<[u8]>::to_vec);
                let start = into.starts.get(g).copied();
                let key = into.keys.get(g).unwrap_or_default();
                if let Some((_, _, leaked)) = self.leaked.iter().find(|l| l.0 == key && l.1 == start) {
                    state = Some(leaked.clone());
                }
                for place in into.offsets[g]..into.offsets[g + 1] {
                    let m = into.members[place as usize] as usize;
                    if skip.iter().all(|r| r.index != place) {
                        let value = records.values.get(m).unwrap_or_default();
                        state = running.add(state.as_deref(), value, times.get(m).copied().unwrap_or(0));
                    }
                }
                state
            })
            .collect()
    }

    /// Keeps what a failing call has written before it failed.
    fn leak(&mut self, f: Prepared, times: &[i64], into: &Groups<'_>, records: &Records<'_>) {
        let states = self.folded(f, times, into, records, &[]);
        for (g, state) in states.into_iter().enumerate() {
            let key = into.keys.get(g).unwrap_or_default().to_vec();
            self.leaked.extend(state.map(|s| (key, into.starts.get(g).copied(), s)));
        }
    }
}

impl Functions for Native {
    fn reads(&mut self, _: TaskId, _: &Polled) {
        self.standing.reads();
    }
    fn calls_made(&self) -> u64 {
        self.standing.made()
    }
    fn calls_taken_back(&mut self, first: u64) {
        if !self.stands_always {
            self.standing.taken_back(first);
        }
    }
    fn calls_stand(&mut self) {
        self.standing.stand();
    }

    fn wants_stream_times(&self, f: Prepared) -> bool {
        match self.running(f).role {
            Role::Stamp { timed } => timed,
            Role::Sum(sum) => sum.timed,
            Role::Proc(proc) => proc.timed,
            Role::When { timed, .. } | Role::Router { timed, .. } => timed,
            _ => false,
        }
    }
    fn exports(&self, f: Prepared, interface: Interface) -> bool {
        interface != Interface::Migrator || self.migrates(f)
    }
    fn layout(&self, f: Prepared) -> u32 {
        if self.migrates(f) {
            return layouts::layout(f);
        }
        // Those that go on with each other's states agree about them.
        if matches!(self.running(f).role, Role::Sum(sum) if sum.shared) { FUNCTIONS_MAX } else { f.0 % FUNCTIONS_MAX }
    }
    fn renew(&mut self, _: Prepared) {}
    fn stretch(&mut self, f: Prepared, _: u32) {
        self.stretched.push(f);
    }
    fn stretched(&self, f: Prepared) -> u32 {
        if self.stretched.contains(&f) { 2 } else { 1 }
    }
    fn keep(&mut self, f: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let mut bits = vec![0; records.keys.len().div_ceil(8)];
        match self.enter(f, values(&records)) {
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Bad) => Ok(Kept { bits: [bits, vec![0]].concat(), rejected: vec![] }),
            Ok(rejected) => {
                let function = self.running(f).function;
                let keeps = |i: usize| keeps(function, &rec(&records, &context, i));
                (0..records.keys.len()).for_each(|i| bits[i / 8] |= u8::from(keeps(i)) << (i % 8));
                Ok(Kept { bits, rejected })
            }
        }
    }
    fn apply(&mut self, f: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Output> {
        match self.enter(f, values(&records)) {
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Bad) => Ok(Output { taken: 0, ..Output::default() }),
            Ok(rejected) => Ok(self.mapped(f, &context, &records, rejected)),
        }
    }
    fn route(&mut self, f: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Routed> {
        match self.enter(f, values(&records)) {
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Bad) => Ok(self.badly_routed(f, records.keys.len())),
            Ok(rejected) => Ok(self.routed(f, &context, &records, rejected)),
        }
    }
    fn add(&mut self, f: Prepared, context: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        let members = into.members.iter().map(|m| records.values.get(*m as usize));
        let plain = self.turned(f, into.states);
        let into = Groups { states: &plain, ..into };
        match self.enter(f, members) {
            Err(Stop::Fault(fault)) => {
                if self.leaks && !matches!(fault, Fault::Unavailable { .. }) {
                    self.leak(f, context.stream_times, &into, &records);
                }
                Err(fault)
            }
            Err(Stop::Bad) => Ok(Folded { states: BytesColumn::nulls(into.keys.len() + 1), rejected: vec![] }),
            Ok(rejected) => {
                let states = self.folded(f, context.stream_times, &into, &records, &rejected);
                self.leaked.clear();
                let states = self.turned(f, &states.iter().map(Option::as_deref).collect());
                Ok(Folded { states, rejected })
            }
        }
    }
    fn finish(&mut self, f: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        let running = self.running(f);
        let plain = self.turned(f, of.states);
        let state = |g: usize| plain.get(g).unwrap_or_default();
        if let Err(Stop::Fault(fault)) = self.instance(f, of.keys.len()) {
            return Err(fault);
        }
        if (0..of.keys.len()).any(|g| running.breaks(state(g))) {
            return Err(Fault::Trap { message: "this state".into() });
        }
        let values = (0..of.keys.len()).map(|g| running.finish(state(g), of.starts.get(g).copied()));
        Ok(values.collect::<Vec<_>>().iter().map(Option::as_deref).collect())
    }
    fn remove(&mut self, f: Prepared, context: Context<'_>, from: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        let value = |m: u32| records.values.get(m as usize);
        let rejected = match self.enter(f, from.members.iter().map(|m| value(*m))) {
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Bad) => {
                return Ok(Folded { states: BytesColumn::nulls(from.keys.len() + 1), rejected: vec![] });
            }
            Ok(rejected) => rejected,
        };
        let running = self.running(f);
        let plain = self.turned(f, from.states);
        let left = |g: usize| {
            let mut state = plain.get(g).map(<[u8]>::to_vec);
            for place in from.offsets[g]..from.offsets[g + 1] {
                let m = from.members[place as usize];
                if rejected.iter().all(|r| r.index != place) {
                    let own = context.stream_times.get(m as usize).copied().unwrap_or(0);
                    // A group that went with the record before is gone: nothing is left to take from.
                    state = state.and_then(|s| running.take_out(&s, value(m).unwrap_or_default(), own));
                }
            }
            state
        };
        let states: Vec<_> = (0..from.keys.len()).map(left).collect();
        let states = self.turned(f, &states.iter().map(Option::as_deref).collect());
        Ok(Folded { states, rejected })
    }
    fn scan(&mut self, f: Prepared, context: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Scanned> {
        let value = |m: u32| records.values.get(m as usize);
        let rejected = match self.enter(f, into.members.iter().map(|m| value(*m))) {
            Err(Stop::Fault(fault)) => return Err(fault),
            Err(Stop::Bad) => {
                // One value too few, and all the rest as it should be.
                let (states, values) = (into.states.clone(), BytesColumn::nulls(into.members.len() - 1));
                return Ok(Scanned { states, values, rejected: vec![] });
            }
            Ok(rejected) => rejected,
        };
        let running = self.running(f);
        let (mut states, mut values) = (Vec::new(), Vec::new());
        let plain = self.turned(f, into.states);
        for g in 0..into.keys.len() {
            let mut state = plain.get(g).map(<[u8]>::to_vec);
            for place in into.offsets[g]..into.offsets[g + 1] {
                let m = into.members[place as usize];
                if rejected.iter().any(|r| r.index == place) {
                    values.push(Some(b"of a refused record".to_vec()));
                    continue;
                }
                let own = context.stream_times.get(m as usize).copied().unwrap_or(0);
                state = running.add(state.as_deref(), value(m).unwrap_or_default(), own);
                values.push(state.as_deref().and_then(|s| running.finish(s, into.starts.get(g).copied())));
            }
            states.push(state);
        }
        let column = |items: &[Option<Vec<u8>>]| items.iter().map(Option::as_deref).collect::<BytesColumn>();
        Ok(Scanned { states: self.turned(f, &column(&states)), values: column(&values), rejected })
    }
    fn merge(&mut self, f: Prepared, _: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<BytesColumn> {
        if let Err(Stop::Fault(fault)) = self.instance(f, left.len()) {
            return Err(fault);
        }
        let (running, left, right) = (self.running(f), self.turned(f, left), self.turned(f, right));
        let state = |of: &BytesColumn, i: usize| of.get(i).expect("states that are merged are there").to_vec();
        let merged: Vec<_> = (0..left.len()).map(|i| running.merge(&state(&left, i), &state(&right, i))).collect();
        Ok(self.turned(f, &merged.iter().map(|state| Some(&state[..])).collect()))
    }
    fn migrate(
        &mut self,
        f: Prepared,
        store: &str,
        old: u32,
        new: u32,
        _: &BytesColumn,
        states: &BytesColumn,
    ) -> Answer<BytesColumn> {
        let is_named =
            if matches!(self.running(f).role, Role::Proc(_)) { STORES.contains(&store) } else { store.is_empty() };
        assert!(is_named, "{f:?}: in store `{store}`");
        assert!(self.migrates(f) && new == layouts::layout(f) && old != new, "{f:?}: from {old} to {new}");
        if let Err(Stop::Fault(fault)) = self.instance(f, states.len()) {
            return Err(fault);
        }
        Ok(if self.keeps_layouts { states.clone() } else { layouts::migrated(old, new, states) })
    }
    fn join(&mut self, f: Prepared, keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<Joined> {
        let (running, count) = (self.running(f), keys.len());
        let marks = (0..count).map(|i| mark_of_pair(running.function, left.get(i), right.get(i))).collect();
        match self.let_through(f, marks) {
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Bad) => Ok(Joined { values: BytesColumn::nulls(count + 1), rejected: vec![] }),
            Ok(rejected) => {
                let values: Vec<_> = (0..count).map(|i| running.pair(left.get(i), right.get(i))).collect();
                Ok(Joined { values: values.iter().map(Option::as_deref).collect(), rejected })
            }
        }
    }
    fn process(
        &mut self,
        f: Prepared,
        context: Context<'_>,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        let entered = self.enter(f, values(&records));
        let running = self.running(f);
        let rejected = entered.as_ref().map(Clone::clone).unwrap_or_default();
        // Stops before the first record that a timer is due at which it has set, or anywhere, or nowhere.
        let all = records.keys.len();
        let mut taken = if self.rng.one_in(4) { 1 + self.rng.below(all as u64) as usize } else { all };
        let polite = self.rng.one_in(2);
        let (mut asking, mut results) =
            (Asking { host, turns: self.migrates(f).then_some(f), earliest: None, ended: false }, Results::default());
        for i in 0..taken {
            if polite && i > 0 && asking.earliest.is_some_and(|due| due <= records.timestamps[i]) {
                taken = i;
                break;
            }
            let source = rec(&records, &context, i);
            let stream = context.stream_times.get(i).copied().unwrap_or(i64::MIN);
            let made = running.process(&source, stream, context.inputs.map(|inputs| inputs[i]), &mut asking);
            // What is refused has written something all the same.
            if rejected.iter().all(|r| r.index as usize != i) {
                results.add(i, made, &source);
            }
        }
        let (ended, place) = (asking.ended, asking.host.place());
        let answer = self.answered(entered, ended, taken, results);
        self.standing.call(&place, context.rows, answer.as_ref().ok().map(|output| output.taken as usize));
        answer
    }
    fn fire(&mut self, f: Prepared, clock: TimerClock, due: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
        let entered = self.enter(f, values(&due));
        let running = self.running(f);
        let rejected = entered.as_ref().map(Clone::clone).unwrap_or_default();
        let all = due.keys.len();
        let taken = if self.rng.one_in(4) { 1 + self.rng.below(all as u64) as usize } else { all };
        let (mut asking, mut results) =
            (Asking { host, turns: self.migrates(f).then_some(f), earliest: None, ended: false }, Results::default());
        for i in 0..taken {
            let timer = rec(&due, &Context::default(), i);
            let name = String::from_utf8(timer.value.clone().unwrap_or_default()).expect("names are text");
            let made = running.fired(clock == TimerClock::WallClock, &timer, &name, &mut asking);
            if rejected.iter().all(|r| r.index as usize != i) {
                results.add(i, made, &timer);
            }
        }
        let ended = asking.ended;
        self.answered(entered, ended, taken, results)
    }
}

/// The host's stores and timers, one question at a time.
struct Asking<'h> {
    host: &'h mut dyn Hosted,
    /// The version, where it has a layout of its own.
    turns: Option<Prepared>,
    /// The earliest timer by event time that was set.
    earliest: Option<i64>,
    /// The host has ended the call.
    ended: bool,
}

impl Asking<'_> {
    fn answer<T: Default>(&mut self, answer: Result<T, millstream_core::function::Stop>) -> T {
        self.ended |= answer.is_err();
        answer.unwrap_or_default()
    }

    fn turned(&self, value: &[u8]) -> Vec<u8> {
        self.turns.map_or_else(|| value.to_vec(), |f| layouts::turned_one(f, value))
    }
}

fn clock(wall: bool) -> TimerClock {
    if wall { TimerClock::WallClock } else { TimerClock::EventTime }
}

fn one(item: Option<&[u8]>) -> BytesColumn {
    [item].into_iter().collect()
}

impl Desk for Asking<'_> {
    fn get(&mut self, store: &str, key: &[u8]) -> Option<Vec<u8>> {
        let store = self.host.store(store).expect("it is named in the case");
        let values = self.host.get(store, &one(Some(key)));
        let values = self.answer(values);
        (!values.is_empty()).then(|| values.get(0).map(|value| self.turned(value))).flatten()
    }
    fn put(&mut self, store: &str, key: &[u8], value: Option<&[u8]>) {
        let store = self.host.store(store).expect("it is named in the case");
        let value = value.map(|value| self.turned(value));
        let done = self.host.put(store, &one(Some(key)), &one(value.as_deref()));
        self.answer(done);
    }
    fn range(&mut self, store: &str, start: &[u8], end: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let store = self.host.store(store).expect("it is named in the case");
        let found = self.host.range(store, start, end, limit as u32);
        let (keys, values) = self.answer(found);
        let own = |c: &BytesColumn, i: usize| c.get(i).expect("a range has no nulls").to_vec();
        (0..keys.len()).map(|i| (own(&keys, i), self.turned(&own(&values, i)))).collect()
    }
    fn set(&mut self, wall: bool, key: Option<&[u8]>, name: &str, due: i64) {
        if !wall {
            self.earliest = Some(self.earliest.map_or(due, |earliest| earliest.min(due)));
        }
        let done = self.host.set(clock(wall), &one(key), name, &[due]);
        self.answer(done);
    }
    fn cancel(&mut self, wall: bool, key: Option<&[u8]>, name: &str) {
        let done = self.host.cancel(clock(wall), &one(key), name);
        self.answer(done);
    }
}
