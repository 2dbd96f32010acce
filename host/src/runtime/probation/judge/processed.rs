//! Processors on trial: the calls that the version in force was given, with stores and timers of the new version's own.
//!
//! What fires is what the engine fires, as far as both have set it. Timers that the new version alone has, or has for another time, fire
//! before the first record at which they are due, as in a step; when there is none, with the next call.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_core::function::{Answer, Context, Fault, Functions, Interface, Output, Prepared, Records, TimerClock};
use millstream_core::operator::stateless::Takes;
use millstream_core::record::{BatchBuilder, Timestamp};

use super::super::STATES_BYTES_MAX;
use super::super::compare;
use super::super::found::{Found, Whose};
use super::super::shelf::{Desk, NOT_ASKED, Shelf, Standing};
use super::super::taken::{Given, Processed};
use super::{Judge, part_of, select, told_of};

impl<F: Functions> Judge<F> {
    /// Asks the new version what the one in force was asked.
    ///
    /// # Errors
    /// Why it does not come through.
    pub(super) fn process(&mut self, call: &Processed) -> Result<(), String> {
        if call.gaps != self.gaps {
            self.gaps = call.gaps;
            self.shelves.clear();
        }
        let of = (call.found.partition, call.found.step.clone());
        let mut shelf = self.shelves.remove(&of).unwrap_or_default();
        if !goes_on(&mut shelf, &call.given) {
            shelf = Shelf::default();
        }
        // What was left out would be missing from then on: it begins anew.
        let Some(found) = self.brought(&call.found)? else { return Ok(()) };
        shelf.keep(&found);
        shelf.takes = call.given.takes_of_step().or(shelf.takes);
        if self.judged(&mut shelf, call, &found)? {
            self.shelves.insert(of, shelf);
        }
        if self.shelves.values().map(|shelf| shelf.bytes).sum::<usize>() > STATES_BYTES_MAX {
            self.shelves.clear();
        }
        Ok(())
    }

