//! What stands between a worker and its functions: every call goes through as it came; of those of a function that has a version on
//! trial a copy is taken, with the answer. While nothing is on trial that costs the look at one number.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_core::function::{
    Answer, Context, Folded, Functions, Groups, Hosted, Interface, Joined, Kept, Output, Prepared, Records, Routed,
    Scanned, TimerClock,
};
use millstream_core::poll::Polled;
use millstream_core::record::BytesColumn;
use millstream_core::task::TaskId;

use super::found::{Found, Noting};
use super::taken::{Answered, Call, Fold, Given, Processed, Reads, Sides, Way, followed};
use super::{Trial, Trials, cpu_nanoseconds, lock};

/// See the module.
pub struct Tap<F> {
    inner: F,
    trials: Arc<Trials>,
    /// The last change that was seen.
    generation: u64,
    mine: Vec<Arc<Trial>>,
    reads: Option<Reads>,
    /// Calls of processors so far, and those that are watched and may be taken back still.
    made: u64,
    pending: Vec<Pending>,
}

/// A call of a processor that was answered.
struct Pending {
    number: u64,
    trial: Arc<Trial>,
    nanoseconds: u64,
    records: usize,
    /// None where there was no room.
    call: Option<Processed>,
}

/// A call that is watched, and the CPU time at which it began.
struct Watched(Arc<Trial>, u64);

impl<F: Functions> Tap<F> {
    /// Around these functions.
    pub fn new(inner: F, trials: Arc<Trials>) -> Self {
        // What is on trial already is a change as well.
        let (mine, pending) = (Vec::new(), Vec::new());
        Self { inner, trials, generation: u64::MAX, mine, reads: None, made: 0, pending }
    }

    fn look(&mut self) {
        let generation = self.trials.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.mine = lock(&self.trials.all).clone();
            self.reads = None;
        }
    }

    /// The trial of a version that is in force, if there is one.
    fn watch(&mut self, function: Prepared) -> Option<Watched> {
        self.look();
        let trial = self.mine.iter().find(|trial| trial.parts.old == function)?;
        Some(Watched(trial.clone(), cpu_nanoseconds()))
    }
}

impl Watched {
    /// The call is over: takes it, if there is room for so many bytes. `keyed`: it is about states.
    fn over(self, records: usize, bytes: usize, keyed: bool, call: impl FnOnce(u32) -> Option<Call>) {
        let Watched(trial, began) = self;
        trial.handled(records, cpu_nanoseconds().saturating_sub(began));
        if trial.has_room(bytes, keyed)
            && let Some(call) = call(trial.share.load(Ordering::Relaxed))
        {
            trial.send(call);
        }
    }
}

/// Bytes of records, roughly.
fn bytes(records: Records<'_>) -> usize {
    records.keys.bytes() + records.values.bytes() + 64 * records.timestamps.len()
}

