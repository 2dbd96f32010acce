//! Processors: what leaves may depend on the records so far and on the timers that were set for them, and on nothing else; not on how
//! records were cut into calls, and not on the instance. Each run has a step of its own, with empty stores.

use std::fmt;

use anyhow::{Context, bail};
use millstream_core::function::{Functions, Prepared};
use millstream_core::record::Batch;

use super::{CALL_RECORDS, CUTS_TRIED, Random, Report, every, note};
use crate::alone::{Alone, Came, Refused, Store, Took};

/// A step for a processor.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Its stores.
    pub stores: &'a [Store],
    /// How many outputs it has.
    pub outputs: u32,
}

/// What left, or was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Left {
    Came(Came),
    Refused(Refused),
    Nothing,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Left::Came(came) => came.fmt(f),
            Left::Refused(Refused { by_function: true, message, .. }) => write!(f, "refused: {message}"),
            Left::Refused(Refused { message, .. }) => write!(f, "failed: {message}"),
            Left::Nothing => f.write_str("nothing leaves"),
        }
    }
}

/// What came of a run, and the instance that gave it.
struct Run {
    took: Took,
    functions: Box<dyn Functions>,
}

/// Takes the records through steps of their own and notes what differs. `fresh` makes functions without an instance.
///
/// # Errors
/// In words for the user: stores that a step cannot have; why a step stopped.
pub fn verify(
    fresh: &dyn Fn() -> Box<dyn Functions>,
    function: Prepared,
    step: Step<'_>,
    (records, seed): (&Batch, u64),
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut random = Random(seed);
    let run = |functions, cuts: &[usize], renews: bool| run((functions, function), step, records, cuts, renews);
    let usual = every(CALL_RECORDS, records.len());
    let first = run(fresh(), &usual, false)?;
    let failing = first.took.refused.iter().filter(|refused| !refused.by_function);
    report.failing.extend(failing.filter_map(|refused| Some((refused.record?, refused.message.clone()))));
    if let (true, Some((_, why))) = (report.failing.len() >= records.len(), report.failing.first()) {
        bail!("it fails on each record, and so nothing was tried: {why}");
    }
    let mut compare = |then: &Took, how: String| compared(&first.took, then, how, report);
    let again = run(first.functions, &usual, false)?;
    compare(&again.took, "again, by the same instance".into());
    compare(&run(fresh(), &usual, false)?.took, "again, by a fresh instance".into());
    let single = every(1, records.len());
    compare(&run(again.functions, &single, false)?.took, "one record a call".into());
    compare(&run(fresh(), &single, true)?.took, "one record a call, each fresh".into());
    for number in 1..=CUTS_TRIED {
        let cuts = random.cuts(records.len());
        compare(&run(fresh(), &cuts, false)?.took, format!("other cuts, {number}"));
    }
    Ok(())
}

fn run(
    (functions, function): (Box<dyn Functions>, Prepared),
    step: Step<'_>,
    records: &Batch,
    cuts: &[usize],
    renews: bool,
) -> anyhow::Result<Run> {
    let mut alone = Alone::new(functions, function, step.stores, step.outputs).context("set the step up")?;
    let (mut all, mut from) = (Took::default(), 0);
    for to in cuts {
        if renews {
            alone.renew(function);
        }
        let took = alone.take(records.slice(from, *to)).with_context(|| format!("with the records {from} to {to}"))?;
        all.results.extend(took.results);
        all.refused.extend(took.refused);
        from = *to;
    }
    // Each output has its own order, whatever leaves by others meanwhile.
    all.results.sort_by_key(|came| came.output);
    Ok(Run { took: all, functions: alone.into_functions() })
}

/// What left by each output, and what was refused, with its place; as many of each as `len` says.
fn places(took: &Took, outputs: u32, len: &dyn Fn(Option<u32>) -> usize) -> Vec<(String, Left)> {
    let mut all = Vec::new();
    for output in 0..outputs {
        let of: Vec<&Came> = took.results.iter().filter(|came| came.output == output).collect();
        let left = |i: usize| of.get(i).map_or(Left::Nothing, |came| Left::Came((*came).clone()));
        all.extend((0..len(Some(output))).map(|i| (format!("result {} of output {output}", i + 1), left(i))));
    }
    let refused = |i: usize| took.refused.get(i).map_or(Left::Nothing, |refused| Left::Refused(refused.clone()));
    all.extend((0..len(None)).map(|i| (format!("refusal {}", i + 1), refused(i))));
    all
}

fn compared(first: &Took, then: &Took, how: String, report: &mut Report) {
    let of = |took: &Took, output: Option<u32>| match output {
        Some(output) => took.results.iter().filter(|came| came.output == output).count(),
        None => took.refused.len(),
    };
    let len = |output: Option<u32>| of(first, output).max(of(then, output));
    let outputs = first.results.iter().chain(&then.results).map(|came| came.output + 1).max().unwrap_or(0);
    note(report, "processor", how, &places(first, outputs, &len), &places(then, outputs, &len));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(values: &[(u32, &str)], refused: &[&str]) -> Took {
        let came = |(output, value): &(u32, &str)| Came {
            output: *output,
            key: None,
            value: Some(value.as_bytes().to_vec()),
            timestamp: 0,
            headers: Vec::new(),
        };
        let refusal = |message: &&str| Refused { by_function: true, message: (*message).into(), record: Some(0) };
        Took { results: values.iter().map(came).collect(), refused: refused.iter().map(refusal).collect() }
    }

    #[test]
    fn what_leaves_is_compared_output_by_output() {
        let first = took(&[(0, "a"), (0, "b"), (1, "c")], &["no"]);
        let differing = |then: &Took| {
            let mut report = Report::default();
            compared(&first, then, "again".into(), &mut report);
            let differences = report.trials[0].differences.iter();
            differences.map(|d| format!("{}: {} | {}", d.at, d.first, d.then)).collect::<Vec<_>>()
        };
        assert!(differing(&first).is_empty());
        let less = differing(&took(&[(0, "a"), (1, "c")], &["no", "nor this"]));
        let b = "key null, value \"b\", timestamp 0";
        assert_eq!(
            less,
            [
                format!("result 2 of output 0: {b} | nothing leaves"),
                "refusal 2: nothing leaves | refused: nor this".to_string()
            ]
        );
        assert_eq!(differing(&took(&[(0, "b"), (0, "a"), (1, "c")], &["no"])).len(), 2, "their order counts");
    }
}
