//! Event times by a source's function: of a mapper's answer the timestamp, and nothing else. Called for records that wait, before it
//! is chosen which of them comes next; what becomes of those that it refuses is decided when they are taken.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::isolate::{self, Isolation, Work};
use super::stateless::{Rules, check_output};
use super::{Ports, bad_result, part};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::Flow;
use crate::formats::{self, ConvertedBatch, Pair};
use crate::function::{Answer, Fault, Functions, Output, Prepared};
use crate::poll::stamps::Stamps;
use crate::record::{Batch, Timestamp};
use crate::time::NEVER;
use crate::topology::spec::MapForm;

/// Asks for the event times of records, in the form in which functions get them; `source` is the name of where they come from, `pair`
/// are its formats.
///
/// # Errors
/// Those of isolation: a function that fails whatever it is given, or that cannot be run now.
pub(crate) fn stamp(
    source: &str,
    (function, pair): (Prepared, Pair),
    records: Batch,
    isolation: &mut Isolation,
    ports: &mut Ports<'_>,
) -> Result<Stamps, Verdict> {
    if pair.is_none() {
        return asked(source, function, records, isolation, ports);
    }
    let formats = ports.formats;
    let ConvertedBatch { batch, rejected } =
        formats::convert(&records, pair, |format, items| formats.decode(format, items))?;
    let mut rejected: BTreeMap<usize, _> = rejected.into_iter().collect();
    let good: Vec<u32> = (0..batch.len() as u32).filter(|i| !rejected.contains_key(&(*i as usize))).collect();
    let asked = asked(source, function, batch.gather(&good), isolation, ports)?;
    let (mut stamps, mut next) = (Stamps::default(), 0..good.len());
    for i in 0..batch.len() {
        match rejected.remove(&i) {
            Some(why) => stamps.refuse(Reason::NotDecoded, why),
            None => next.next().into_iter().for_each(|at| stamps.push_of(&asked, at)),
        }
    }
    Ok(stamps)
}

fn asked(
    source: &str,
    function: Prepared,
    records: Batch,
    isolation: &mut Isolation,
    ports: &mut Ports<'_>,
) -> Result<Stamps, Verdict> {
    let len = records.len();
    let records = Flow { batch: records, ..Flow::default() };
    let wanted = ports.functions.wants_stream_times(function);
    let mut work = Stamping { function, records, wanted, isolation, ports, stamps: Stamps::default() };
    isolate::run(&mut work, source, function, len)?;
    Ok(work.stamps)
}

struct Stamping<'w, 'p> {
    function: Prepared,
    records: Flow,
    /// The function reads stream times. There are none: they are what it is asked for.
    wanted: bool,
    isolation: &'w mut Isolation,
    ports: &'w mut Ports<'p>,
    stamps: Stamps,
}

impl Work for Stamping<'_, '_> {
    /// The answer, and of each result its timestamp, where it says one.
    type Given = (Output, Option<Vec<Timestamp>>);

    fn functions(&mut self) -> &mut dyn Functions {
        self.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<Self::Given> {
        let part = part(&self.records, from, to, if self.wanted { vec![NEVER; to - from] } else { Vec::new() });
        let mut output = self.ports.functions.apply(self.function, part.context(), part.records())?;
        // A negative one is the record's matter and not the call's.
        let times = output.timestamps.take();
        check_output(&output, to - from, Rules::Form(MapForm::Map), 1)?;
        let results = output.sources.as_ref().map_or(output.taken as usize, Vec::len);
        if let Some(count) = times.as_ref().map(Vec::len).filter(|count| *count != results) {
            return Err(bad_result(format!("`timestamps` has {count} items for {results} results")));
        }
        Ok((output, times))
    }

    fn accept(&mut self, from: usize, _to: usize, (output, times): Self::Given) -> Result<usize, Verdict> {
        let taken = output.taken as usize;
        let mut results: Vec<Option<usize>> = match &output.sources {
            None => (0..taken).map(Some).collect(),
            Some(_) => vec![None; taken],
        };
        output.sources.iter().flatten().enumerate().for_each(|(at, source)| results[*source as usize] = Some(at));
        let mut rejected: Vec<Option<&str>> = vec![None; taken];
        output.rejected.iter().for_each(|r| rejected[r.index as usize] = Some(&r.reason));
        for (at, (reason, result)) in rejected.into_iter().zip(results).enumerate() {
            match (reason, result) {
                (Some(reason), _) => self.stamps.refuse(Reason::Rejected, reason.into()),
                (None, None) => self.stamps.refuse(Reason::Rejected, "the function gave no timestamp".into()),
                (None, Some(result)) => {
                    let own = self.records.batch.timestamps[from + at];
                    self.stamps.push(times.as_ref().map_or(own, |times| times[result]));
                }
            }
        }
        Ok(taken)
    }

    fn poisoned(&mut self, _at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.stamps.refuse(Reason::Poisoned, format!("{fault}"));
        Ok(())
    }
}
