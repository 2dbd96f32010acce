//! Functions on single records: filters and mappers. A record's result may depend on that record alone.

use std::fmt;

use millstream_core::function::{Answer, Context, Fault, Functions, Interface, Prepared, Records};
use millstream_core::record::Batch;

use super::{CALL_RECORDS, CUTS_TRIED, Random, Report, every, note, shown};

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    Refused(String),
    Results(Vec<String>),
    Failed(&'static str),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Kept => f.write_str("kept"),
            Fate::Dropped => f.write_str("dropped"),
            Fate::Refused(reason) => write!(f, "refused: {reason}"),
            Fate::Results(results) if results.is_empty() => f.write_str("no result"),
            Fate::Results(results) => f.write_str(&results.join("; ")),
            Fate::Failed(kind) => write!(f, "failed: {kind}"),
        }
    }
}

/// Which fault it was; its words may differ between runs.
fn kind_of(fault: &Fault) -> &'static str {
    match fault {
        Fault::Trap { .. } => "trap",
        Fault::TimedOut { .. } => "time-out",
        Fault::OutOfMemory { .. } => "out of memory",
        Fault::BadResult { .. } => "bad result",
        Fault::Refused { .. } => "refused the batch",
        Fault::Unavailable { .. } => "could not be run",
    }
}

struct Subject<'a> {
    functions: &'a mut dyn Functions,
    function: Prepared,
    kind: Interface,
}

pub fn verify(
    functions: &mut dyn Functions,
    function: Prepared,
    kind: Interface,
    records: &Batch,
    seed: u64,
    report: &mut Report,
) {
    let word = if kind == Interface::Filter { "filter" } else { "mapper" };
    let mut subject = Subject { functions, function, kind };
    subject.renew();
    let first = subject.run(records, &every(CALL_RECORDS, records.len()), report);
    let mut nothing = Report::default();
    let mut random = Random(seed);
    let mut trial = |subject: &mut Subject<'_>, how: String, ends: &[usize]| {
        let then = subject.run(records, ends, &mut nothing);
        note(report, word, how, &first, &then);
    };
    trial(&mut subject, "again, by the same instance".into(), &every(CALL_RECORDS, records.len()));
    subject.renew();
    trial(&mut subject, "again, by a fresh instance".into(), &every(CALL_RECORDS, records.len()));
    trial(&mut subject, "one record a call".into(), &every(1, records.len()));
    for number in 1..=CUTS_TRIED {
        trial(&mut subject, format!("other cuts, {number}"), &random.cuts(records.len()));
    }
    let mut order: Vec<u32> = (0..records.len() as u32).collect();
    (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i + 1)));
    let shuffled = subject.run(&records.gather(&order), &every(CALL_RECORDS, records.len()), &mut nothing);
    let mut back = first.clone();
    order.iter().zip(shuffled).for_each(|(at, (_, fate))| back[*at as usize].1 = fate);
    note(report, word, "in another order".into(), &first, &back);
}

impl Subject<'_> {
    fn renew(&mut self) {
        self.functions.renew(self.function);
    }

    /// Every record's fate, calls ending where `ends` says. A call that fails is made again record by record.
    fn run(&mut self, records: &Batch, ends: &[usize], report: &mut Report) -> Vec<(String, Fate)> {
        let (mut fates, mut from) = (Vec::with_capacity(records.len()), 0);
        for &to in ends {
            match self.call(&records.slice(from, to)) {
                Ok(some) => fates.extend(some),
                Err(_) => {
                    for at in from..to {
                        self.renew();
                        match self.call(&records.slice(at, at + 1)) {
                            Ok(one) => fates.extend(one),
                            Err(fault) => {
                                report.failing.push((at, fault.to_string()));
                                fates.push(Fate::Failed(kind_of(&fault)));
                            }
                        }
                    }
                    self.renew();
                }
            }
            from = to;
        }
        fates.into_iter().enumerate().map(|(at, fate)| (format!("record {at}"), fate)).collect()
    }

    fn call(&mut self, batch: &Batch) -> Answer<Vec<Fate>> {
        let context =
            Context { headers: batch.headers.as_deref(), stream_times: &batch.timestamps, ..Context::default() };
        if self.kind == Interface::Filter { self.keep(context, batch) } else { self.apply(batch) }
    }

    fn keep(&mut self, context: Context<'_>, batch: &Batch) -> Answer<Vec<Fate>> {
        let records = Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps };
        let kept = self.functions.keep(self.function, context, records)?;
        if kept.bits.len() != batch.len().div_ceil(8) {
            return Err(Fault::BadResult {
                what: format!("{} bytes of bits for {} records", kept.bits.len(), batch.len()),
            });
        }
        let bit = |i: usize| if kept.bits[i / 8] >> (i % 8) & 1 == 1 { Fate::Kept } else { Fate::Dropped };
        let mut fates: Vec<Fate> = (0..batch.len()).map(bit).collect();
        for rejection in kept.rejected {
            let fate = fates.get_mut(rejection.index as usize);
            *fate.ok_or_else(|| out_of_range(rejection.index))? = Fate::Refused(rejection.reason);
        }
        Ok(fates)
    }

    fn apply(&mut self, batch: &Batch) -> Answer<Vec<Fate>> {
        let (mut fates, mut from) = (Vec::new(), 0);
        while from < batch.len() {
            let rest = batch.slice(from, batch.len());
            let some = self.apply_once(&rest)?;
            from += some.len();
            fates.extend(some);
        }
        Ok(fates)
    }

    /// Fates of the records that were taken.
    fn apply_once(&mut self, batch: &Batch) -> Answer<Vec<Fate>> {
        let context =
            Context { headers: batch.headers.as_deref(), stream_times: &batch.timestamps, ..Context::default() };
        let records = Records { keys: &batch.keys, values: &batch.values, timestamps: &batch.timestamps };
        let output = self.functions.apply(self.function, context, records)?;
        let taken = output.taken as usize;
        if taken == 0 || taken > batch.len() {
            return Err(Fault::BadResult { what: format!("it took {taken} of {} records", batch.len()) });
        }
        let mut fates = vec![Fate::Results(Vec::new()); taken];
        let sources = output.sources.clone().unwrap_or_else(|| (0..output.taken).collect());
        for (i, source) in sources.iter().enumerate() {
            let row = *source as usize;
            let key = output.keys.as_ref().map_or("as it was".into(), |keys| shown(keys.get(i)));
            let value = output.values.as_ref().map_or("as it was".into(), |values| shown(values.get(i)));
            let time = output.timestamps.as_ref().map_or("as it was".into(), |times| times[i].to_string());
            let port = output.ports.as_ref().map_or(0, |ports| ports[i]);
            let headers = output.headers.as_ref().map_or_else(String::new, |h| {
                h.of(i).map(|(name, value)| format!(", header {}: {}", shown(Some(name)), shown(value))).collect()
            });
            let Some(Fate::Results(results)) = fates.get_mut(row) else { return Err(out_of_range(*source)) };
            results.push(format!("key {key}, value {value}, time {time}, port {port}{headers}"));
        }
        for rejection in output.rejected {
            let fate = fates.get_mut(rejection.index as usize);
            *fate.ok_or_else(|| out_of_range(rejection.index))? = Fate::Refused(rejection.reason);
        }
        Ok(fates)
    }
}

fn out_of_range(index: u32) -> Fault {
    Fault::BadResult { what: format!("it names record {index}, which it was not given") }
}