    /// What the version in force found, in the layout of the new one; `None`: there is no room for it now.
    fn brought<'f>(&mut self, found: &'f Found) -> Result<Option<Cow<'f, Found>>, String> {
        let layouts = (self.functions.layout(self.trial.parts.old), self.functions.layout(self.new_version()));
        let mut found = Cow::Borrowed(found);
        if layouts.0 == layouts.1 {
            return Ok(Some(found));
        }
        for number in 0..found.stores.len() {
            let (keys, values) = found.stores[number].values();
            if keys.is_empty() {
                continue;
            }
            let Some(values) = self.migrated(&found.names[number], layouts, &keys, &values)? else { return Ok(None) };
            found.to_mut().stores[number].replace(&values);
        }
        Ok(Some(found))
    }

    /// `false`: something had to be left out.
    fn judged(&mut self, shelf: &mut Shelf, call: &Processed, found: &Found) -> Result<bool, String> {
        let Processed { fired, given, output, .. } = call;
        let Some(clock) = *fired else {
            return self.ask_all(shelf, found, None, given, output);
        };
        if clock == TimerClock::EventTime {
            shelf.closing = given.batch.timestamps.iter().copied().fold(shelf.closing, Timestamp::max);
        }
        let (mut both, mut theirs) = (Vec::new(), Vec::new());
        for i in 0..given.len() {
            let (whose, due) = timer(given, clock, i);
            match shelf.fires(&whose, due) {
                Standing::Both => both.push(i as u32),
                Standing::Theirs => theirs.push(i as u32),
            }
        }
        let alone = given.gather(&theirs);
        self.note_records(
            &alone,
            theirs.len(),
            compare::maps(&alone, theirs.len(), &select(output, &theirs), &nothing(theirs.len())),
        );
        let together = given.gather(&both);
        let done = self.ask_all(shelf, found, Some(clock), &together, &select(output, &both))?;
        Ok(done && self.own_timers(shelf, found)?)
    }

    /// Fires what is due for the new version alone.
    fn own_timers(&mut self, shelf: &mut Shelf, found: &Found) -> Result<bool, String> {
        for (clock, now) in [(TimerClock::EventTime, shelf.closing), (TimerClock::WallClock, wall_ms())] {
            let due = shelf.take_own(clock, now);
            if due.is_empty() {
                continue;
            }
            let mut batch = BatchBuilder::default();
            for ((_, key, name), at) in &due {
                batch.push(key.as_deref(), Some(name.as_bytes()), *at, []);
            }
            let batch = batch.finish();
            let records = Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps };
            let given = Given::new(Context::default(), records, None);
            if !self.ask_all(shelf, found, Some(clock), &given, &nothing(due.len()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks about records, or timers of a clock, until all are taken, and compares with what the version in force made of them.
    fn ask_all(
        &mut self,
        shelf: &mut Shelf,
        found: &Found,
        fired: Option<TimerClock>,
        given: &Given,
        old: &Output,
    ) -> Result<bool, String> {
        let (new, trials) = (self.new_version(), self.trials.clone());
        let (mut from, mut until) = (0, given.len());
        while from < given.len() {
            if let Some(closing) = given.closing.get(from) {
                shelf.closing = *closing;
                if !self.own_timers(shelf, found)? {
                    return Ok(false);
                }
                until = from + stands(given, from, until, shelf.next_own());
            }
            let (rest, mut wrote, mut earliest) = (given.slice(from, until), false, None);
            let fires = self.functions.exports(new, Interface::OnTimer);
            let mut call = |functions: &mut F, from: usize, to: usize| {
                shelf.take_back();
                let (part, takes) = (rest.slice(from, to), shelf.takes);
                let mut desk = Desk::new(shelf, found, fires);
                let answer = asked(functions, new, fired, &part, &mut desk);
                (wrote, earliest) = (desk.wrote(), desk.earliest);
                let output = ended(desk).and(answer)?;
                fits(&output, takes.unwrap_or(part.takes()), to - from, fired).map(|()| output)
            };
            let Some(output) = self.ask_each(rest.len(), &mut call, &|i| told_of(&trials, &rest, i))? else {
                shelf.take_back();
                return Ok(false);
            };
            let first = output.rejected.iter().map(|rejected| rejected.index as usize).min();
            let (output, taken) = match first {
                // What it wrote for one that it refuses cannot be told from the rest.
                Some(0) if wrote => {
                    shelf.take_back();
                    (select(&output, &[0]), 1)
                }
                Some(first) if wrote => {
                    shelf.take_back();
                    until = from + first;
                    continue;
                }
                // It has set a timer that is due before a later record of the call, which may have moved it.
                _ if stands(given, from, from + output.taken as usize, earliest) < output.taken as usize => {
                    until = from + stands(given, from, until, earliest);
                    // Else what it has set would fire before it is made again.
                    shelf.take_back();
                    continue;
                }
                _ => {
                    shelf.stand();
                    let taken = output.taken as usize;
                    (output, taken)
                }
            };
            let others = part_of(old, from, from + taken);
            self.note_records(&rest, taken, compare::maps(&rest, taken, &others, &output));
            (from, until) = (from + taken, given.len());
        }
        Ok(true)
    }
}

/// How many of the records `from..until` may be asked for when a timer is due by then: at least one.
fn stands(given: &Given, from: usize, until: usize, due: Option<Timestamp>) -> usize {
    let is_due = |i: &usize| due.is_some_and(|due| given.closing.get(*i).is_some_and(|closing| *closing >= due));
    (from + 1..until).find(is_due).unwrap_or(until) - from
}

/// Whether a call's records come after those of the calls before.
fn goes_on(shelf: &mut Shelf, given: &Given) -> bool {
    let mut places = (0..given.len()).filter_map(|i| given.place(i));
    places.all(|(_, input, offset)| shelf.read(input, offset))
}

/// A timer among records that stand for timers.
fn timer(given: &Given, clock: TimerClock, i: usize) -> (Whose, Timestamp) {
    let name = String::from_utf8_lossy(given.batch.values.get(i).unwrap_or_default()).into_owned();
    ((clock, given.batch.keys.get(i).map(<[u8]>::to_vec), name), given.batch.timestamps[i])
}

/// The answer of whom nothing was asked.
fn nothing(len: usize) -> Output {
    Output { taken: len as u32, sources: Some(Vec::new()), ..Output::default() }
}

/// Why a call was ended by its host, if it was.
fn ended(desk: Desk<'_>) -> Answer<()> {
    if let Some(missed) = desk.missed {
        return Err(Fault::Unavailable { message: format!("{NOT_ASKED}{missed}") });
    }
    desk.broke.map_or(Ok(()), Err)
}

/// Asks about records, or timers of a clock.
fn asked<F: Functions>(
    functions: &mut F,
    new: Prepared,
    fired: Option<TimerClock>,
    part: &Given,
    desk: &mut Desk<'_>,
) -> Answer<Output> {
    match fired {
        None => functions.process(new, part.context(), part.records(), desk),
        Some(clock) => functions.fire(new, clock, part.records(), desk),
    }
}

/// Whether the step takes an answer to so many records, or timers.
fn fits(output: &Output, takes: Takes, len: usize, fired: Option<TimerClock>) -> Answer<()> {
    takes.check(output, len)?;
    let results = output.sources.as_ref().map_or(output.taken as usize, Vec::len);
    // Names of timers are no values.
    if fired.is_some() && output.values.is_none() && results > 0 {
        return Err(Fault::BadResult { what: "`fire` gave results without values".into() });
    }
    Ok(())
}

fn wall_ms() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}
