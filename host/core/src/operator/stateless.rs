//! Steps without state: filter, filter-not, peek, map and its forms, branch.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::isolate::{self, Isolation, Work};
use super::{Cx, Part, bad_result, check_rejections, part};
use crate::decode::{Kind, Row};
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{Flow, Windows};
use crate::function::{Answer, Context, Fault, Functions, Kept, Output, Rejection};
use crate::record::{Batch, BytesColumn, HeaderColumns, Timestamp};
use crate::time::NEVER;
use crate::topology::graph::Node;
use crate::topology::spec::MapForm;

/// A step's stream time: kept always, since a later version of its function may want to see it.
pub(crate) struct StreamTimes<'t> {
    /// The function reads them.
    pub wanted: bool,
    /// The largest timestamp of the records that the step took.
    pub observed: &'t mut Timestamp,
    /// What the rows of the polled batch say of time.
    pub rows: &'t [Row],
}

impl StreamTimes<'_> {
    /// The stream time of its upstream task, for a record that one sent.
    fn upstream(&self, flow: &Flow, i: usize) -> Option<Timestamp> {
        let row = self.rows.get(flow.origin(i)? as usize)?;
        (row.kind == Kind::Record).then_some(row.time)
    }

    /// For each record the stream time once it is in, where the function wants to know.
    fn of(&self, flow: &Flow, from: usize, to: usize) -> Vec<Timestamp> {
        if !self.wanted {
            return Vec::new();
        }
        let mut observed = *self.observed;
        let of = |i: usize| {
            observed = observed.max(flow.batch.timestamps[i]);
            self.upstream(flow, i).unwrap_or(observed)
        };
        (from..to).map(of).collect()
    }

    /// Takes in records `from..to` less those refused, which do not move it.
    fn advance(&mut self, flow: &Flow, from: usize, to: usize, rejected: &[Rejection]) {
        let times = &flow.batch.timestamps[from..to];
        let refused = |i: usize| rejected.iter().any(|r| r.index as usize == i);
        let newest = match rejected {
            [] => times.iter().copied().max(),
            _ => times.iter().enumerate().filter(|(i, _)| !refused(*i)).map(|(_, t)| *t).max(),
        };
        *self.observed = newest.map_or(*self.observed, |t| t.max(*self.observed));
    }

    /// How many records of a call's answer stand: behind a record that was refused and would have moved stream time the
    /// function saw wrong times, and has to be asked again.
    fn stand(&self, flow: &Flow, from: usize, to: usize, rejected: &[Rejection]) -> usize {
        if !self.wanted || rejected.is_empty() {
            return to - from;
        }
        // Those from an upstream task have its time; what a step before this one made by itself, as when a timer fired, has this step's.
        let by_own_time = (from..to).rev().find(|i| self.upstream(flow, *i).is_none());
        let mut observed = *self.observed;
        for i in from..to {
            let time = flow.batch.timestamps[i];
            let refused = rejected.iter().any(|r| r.index as usize == i - from);
            if refused && time > observed && by_own_time.is_some_and(|last| i < last) {
                return i + 1 - from;
            }
            observed = observed.max(time);
        }
        to - from
    }
}

/// Which records the answers were about, for those who have to know.
#[derive(Default)]
pub(crate) struct Noted {
    /// Of each result the place of its record.
    pub sources: Vec<u32>,
    /// Records that were refused, or on which the function failed.
    pub refused: Vec<u32>,
}

impl Noted {
    fn reject(noted: &mut Option<&mut Self>, from: usize, rejected: &[Rejection]) {
        if let Some(noted) = noted {
            let before = noted.refused.len();
            noted.refused.extend(rejected.iter().map(|r| from as u32 + r.index));
            // In no order: that is allowed.
            noted.refused[before..].sort_unstable();
        }
    }
}

/// Filter, filter-not: places of the records of which the function says `wanted`. Of those that it refused or failed on it
/// says neither.
pub(crate) fn filter(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    function: usize,
    wanted: bool,
    flow: &Flow,
    times: StreamTimes<'_>,
    noted: Option<&mut Noted>,
) -> Result<Places, Verdict> {
    let mut work = Filtering { node, function, wanted, flow, times, places: Places::First(0), noted, cx };
    let prepared = work.cx.active[function].prepared;
    isolate::run(&mut work, &node.name, prepared, flow.len())?;
    Ok(work.places)
}

