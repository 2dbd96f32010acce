//! Functions on single records: filters, mappers, routers, and joiners, whose records are pairs. What becomes of a record may depend on that
//! record alone.

use std::collections::BTreeMap;

use std::fmt;

use millstream_core::function::{Answer, Fault, Functions, Interface, Prepared, Rejection};
use millstream_core::operator::stateless::Takes;
use millstream_core::record::{Batch, BatchBuilder, HeaderColumns};

use super::{CALL_RECORDS, CUTS_TRIED, Input, Random, Report, every, note, records_of, same_length, shown};

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Dropped,
    Refused(String),
    /// Where it goes.
    Routed(String),
    /// The value of a pair.
    Joined(String),
    Results(Vec<String>),
    Failed(&'static str),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Kept => f.write_str("kept"),
            Fate::Dropped => f.write_str("dropped"),
            Fate::Refused(reason) => write!(f, "refused: {reason}"),
            Fate::Routed(to) => write!(f, "goes to {to}"),
            Fate::Joined(value) => f.write_str(value),
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

/// Records, of a joiner with the right side of each.
struct Given {
    records: Batch,
    right: Option<Batch>,
}

impl Given {
    /// For a joiner each record meets another of its key, or nothing where there is none.
    fn of(kind: Interface, input: Input<'_>) -> Self {
        let records = input.records.clone();
        if kind != Interface::Joiner {
            return Self { records, right: None };
        }
        let (others, mut random) = (input.right.unwrap_or(input.records), Random(input.seed));
        let mut by_key: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        for row in 0..others.len() {
            if let Some(key) = others.keys.get(row) {
                by_key.entry(key).or_default().push(row as u32);
            }
        }
        let mut right = BatchBuilder::default();
        for row in 0..records.len() {
            let of_key = records.keys.get(row).and_then(|key| by_key.get(key));
            let met = of_key.map(|rows| rows[random.below(rows.len())] as usize);
            right.push(None, met.and_then(|met| others.values.get(met)), 0, []);
        }
        Self { records, right: Some(right.finish()) }
    }

    fn slice(&self, from: usize, to: usize) -> Self {
        Self { records: self.records.slice(from, to), right: self.right.as_ref().map(|r| r.slice(from, to)) }
    }

    fn gather(&self, rows: &[u32]) -> Self {
        Self { records: self.records.gather(rows), right: self.right.as_ref().map(|r| r.gather(rows)) }
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
    input: Input<'_>,
    report: &mut Report,
) {
    let word = match kind {
        Interface::Filter => "filter",
        Interface::Router => "router",
        Interface::Joiner => "joiner",
        _ => "mapper",
    };
    let (given, len) = (Given::of(kind, input), input.records.len());
    let mut subject = Subject { functions, function, kind };
    subject.renew();
    let first = subject.run(&given, &every(CALL_RECORDS, len), report);
    let mut nothing = Report::default();
    let mut random = Random(input.seed);
    let mut trial = |subject: &mut Subject<'_>, how: String, ends: &[usize]| {
        let then = subject.run(&given, ends, &mut nothing);
        note(report, word, how, &first, &then);
    };
    trial(&mut subject, "again, by the same instance".into(), &every(CALL_RECORDS, len));
    subject.renew();
    trial(&mut subject, "again, by a fresh instance".into(), &every(CALL_RECORDS, len));
    trial(&mut subject, "one record a call".into(), &every(1, len));
    for number in 1..=CUTS_TRIED {
        trial(&mut subject, format!("other cuts, {number}"), &random.cuts(len));
    }
    let mut order: Vec<u32> = (0..len as u32).collect();
    (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i + 1)));
    let shuffled = subject.run(&given.gather(&order), &every(CALL_RECORDS, len), &mut nothing);
    let mut back = first.clone();
    order.iter().zip(shuffled).for_each(|(at, (_, fate))| back[*at as usize].1 = fate);
    note(report, word, "in another order".into(), &first, &back);
}

