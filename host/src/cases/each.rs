//! Filters, mappers, routers, joiners: what becomes of each record, compared with what must.

use std::fmt;

use millstream_core::function::{Answer, Fault, Interface, Output, Rejection};
use millstream_core::record::{Batch, BytesColumn};

use super::datum::{Datum, shown};
use super::{Caller, Cut, Expect, Given, Item, Made};
use crate::alone::Came;

/// What became of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// A filter kept it, or not.
    Kept(bool),
    /// What a mapper made of it.
    Results(Vec<Came>),
    /// Topic and partition.
    Routed(Option<Vec<u8>>, Option<u32>),
    /// The value of a pair, or of a scan.
    Value(Option<Vec<u8>>),
    /// A fold took it.
    Taken,
    /// The function's reason.
    Rejected(String),
    /// The call with it failed.
    Failed(String),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Kept(true) => f.write_str("kept"),
            Fate::Kept(false) => f.write_str("dropped"),
            Fate::Results(all) => list(f, all),
            Fate::Routed(topic, partition) => f.write_str(&routed(shown(topic.as_deref()), *partition)),
            Fate::Value(value) => write!(f, "value {}", shown(value.as_deref())),
            Fate::Taken => f.write_str("taken"),
            Fate::Rejected(reason) => write!(f, "rejected: {reason}"),
            Fate::Failed(why) => write!(f, "the call failed: {why}"),
        }
    }
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}, value {}", shown(self.key.as_deref()), shown(self.value.as_deref()))?;
        write!(f, ", timestamp {}", self.timestamp)?;
        for (name, value) in &self.headers {
            write!(f, ", header {name:?} {}", shown(value.as_deref()))?;
        }
        if self.output > 0 { write!(f, ", output {}", self.output) } else { Ok(()) }
    }
}

fn list(f: &mut fmt::Formatter<'_>, all: &[Came]) -> fmt::Result {
    match all {
        [] => f.write_str("no record"),
        [one] => write!(f, "{one}"),
        all => all
            .iter()
            .enumerate()
            .try_for_each(|(i, one)| write!(f, "{}{}: {one}", if i > 0 { "; " } else { "" }, i + 1)),
    }
}

fn routed(topic: String, partition: Option<u32>) -> String {
    let topic = if topic == "null" { "the sink's own".to_string() } else { topic };
    match partition {
        Some(partition) => format!("topic {topic}, partition {partition}"),
        None => format!("topic {topic}, partition by key"),
    }
}

impl Expect {
    /// Whether this became of the record.
    pub(super) fn is(&self, item: &Item, fate: &Fate) -> bool {
        match (self, fate) {
            (Expect::Keep(keep), Fate::Kept(kept)) => keep == kept,
            (Expect::Into(made), Fate::Results(came)) => {
                made.len() == came.len() && made.iter().zip(came).all(|(made, came)| made.is(item, came))
            }
            (Expect::Route(topic, partition), Fate::Routed(to, at)) => topic.is(to.as_deref()) && partition == at,
            (Expect::Value(value), Fate::Value(came)) => value.is(came.as_deref()),
            (Expect::Rejected(part), Fate::Rejected(reason)) => reason.contains(part.as_str()),
            (Expect::Fails(part), Fate::Failed(why)) => why.contains(part.as_str()),
            (Expect::Taken, Fate::Taken) => true,
            _ => false,
        }
    }

    /// For people.
    pub(super) fn shown(&self, item: &Item) -> String {
        let part = |what: &str, part: &str| match part {
            "" => what.to_string(),
            part => format!("{what}, with {part:?} in its words"),
        };
        match self {
            Expect::Keep(keep) => Fate::Kept(*keep).to_string(),
            Expect::Into(made) => match &made[..] {
                [] => "no record".to_string(),
                [one] => one.shown(item),
                all => {
                    let all = all.iter().enumerate().map(|(i, one)| format!("{}: {}", i + 1, one.shown(item)));
                    all.collect::<Vec<_>>().join("; ")
                }
            },
            Expect::Route(topic, partition) => routed(topic.shown(), *partition),
            Expect::Value(value) => format!("value {}", value.shown()),
            Expect::Rejected(reason) => part("rejected", reason),
            Expect::Fails(why) => part("the call fails", why),
            Expect::Taken => "taken".to_string(),
        }
    }
}

impl Made {
    fn headers<'a>(&'a self, item: &'a Item) -> &'a [(String, Datum)] {
        self.headers.as_deref().unwrap_or(&item.record.headers)
    }