/// Places of records in a flow, in order.
pub(crate) enum Places {
    /// So many from the first on.
    First(usize),
    /// These.
    These(Vec<u32>),
}

impl Places {
    /// Records `from..to`, all of them.
    fn all(&mut self, from: usize, to: usize) {
        match self {
            Places::First(count) if *count == from => *count = to,
            _ => self.list(to).extend(from as u32..to as u32),
        }
    }

    /// As a list, with room for places below `end`.
    fn list(&mut self, end: usize) -> &mut Vec<u32> {
        if let Places::First(count) = self {
            let mut places = Vec::with_capacity(end);
            places.extend(0..*count as u32);
            *self = Places::These(places);
        }
        let Places::These(places) = self else { unreachable!("it was just made a list") };
        places
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        match self {
            Places::First(count) => *count,
            Places::These(places) => places.len(),
        }
    }

    /// Each of them, in order.
    pub fn each(self, mut take: impl FnMut(u32)) {
        match self {
            Places::First(count) => (0..count as u32).for_each(take),
            Places::These(places) => places.into_iter().for_each(&mut take),
        }
    }

    /// Those records of the flow.
    pub fn of(self, flow: &Flow) -> Flow {
        match self {
            Places::First(count) if count == flow.len() => flow.clone(),
            Places::First(count) => flow.gather(&(0..count as u32).collect::<Vec<_>>()),
            Places::These(places) => flow.gather(&places),
        }
    }
}

struct Filtering<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    node: &'w Node,
    function: usize,
    wanted: bool,
    flow: &'w Flow,
    times: StreamTimes<'w>,
    places: Places,
    noted: Option<&'w mut Noted>,
}

impl Work for Filtering<'_, '_, '_> {
    type Given = (Kept, usize);

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<(Kept, usize)> {
        let part = part(self.flow, from, to, self.times.of(self.flow, from, to));
        let prepared = self.cx.active[self.function].prepared;
        let kept = self.cx.ports.functions.keep(prepared, part.context(), part.records())?;
        let (expected, len) = ((to - from).div_ceil(8), kept.bits.len());
        if len != expected {
            return Err(bad_result(format!("a filter over {} records gave {len} bytes, not {expected}", to - from)));
        }
        check_rejections(&kept.rejected, "record", to - from)?;
        let stand = self.times.stand(self.flow, from, to, &kept.rejected);
        Ok((kept, stand))
    }

    fn accept(&mut self, from: usize, _to: usize, (mut kept, stand): (Kept, usize)) -> Result<usize, Verdict> {
        kept.rejected.retain(|r| (r.index as usize) < stand);
        for rejection in &kept.rejected {
            // What the function says besides of a record that it refused does not count.
            let (byte, bit) = (rejection.index as usize / 8, 1 << (rejection.index % 8));
            kept.bits[byte] = if self.wanted { kept.bits[byte] & !bit } else { kept.bits[byte] | bit };
        }
        let says = |i: usize| (kept.bits[i / 8] >> (i % 8) & 1 == 1) == self.wanted;
        let full = if self.wanted { 0xff } else { 0 };
        if kept.bits[..stand / 8].iter().all(|b| *b == full) && (stand / 8 * 8..stand).all(says) {
            self.places.all(from, from + stand);
        } else {
            let list = self.places.list(self.flow.len());
            list.extend((0..stand).filter(|i| says(*i)).map(|i| (from + i) as u32));
        }
        Noted::reject(&mut self.noted, from, &kept.rejected);
        self.times.advance(self.flow, from, from + stand, &kept.rejected);
        self.cx.reject(self.node, self.function, self.flow, from, &kept.rejected)?;
        Ok(stand)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.noted.iter_mut().for_each(|noted| noted.refused.push(at as u32));
        let message = format!("{fault}");
        self.cx.refuse(self.node, Some(self.function), self.flow, at, Reason::Poisoned, &message)
    }
}