impl Subject<'_> {
    fn renew(&mut self) {
        self.functions.renew(self.function);
    }

    /// Every record's fate, calls ending where `ends` says. A call that fails is made again record by record.
    fn run(&mut self, given: &Given, ends: &[usize], report: &mut Report) -> Vec<(String, Fate)> {
        let (mut fates, mut from) = (Vec::with_capacity(given.records.len()), 0);
        for &to in ends {
            match self.call(&given.slice(from, to)) {
                Ok(some) => fates.extend(some),
                Err(_) => {
                    for at in from..to {
                        self.renew();
                        match self.call(&given.slice(at, at + 1)) {
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

    fn call(&mut self, given: &Given) -> Answer<Vec<Fate>> {
        match (self.kind, &given.right) {
            (Interface::Filter, _) => self.keep(&given.records),
            (Interface::Router, _) => self.route(&given.records),
            (Interface::Joiner, Some(right)) => self.join(&given.records, right),
            _ => self.apply(&given.records),
        }
    }

    fn route(&mut self, batch: &Batch) -> Answer<Vec<Fate>> {
        let (context, records) = records_of(batch);
        let routed = self.functions.route(self.function, context, records)?;
        same_length(&routed.topics, batch.len(), "records")?;
        if let Some(partitions) = routed.partitions.as_ref().filter(|all| all.len() != batch.len()) {
            return Err(Fault::BadResult {
                what: format!("{} partitions for {} records", partitions.len(), batch.len()),
            });
        }
        let to = |i: usize| {
            let topic = routed.topics.get(i).map_or("its sink's topic".to_string(), |topic| shown(Some(topic)));
            let partition = routed.partitions.as_ref().map_or("that of its key".to_string(), |all| all[i].to_string());
            Fate::Routed(format!("{topic}, partition {partition}"))
        };
        refused((0..batch.len()).map(to).collect(), routed.rejected)
    }

    fn join(&mut self, left: &Batch, right: &Batch) -> Answer<Vec<Fate>> {
        let joined = self.functions.join(self.function, &left.keys, &left.values, &right.values)?;
        same_length(&joined.values, left.len(), "pairs")?;
        let values = (0..left.len()).map(|i| Fate::Joined(shown(joined.values.get(i))));
        refused(values.collect(), joined.rejected)
    }

    fn keep(&mut self, batch: &Batch) -> Answer<Vec<Fate>> {
        let (context, records) = records_of(batch);
        let kept = self.functions.keep(self.function, context, records)?;
        if kept.bits.len() != batch.len().div_ceil(8) {
            return Err(Fault::BadResult {
                what: format!("{} bytes of bits for {} records", kept.bits.len(), batch.len()),
            });
        }
        let bit = |i: usize| if kept.bits[i / 8] >> (i % 8) & 1 == 1 { Fate::Kept } else { Fate::Dropped };
        refused((0..batch.len()).map(bit).collect(), kept.rejected)
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
        let (context, records) = records_of(batch);
        let output = self.functions.apply(self.function, context, records)?;
        Takes::ANYTHING.check(&output, batch.len())?;
        let taken = output.taken as usize;
        let mut fates = vec![Fate::Results(Vec::new()); taken];
        let sources = output.sources.clone().unwrap_or_else(|| (0..output.taken).collect());
        for (i, source) in sources.iter().enumerate() {
            // What is left as it was is the same as if it were said again: which columns come depends on the others in the call.
            let row = *source as usize;
            let key = shown(output.keys.as_ref().map_or_else(|| batch.keys.get(row), |keys| keys.get(i)));
            let value = shown(output.values.as_ref().map_or_else(|| batch.values.get(row), |values| values.get(i)));
            let time = output.timestamps.as_ref().map_or(batch.timestamps[row], |times| times[i]);
            let port = output.ports.as_ref().map_or(0, |ports| ports[i]);
            let of = |h: &HeaderColumns, at: usize| -> String {
                h.of(at).map(|(name, value)| format!(", header {}: {}", shown(Some(name)), shown(value))).collect()
            };
            let headers = match (&output.headers, &batch.headers) {
                (Some(headers), _) => of(headers, i),
                (None, Some(headers)) => of(headers, row),
                (None, None) => String::new(),
            };
            let Some(Fate::Results(results)) = fates.get_mut(row) else { return Err(out_of_range(*source)) };
            results.push(format!("key {key}, value {value}, time {time}, port {port}{headers}"));
        }
        refused(fates, output.rejected)
    }
}

/// With the records that the function refused.
fn refused(mut fates: Vec<Fate>, rejected: Vec<Rejection>) -> Answer<Vec<Fate>> {
    for rejection in rejected {
        let fate = fates.get_mut(rejection.index as usize);
        *fate.ok_or_else(|| out_of_range(rejection.index))? = Fate::Refused(rejection.reason);
    }
    Ok(fates)
}

fn out_of_range(index: u32) -> Fault {
    Fault::BadResult { what: format!("it names record {index}, which it was not given") }
}