    pub(super) fn is(&self, item: &Item, came: &Came) -> bool {
        let headers = self.headers(item);
        self.key.as_ref().unwrap_or(&item.record.key).is(came.key.as_deref())
            && self.value.as_ref().unwrap_or(&item.record.value).is(came.value.as_deref())
            && self.timestamp.unwrap_or(item.record.timestamp) == came.timestamp
            && headers.len() == came.headers.len()
            && headers.iter().zip(&came.headers).all(|(made, came)| made.0 == came.0 && made.1.is(came.1.as_deref()))
            && self.output == came.output
    }

    pub(super) fn shown(&self, item: &Item) -> String {
        let (key, value) = (self.key.as_ref(), self.value.as_ref());
        let (key, value) = (key.unwrap_or(&item.record.key), value.unwrap_or(&item.record.value));
        let timestamp = self.timestamp.unwrap_or(item.record.timestamp);
        let mut out = format!("key {}, value {}, timestamp {timestamp}", key.shown(), value.shown());
        for (name, value) in self.headers(item) {
            out.push_str(&format!(", header {name:?} {}", value.shown()));
        }
        if self.output > 0 {
            out.push_str(&format!(", output {}", self.output));
        }
        out
    }
}

/// Asks for every record's fate. A record that is to fail its call has one to itself.
pub fn run(caller: &mut Caller<'_>, interface: Interface, items: &[Item]) {
    let (failing, whole): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| matches!(item.expect, Expect::Fails(_)));
    for some in whole.chunks(caller.call_len(whole.len())) {
        call(caller, interface, some);
    }
    for one in failing {
        call(caller, interface, &[one]);
    }
}

fn call(caller: &mut Caller<'_>, interface: Interface, items: &[&Item]) {
    caller.renew();
    let fates = match fates(caller, interface, items) {
        Ok(fates) => fates,
        Err(fault) if items.len() == 1 => vec![Fate::Failed(fault.to_string())],
        // Which record it was is found by asking again, one by one; else it is all of them together.
        Err(fault) => {
            let before = caller.mismatches.len();
            items.iter().for_each(|item| call(caller, interface, &[item]));
            if caller.mismatches.len() == before {
                let expected = format!("an answer for all {} records", items.len());
                caller.mismatch(&items[0].place, expected, Fate::Failed(fault.to_string()).to_string());
            }
            return;
        }
    };
    for (item, fate) in items.iter().zip(fates).filter(|(item, fate)| !item.expect.is(item, fate)) {
        caller.mismatch(&item.place, item.expect.shown(item), fate.to_string());
    }
}

fn fates(caller: &mut Caller<'_>, interface: Interface, items: &[&Item]) -> Answer<Vec<Fate>> {
    match interface {
        Interface::Filter => keep(caller, items),
        Interface::Router => route(caller, items),
        Interface::Joiner => join(caller, items),
        _ => apply(caller, items),
    }
}

fn keep(caller: &mut Caller<'_>, items: &[&Item]) -> Answer<Vec<Fate>> {
    let given = Given::of(items.iter().copied());
    let (context, records) = given.call();
    let kept = caller.functions.keep(caller.function, context, records)?;
    let bytes = items.len().div_ceil(8);
    if kept.bits.len() != bytes {
        return bad(format!("{} bytes of bits for {} records", kept.bits.len(), items.len()));
    }
    let fates = (0..items.len()).map(|i| Fate::Kept(kept.bits[i / 8] >> (i % 8) & 1 == 1));
    rejected(fates.collect(), kept.rejected)
}

fn route(caller: &mut Caller<'_>, items: &[&Item]) -> Answer<Vec<Fate>> {
    let given = Given::of(items.iter().copied());
    let (context, records) = given.call();
    let routed = caller.functions.route(caller.function, context, records)?;
    same_length(routed.topics.len(), items.len(), "topics")?;
    if let Some(partitions) = &routed.partitions {
        same_length(partitions.len(), items.len(), "partitions")?;
    }
    let partition = |i: usize| routed.partitions.as_ref().map(|all| all[i]);
    let fates = (0..items.len()).map(|i| Fate::Routed(routed.topics.get(i).map(<[u8]>::to_vec), partition(i)));
    rejected(fates.collect(), routed.rejected)
}