/// A mapper's results, by port.
pub(crate) fn map(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    function: usize,
    rules: Rules,
    flow: &Flow,
    times: StreamTimes<'_>,
    noted: Option<&mut Noted>,
) -> Result<Vec<Flow>, Verdict> {
    let pieces = (0..node.ports).map(|_| Vec::new()).collect();
    let mut work = Mapping { cx, node, function, rules, flow, times, pieces, noted };
    let prepared = work.cx.active[function].prepared;
    isolate::run(&mut work, &node.name, prepared, flow.len())?;
    Ok(work.pieces.into_iter().map(join).collect())
}

/// Pieces of one call after the other, in order, as one flow.
pub(crate) fn join(mut pieces: Vec<Flow>) -> Flow {
    if pieces.len() == 1 {
        return pieces.remove(0);
    }
    let all: Vec<&Flow> = pieces.iter().collect();
    Flow::merge(&all)
}

/// What a mapper's answer may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// A form of map.
    Form(MapForm),
    /// A branch; the port of records without a result.
    Branch {
        /// See [`crate::topology::graph::NodeOperator::Branch`].
        otherwise: Option<u32>,
    },
    /// A processor: anything, to any of its outputs.
    Process,
}

/// What a step takes of a function's results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// What they may contain.
    pub rules: Rules,
    /// To how many outputs they may go.
    pub ports: u32,
}

impl Takes {
    /// Of a function that is called outside of a step: what the contract lets any mapper answer.
    pub const ANYTHING: Self = Self { rules: Rules::Process, ports: u32::MAX };

    /// Whether an answer to a call with so many records is one that the step takes.
    ///
    /// # Errors
    /// Which rule of the contract, or of the step, it breaks.
    pub fn check(self, output: &Output, len: usize) -> Answer<()> {
        check_output(output, len, self.rules, self.ports)
    }
}

struct Mapping<'w, 'a, 'p> {
    cx: &'w mut Cx<'a, 'p>,
    node: &'w Node,
    function: usize,
    rules: Rules,
    flow: &'w Flow,
    times: StreamTimes<'w>,
    pieces: Vec<Vec<Flow>>,
    noted: Option<&'w mut Noted>,
}

impl Work for Mapping<'_, '_, '_> {
    type Given = (Output, Part);

    fn functions(&mut self) -> &mut dyn Functions {
        self.cx.ports.functions
    }

    fn isolation(&mut self) -> &mut Isolation {
        self.cx.isolation
    }

    fn call(&mut self, from: usize, to: usize) -> Answer<(Output, Part)> {
        let part = part(self.flow, from, to, self.times.of(self.flow, from, to));
        let prepared = self.cx.active[self.function].prepared;
        let takes = Takes { rules: self.rules, ports: self.ports() };
        let context = Context { takes: Some(takes), ..part.context() };
        let output = self.cx.ports.functions.apply(prepared, context, part.records())?;
        takes.check(&output, to - from)?;
        match self.times.stand(self.flow, from, from + output.taken as usize, &output.rejected) {
            stand if stand < output.taken as usize => self.call(from, from + stand),
            _ => Ok((output, part)),
        }
    }

    fn accept(&mut self, from: usize, _to: usize, (output, part): (Output, Part)) -> Result<usize, Verdict> {
        let taken = output.taken as usize;
        Noted::reject(&mut self.noted, from, &output.rejected);
        if let Some(noted) = &mut self.noted {
            let given = |source: u32| from as u32 + source;
            match &output.sources {
                None => noted.sources.extend((0..output.taken).map(given)),
                Some(sources) => noted.sources.extend(sources.iter().map(|s| given(*s))),
            }
        }
        self.times.advance(self.flow, from, from + taken, &output.rejected);
        self.cx.reject(self.node, self.function, self.flow, from, &output.rejected)?;
        let otherwise = match self.rules {
            Rules::Branch { otherwise: Some(port) } => Some((port, unmatched(&output))),
            _ => None,
        };
        if let Some((port, places)) = otherwise {
            let flow = part.flow.gather(&places);
            self.pieces[port as usize].push(flow);
        }
        results_of(output, &part.flow, self.rules).sort_into(&mut self.pieces);
        Ok(taken)
    }

    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.noted.iter_mut().for_each(|noted| noted.refused.push(at as u32));
        let message = format!("{fault}");
        self.cx.refuse(self.node, Some(self.function), self.flow, at, Reason::Poisoned, &message)
    }
}