impl<F: Functions> Tap<F> {
    fn fold(
        &self,
        watched: Watched,
        way: Way,
        (context, into, records): (Context<'_>, Groups<'_>, Records<'_>),
        answered: Answered<'_>,
    ) {
        let reads = self.reads.as_ref();
        let size = bytes(records) + 2 * into.states.bytes() + into.keys.bytes();
        watched.over(into.members.len(), size, true, |share| {
            let given = || Given::new(context, records, reads);
            Fold::new(way, &given, into, answered, share).map(|fold| Call::Fold(Box::new(fold)))
        });
    }
}

/// What a call of a processor was given, by which clock it fired, and what it found.
type Called = (Option<TimerClock>, Given, Found);

impl<F: Functions> Tap<F> {
    /// Keeps a call of a processor until it stands; `fires`: it was about timers.
    fn keep_call(&mut self, watched: Watched, answer: &Answer<Output>, fires: bool, called: Option<Called>) {
        // One that has failed is made again, with fewer records.
        let Ok(output) = answer else { return };
        let Watched(trial, began) = watched;
        let (nanoseconds, taken) = (cpu_nanoseconds().saturating_sub(began), output.taken as usize);
        // Timers are no records.
        let records = if fires { 0 } else { taken };
        // What breaks the contract is found out by whoever asked.
        let fits = |(_, given, _): &Called| (1..=given.len()).contains(&taken);
        let call = called.filter(fits).map(|(fired, given, found)| {
            let given = if taken < given.len() { given.slice(0, taken) } else { given };
            Processed { fired, given, output: output.clone(), found, gaps: 0 }
        });
        self.pending.push(Pending { number: self.made, trial, nanoseconds, records, call });
    }
}

impl Pending {
    /// It will not be taken back: the version on trial is asked the same, where there is room.
    fn stand(self) {
        let Self { trial, nanoseconds, records, call, .. } = self;
        trial.handled(records, nanoseconds);
        let call = call.map(|call| Call::Process(Box::new(call)));
        match call.filter(|call| trial.has_room(call.bytes(), false)) {
            Some(Call::Process(call)) => {
                let gaps = trial.gaps.load(Ordering::Relaxed);
                trial.send(Call::Process(Box::new(Processed { gaps, ..*call })));
            }
            _ => drop(trial.gaps.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

impl<F: Functions> Functions for Tap<F> {
    fn reads(&mut self, task: TaskId, polled: &Polled) {
        self.look();
        if !self.mine.is_empty() {
            self.reads = Some(Reads::new(task, polled));
        }
        self.inner.reads(task, polled);
    }

    fn calls_made(&self) -> u64 {
        self.made
    }

    fn calls_taken_back(&mut self, first: u64) {
        self.pending.retain(|pending| pending.number <= first);
        self.inner.calls_taken_back(first);
    }

    fn calls_stand(&mut self) {
        self.pending.drain(..).for_each(Pending::stand);
        self.inner.calls_stand();
    }

    fn wants_stream_times(&self, function: Prepared) -> bool {
        let on_trial = || self.mine.iter().find(|trial| trial.parts.old == function);
        self.inner.wants_stream_times(function)
            || on_trial().is_some_and(|trial| self.inner.wants_stream_times(trial.parts.new))
    }

    fn exports(&self, function: Prepared, interface: Interface) -> bool {
        self.inner.exports(function, interface)
    }

    fn layout(&self, function: Prepared) -> u32 {
        self.inner.layout(function)
    }

    fn migrator(&self, function: Prepared, stored: u32) -> Option<Prepared> {
        self.inner.migrator(function, stored)
    }

    fn migrates(&self, function: Prepared) -> bool {
        self.inner.migrates(function)
    }

    fn renew(&mut self, function: Prepared) {
        self.inner.renew(function);
    }

    fn stretch(&mut self, function: Prepared, factor: u32) {
        self.inner.stretch(function, factor);
    }

    fn stretched(&self, function: Prepared) -> u32 {
        self.inner.stretched(function)
    }

    fn keep(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let watched = self.watch(function);
        let answer = self.inner.keep(function, context, records);
        if let (Some(watched), Ok(kept)) = (watched, &answer) {
            let given = |_| Some(Call::Keep(Given::new(context, records, self.reads.as_ref()), kept.clone()));
            watched.over(records.timestamps.len(), bytes(records), false, given);
        }
        answer
    }

    fn apply(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let watched = self.watch(function);
        let answer = self.inner.apply(function, context, records);
        if let (Some(watched), Ok(output)) = (watched, &answer) {
            let given = |_| {
                let given = Given::new(context, records, self.reads.as_ref());
                Some(Call::Apply(Box::new((given, output.clone()))))
            };
            watched.over(records.timestamps.len(), 2 * bytes(records), false, given);
        }
        answer
    }

    fn route(&mut self, function: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Routed> {
        let watched = self.watch(function);
        let answer = self.inner.route(function, context, records);
        if let (Some(watched), Ok(routed)) = (watched, &answer) {
            let given = |_| Some(Call::Route(Given::new(context, records, self.reads.as_ref()), routed.clone()));
            watched.over(records.timestamps.len(), bytes(records), false, given);
        }
        answer
    }

    fn add(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded> {
        let watched = self.watch(function);
        let answer = self.inner.add(function, context, into, records);
        if let (Some(watched), Ok(folded)) = (watched, &answer) {
            let answered = Answered { states: &folded.states, values: None, rejected: &folded.rejected };
            self.fold(watched, Way::Add, (context, into, records), answered);
        }
        answer
    }

    fn finish(&mut self, function: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        // What would come out of a group is compared after each change of it.
        self.inner.finish(function, of)
    }

    fn remove(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        from: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Folded> {
        let watched = self.watch(function);
        let answer = self.inner.remove(function, context, from, records);
        if let (Some(watched), Ok(folded)) = (watched, &answer) {
            let answered = Answered { states: &folded.states, values: None, rejected: &folded.rejected };
            self.fold(watched, Way::Remove, (context, from, records), answered);
        }
        answer
    }

    fn scan(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        into: Groups<'_>,
        records: Records<'_>,
    ) -> Answer<Scanned> {
        let watched = self.watch(function);
        let answer = self.inner.scan(function, context, into, records);
        if let (Some(watched), Ok(scanned)) = (watched, &answer) {
            let (states, values) = (&scanned.states, Some(&scanned.values));
            let answered = Answered { states, values, rejected: &scanned.rejected };
            self.fold(watched, Way::Scan, (context, into, records), answered);
        }
        answer
    }

    fn merge(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<BytesColumn> {
        let watched = self.watch(function);
        let answer = self.inner.merge(function, keys, left, right);
        if let (Some(watched), Ok(states)) = (watched, &answer) {
            let size = keys.bytes() + 2 * (left.bytes() + right.bytes());
            watched.over(0, size, true, |share| {
                let sides = Sides::new(keys, left, right);
                Some(match followed(keys, share) {
                    None => Call::Merge(sides, states.clone()),
                    Some(chosen) if chosen.is_empty() => return None,
                    Some(chosen) => Call::Merge(sides.gather(&chosen), states.gather(&chosen)),
                })
            });
        }
        answer
    }

    fn migrate(
        &mut self,
        function: Prepared,
        store: &str,
        old: u32,
        new: u32,
        keys: &BytesColumn,
        states: &BytesColumn,
    ) -> Answer<BytesColumn> {
        self.inner.migrate(function, store, old, new, keys, states)
    }

    fn join(
        &mut self,
        function: Prepared,
        keys: &BytesColumn,
        left: &BytesColumn,
        right: &BytesColumn,
    ) -> Answer<Joined> {
        let watched = self.watch(function);
        let answer = self.inner.join(function, keys, left, right);
        if let (Some(watched), Ok(joined)) = (watched, &answer) {
            let size = keys.bytes() + left.bytes() + right.bytes();
            watched.over(keys.len(), size, false, |_| Some(Call::Join(Sides::new(keys, left, right), joined.clone())));
        }
        answer
    }

    fn process(
        &mut self,
        function: Prepared,
        context: Context<'_>,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        self.made += 1;
        let Some(watched) = self.watch(function) else {
            return self.inner.process(function, context, records, host);
        };
        if !watched.0.has_room(2 * bytes(records), false) {
            let answer = self.inner.process(function, context, records, host);
            self.keep_call(watched, &answer, false, None);
            return answer;
        }
        let mut noting = Noting::new(host);
        let answer = self.inner.process(function, context, records, &mut noting);
        let found = noting.found;
        let given = Given::new(context, records, self.reads.as_ref());
        self.keep_call(watched, &answer, false, Some((None, given, found)));
        answer
    }

    fn fire(
        &mut self,
        function: Prepared,
        clock: TimerClock,
        due: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        self.made += 1;
        let Some(watched) = self.watch(function) else {
            return self.inner.fire(function, clock, due, host);
        };
        let mut noting = Noting::new(host);
        let answer = self.inner.fire(function, clock, due, &mut noting);
        let found = noting.found;
        // Timers are no records: they have no place.
        let given = Given::new(Context::default(), due, None);
        self.keep_call(watched, &answer, true, Some((Some(clock), given, found)));
        answer
    }
}