fn join(caller: &mut Caller<'_>, items: &[&Item]) -> Answer<Vec<Fate>> {
    let column = |of: fn(&Item) -> &Datum| items.iter().map(|item| of(item).bytes()).collect::<BytesColumn>();
    let (keys, left, right) =
        (column(|item| &item.record.key), column(|item| &item.record.value), column(|item| &item.right));
    let joined = caller.functions.join(caller.function, &keys, &left, &right)?;
    same_length(joined.values.len(), items.len(), "values")?;
    let fates = (0..items.len()).map(|i| Fate::Value(joined.values.get(i).map(<[u8]>::to_vec)));
    rejected(fates.collect(), joined.rejected)
}

/// Asks again with the rest where a mapper takes only some, as the engine does.
fn apply(caller: &mut Caller<'_>, items: &[&Item]) -> Answer<Vec<Fate>> {
    let mut fates = Vec::new();
    while fates.len() < items.len() {
        let given = Given::of(items[fates.len()..].iter().copied());
        let (context, records) = given.call();
        let output = caller.functions.apply(caller.function, context, records)?;
        fates.extend(results(&given.batch, output)?);
        if caller.cut == Cut::Fresh {
            caller.renew();
        }
    }
    Ok(fates)
}

/// What became of the records that were taken.
fn results(batch: &Batch, output: Output) -> Answer<Vec<Fate>> {
    let taken = output.taken as usize;
    if taken == 0 || taken > batch.len() {
        return bad(format!("it took {taken} of {} records", batch.len()));
    }
    let count = output.sources.as_ref().map_or(taken, Vec::len);
    let lengths = [
        (output.ports.as_ref().map(Vec::len), "ports"),
        (output.keys.as_ref().map(BytesColumn::len), "keys"),
        (output.values.as_ref().map(BytesColumn::len), "values"),
        (output.timestamps.as_ref().map(Vec::len), "timestamps"),
        (output.headers.as_ref().map(|headers| headers.len()), "headers"),
    ];
    for (len, what) in lengths {
        same_length(len.unwrap_or(count), count, what)?;
    }
    if output.sources.is_none() && !output.rejected.is_empty() {
        return bad("it rejects records and gives no `sources`".to_string());
    }
    let sources = output.sources.clone().unwrap_or_else(|| (0..output.taken).collect());
    if !sources.is_sorted() {
        return bad("its `sources` fall".to_string());
    }
    let mut fates = vec![Fate::Results(Vec::new()); taken];
    for (i, source) in sources.iter().enumerate() {
        let row = *source as usize;
        let Some(Fate::Results(results)) = fates.get_mut(row) else { return bad(not_given(*source)) };
        results.push(result(batch, &output, row, i));
    }
    rejected(fates, output.rejected)
}

/// Result `i`, which comes from `row`.
fn result(batch: &Batch, output: &Output, row: usize, i: usize) -> Came {
    let own = |column: &Option<BytesColumn>, source: &BytesColumn| match column {
        Some(column) => column.get(i).map(<[u8]>::to_vec),
        None => source.get(row).map(<[u8]>::to_vec),
    };
    let (headers, at) = match &output.headers {
        Some(headers) => (Some(headers), i),
        None => (batch.headers.as_deref(), row),
    };
    let header =
        |(name, value): (&[u8], Option<&[u8]>)| (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec));
    Came {
        key: own(&output.keys, &batch.keys),
        value: own(&output.values, &batch.values),
        timestamp: output.timestamps.as_ref().map_or(batch.timestamps[row], |times| times[i]),
        headers: headers.map_or_else(Vec::new, |headers| headers.of(at).map(header).collect()),
        output: output.ports.as_ref().map_or(0, |ports| ports[i]),
    }
}

/// With the records that the function rejected.
pub fn rejected(mut fates: Vec<Fate>, rejected: Vec<Rejection>) -> Answer<Vec<Fate>> {
    for Rejection { index, reason } in rejected {
        match fates.get_mut(index as usize) {
            Some(Fate::Results(results)) if !results.is_empty() => {
                return bad(format!("it rejects record {index} and has results for it"));
            }
            Some(fate) => *fate = Fate::Rejected(reason),
            None => return bad(not_given(index)),
        }
    }
    Ok(fates)
}

fn not_given(index: u32) -> String {
    format!("it names record {index}, which it was not given")
}

pub fn same_length(len: usize, expected: usize, what: &str) -> Answer<()> {
    if len == expected { Ok(()) } else { bad(format!("{len} {what} for {expected}")) }
}

fn bad<T>(what: String) -> Answer<T> {
    Err(Fault::BadResult { what })
}