impl Mapping<'_, '_, '_> {
    /// Ports that the function may name: all but the one for the rest.
    fn ports(&self) -> u32 {
        match self.rules {
            Rules::Branch { otherwise: Some(port) } => port,
            _ => self.node.ports,
        }
    }
}

/// Records taken that have neither a result nor a rejection.
fn unmatched(output: &Output) -> Vec<u32> {
    let Some(sources) = &output.sources else { return Vec::new() };
    let mut has = alloc::vec![false; output.taken as usize];
    sources.iter().for_each(|s| has[*s as usize] = true);
    output.rejected.iter().for_each(|r| has[r.index as usize] = true);
    (0..output.taken).filter(|i| !has[*i as usize]).collect()
}

/// Checks an answer against the contract and the step's form.
pub(crate) fn check_output(output: &Output, len: usize, rules: Rules, ports: u32) -> Answer<()> {
    let taken = output.taken as usize;
    if taken == 0 || taken > len {
        return Err(bad_result(format!("`taken` is {taken}; between 1 and {len} were to be taken")));
    }
    check_rejections(&output.rejected, "record", taken)?;
    if !output.rejected.is_empty() && output.sources.is_none() {
        return Err(bad_result("records were rejected and `sources` is not given".into()));
    }
    let results = match &output.sources {
        None => taken,
        Some(sources) => {
            if let Some(w) = sources.windows(2).find(|w| w[1] < w[0]) {
                return Err(bad_result(format!("`sources` falls from {} to {}", w[0], w[1])));
            }
            if let Some(last) = sources.last().filter(|s| **s as usize >= taken) {
                return Err(bad_result(format!("`sources` names record {last} of {taken} taken")));
            }
            let multiple = sources.windows(2).any(|w| w[0] == w[1]);
            if multiple && matches!(rules, Rules::Form(form) if !form.may_multiply()) {
                return Err(bad_result("more than one result for a record; use `flat-map` for that".into()));
            }
            if multiple && matches!(rules, Rules::Branch { .. }) {
                return Err(bad_result("a record went to more than one branch".into()));
            }
            sources.len()
        }
    };
    check_counts(output, results)?;
    if let Some(port) = output.ports.iter().flatten().find(|p| **p >= ports) {
        return Err(bad_result(format!("port {port} is not there; the step has {ports}")));
    }
    if output.keys.is_some() && matches!(rules, Rules::Form(MapForm::MapValues | MapForm::FlatMapValues)) {
        return Err(bad_result("`map-values` may not change the key; use `map` for that".into()));
    }
    let Output { keys, values, timestamps, headers, .. } = output;
    let changes = keys.is_some() || values.is_some() || timestamps.is_some() || headers.is_some();
    if changes && matches!(rules, Rules::Branch { .. }) {
        return Err(bad_result("a branch only names an output for each record; use `map` to change records".into()));
    }
    Ok(())
}

fn check_counts(output: &Output, results: usize) -> Answer<()> {
    let headers = |h: &HeaderColumns| h.len();
    let counts = [
        ("ports", output.ports.as_ref().map(Vec::len)),
        ("keys", output.keys.as_ref().map(BytesColumn::len)),
        ("values", output.values.as_ref().map(BytesColumn::len)),
        ("timestamps", output.timestamps.as_ref().map(Vec::len)),
        ("headers", output.headers.as_ref().map(headers)),
    ];
    for (what, count) in counts {
        if let Some(count) = count.filter(|c| *c != results) {
            return Err(bad_result(format!("`{what}` has {count} items for {results} results")));
        }
    }
    if let Some(t) = output.timestamps.iter().flatten().find(|t| **t < 0) {
        return Err(bad_result(format!("a result has the negative timestamp {t}")));
    }
    Ok(())
}

