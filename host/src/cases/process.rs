//! Processors: what leaves with each record, and with the timers that are due by then, compared with what must.

use millstream_core::function::{Functions, Prepared};

use super::each::Fate;
use super::{Cut, Expect, Given, Item, Mismatch, Process};
use crate::alone::{Alone, Refused, Took};

/// Takes the records through a step of its own; the mismatches of this cut.
pub fn run(functions: Box<dyn Functions>, function: Prepared, cut: Cut, process: &Process) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let mut told = |place: &std::ops::Range<usize>, expected: String, came: String| {
        mismatches.push(Mismatch { place: place.clone(), cut: Some(cut), expected, came });
    };
    let mut alone = match Alone::new(functions, function, &process.stores, process.outputs) {
        Ok(alone) => alone,
        Err(why) => {
            told(&process.place, "a step with these stores and outputs".into(), format!("{why:#}"));
            return mismatches;
        }
    };
    if cut == Cut::Together {
        match alone.take(Given::of(&process.records).batch) {
            Ok(took) => together(process, took, &mut told),
            Err(why) => told(&process.place, "the step takes the records".into(), format!("{why:#}")),
        }
        return mismatches;
    }
    for item in &process.records {
        if cut == Cut::Fresh {
            alone.renew(function);
        }
        match alone.take(Given::of([item]).batch) {
            Ok(took) => {
                let fates = fates(took);
                if !as_expected(item, &fates) {
                    told(&item.place, item.expect.shown(item), shown(&fates));
                }
            }
            Err(why) => {
                told(&item.place, item.expect.shown(item), format!("the step stopped: {why:#}"));
                break;
            }
        }
    }
    mismatches
}

/// Of all records at once only the outputs' own order is known: which record a timer's result left with is not.
fn together(process: &Process, took: Took, told: &mut dyn FnMut(&std::ops::Range<usize>, String, String)) {
    let mut expected: Vec<(u32, &Item, &super::Made)> = Vec::new();
    for item in &process.records {
        if let Expect::Into(made) = &item.expect {
            expected.extend(made.iter().map(|made| (made.output, item, made)));
        }
    }
    expected.sort_by_key(|(output, ..)| *output);
    for i in 0..expected.len().max(took.results.len()) {
        let (must, came) = (expected.get(i), took.results.get(i));
        if must.is_some() && must.zip(came).is_some_and(|((_, item, made), came)| made.is(item, came)) {
            continue;
        }
        let place = must.map_or(&process.place, |(_, item, _)| &item.place);
        let came = came.map_or("no more records".to_string(), ToString::to_string);
        told(place, must.map_or("no more records".into(), |(_, item, made)| made.shown(item)), came);
        return;
    }
    let must_not = |item: &&Item| matches!(item.expect, Expect::Rejected(_) | Expect::Fails(_));
    let (must, mut refused) = (process.records.iter().filter(must_not), took.refused.into_iter());
    for item in must {
        let fate = refused.next().map_or(Fate::Taken, fate);
        if !item.expect.is(item, &fate) {
            told(&item.place, item.expect.shown(item), fate.to_string());
        }
    }
    for refused in refused {
        told(&process.place, "nothing else is refused".into(), fate(refused).to_string());
    }
}

fn fate(refused: Refused) -> Fate {
    if refused.by_function { Fate::Rejected(refused.message) } else { Fate::Failed(refused.message) }
}

/// What became of one record: what left, unless it is nothing beside a refusal, and all that was refused.
fn fates(took: Took) -> Vec<Fate> {
    let refused: Vec<Fate> = took.refused.into_iter().map(fate).collect();
    let nothing = took.results.is_empty() && !refused.is_empty();
    let results = (!nothing).then_some(Fate::Results(took.results));
    results.into_iter().chain(refused).collect()
}

fn as_expected(item: &Item, fates: &[Fate]) -> bool {
    let [fate] = fates else { return false };
    match &item.expect {
        // Outputs have no order among each other.
        Expect::Into(made) => {
            let mut made = made.clone();
            made.sort_by_key(|made| made.output);
            Expect::Into(made).is(item, fate)
        }
        expect => expect.is(item, fate),
    }
}

fn shown(fates: &[Fate]) -> String {
    fates.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