/// Results of a call, and to which output each goes; `None`: all to the first.
pub(crate) struct Results {
    flow: Flow,
    ports: Option<Vec<u32>>,
}

impl Results {
    /// Adds them to what there is for each output.
    pub fn sort_into(self, pieces: &mut [Vec<Flow>]) {
        let Some(ports) = self.ports else { return pieces[0].push(self.flow) };
        for (port, pieces) in (0..).zip(pieces) {
            let places: Vec<u32> = (0..ports.len() as u32).filter(|i| ports[*i as usize] == port).collect();
            if !places.is_empty() {
                pieces.push(self.flow.gather(&places));
            }
        }
    }
}

/// The results as records: what the function gave, and what it left as it was, by reference where it can be.
pub(crate) fn results_of(output: Output, part: &Flow, rules: Rules) -> Results {
    let taken = output.taken;
    let only_key = matches!(rules, Rules::Form(MapForm::SelectKey));
    let source = match &output.sources {
        None if taken as usize == part.len() => part.clone(),
        None => part.gather(&(0..taken).collect::<Vec<_>>()),
        Some(sources) => gather_needed(part, sources, &output, only_key),
    };
    let ports = if matches!(rules, Rules::Form(_)) { None } else { output.ports };
    let windows = match &output.keys {
        Some(keys) => source.windows.as_ref().and_then(|w| kept_windows(keys, part, output.sources.as_deref(), w)),
        None => source.windows,
    };
    let batch = Batch {
        keys: output.keys.map_or(source.batch.keys, Arc::new),
        values: output.values.filter(|_| !only_key).map_or(source.batch.values, Arc::new),
        timestamps: output.timestamps.filter(|_| !only_key).map_or(source.batch.timestamps, Arc::new),
        headers: match output.headers {
            Some(headers) if !only_key => Some(Arc::new(headers)),
            _ => source.batch.headers,
        },
    };
    Results { flow: Flow { batch, rows: source.rows, windows, ..Flow::default() }, ports }
}

/// New keys have no window; one that is what it was keeps it, so that it does not matter whether a function that changed
/// no key in a call gives the column all the same.
fn kept_windows(keys: &BytesColumn, part: &Flow, sources: Option<&[u32]>, windows: &Windows) -> Option<Arc<Windows>> {
    let source = |i: usize| sources.map_or(i, |s| s[i] as usize);
    let same = |i: &usize| keys.get(*i) == part.batch.keys.get(source(*i));
    if !(0..keys.len()).any(|i| same(&i)) {
        return None;
    }
    let pick = |from: &[Timestamp]| (0..keys.len()).map(|i| if same(&i) { from[i] } else { NEVER }).collect();
    Some(Arc::new(Windows { starts: pick(&windows.starts), ends: pick(&windows.ends) }))
}

/// Gathers only the columns that the answer does not replace.
fn gather_needed(part: &Flow, sources: &[u32], output: &Output, only_key: bool) -> Flow {
    let identity = sources.len() == part.len() && sources.iter().enumerate().all(|(i, s)| i == *s as usize);
    if identity {
        return part.clone();
    }
    let batch = &part.batch;
    let column = |given: bool, from: &Arc<BytesColumn>| match given {
        true => Arc::new(BytesColumn::default()),
        false => Arc::new(from.gather(sources)),
    };
    let timestamps = || sources.iter().map(|s| batch.timestamps[*s as usize]).collect::<Vec<_>>();
    Flow {
        batch: Batch {
            keys: column(output.keys.is_some(), &batch.keys),
            values: column(output.values.is_some() && !only_key, &batch.values),
            timestamps: Arc::new(if output.timestamps.is_some() && !only_key { Vec::new() } else { timestamps() }),
            headers: batch
                .headers
                .as_ref()
                .filter(|_| output.headers.is_none() || only_key)
                .map(|h| Arc::new(h.gather(sources))),
        },
        rows: part.rows_of(sources),
        windows: part.windows.as_ref().map(|w| Arc::new(w.gather(sources))),
        ..Flow::default()
    }
}
