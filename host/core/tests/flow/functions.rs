//! Functions for transcripts, by name. All of them trap on a value with `!`, refuse one with `?`; those that have versions
//! show them.

#[path = "kafkas.rs"]
mod kafkas;
#[path = "processor.rs"]
mod processor;

use std::cell::RefCell;

use millstream_core::function::*;
use millstream_core::record::{BytesColumn, Timestamp};

/// Names by number, and whether the function reads stream times; behind them those of Kafka's tests.
const OWN: [(&str, bool); 30] = [
    ("with-x", false),
    ("first-letter", false),
    ("upper", false),
    ("split", false),
    ("parse", false),
    ("route", false),
    ("sum", false),
    ("latest", false),
    ("positive", false),
    ("stamp", false),
    ("see-time", true),
    ("same-key", false),
    ("says-it-twice", false),
    ("lines", false),
    ("append", false),
    ("plus", false),
    ("both", false),
    ("even", false),
    ("region", false),
    ("trace", false),
    ("by-value", false),
    ("script", false),
    ("script-times", true),
    ("no-timers", false),
    ("forgets-timers", false),
    ("clock", false),
    ("clock-times", true),
    ("to", false),
    ("tally", false),
    ("laid-out", false),
];

pub const NAMES: [(&str, bool); OWN.len() + kafkas::NAMES.len()] = {
    let mut all = [("", false); OWN.len() + kafkas::NAMES.len()];
    let mut at = 0;
    while at < all.len() {
        all[at] = if at < OWN.len() { OWN[at] } else { kafkas::NAMES[at - OWN.len()] };
        at += 1;
    }
    all
};
/// Most pairs of two streams in a call, or records of a batch.
const PAIRS_MAX: usize = 2_048;

/// Versions × this + number.
pub const STRIDE: u32 = 100;

thread_local! {
    static CALLS: RefCell<Vec<(&'static str, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Migrations and calls of processors on this thread since they were last asked for, each with how many states or records it had.
#[allow(dead_code)] // transcripts do not ask
pub fn calls() -> Vec<(&'static str, usize)> {
    CALLS.take()
}

fn note(call: &'static str, len: usize) {
    CALLS.with_borrow_mut(|calls| calls.push((call, len)));
}

pub struct Native;

/// A result: port, key, value, time.
pub type Result4 = (u32, Option<Vec<u8>>, Option<Vec<u8>>, Timestamp);

fn map(
    name: &str,
    version: u32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    time: Timestamp,
    stream: Timestamp,
) -> Vec<Result4> {
    let own = |b: Option<&[u8]>| b.map(<[u8]>::to_vec);
    let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    match name {
        "first-letter" => vec![(0, text.get(..1).map(|t| t.as_bytes().to_vec()), own(value), time)],
        "upper" => vec![(0, own(key), value.map(|_| text.to_uppercase().into_bytes()), time)],
        "split" => text.split(',').map(|part| (0, own(key), Some(part.as_bytes().to_vec()), time)).collect(),
        "lines" => {
            let parts = text.split(',');
            parts.flat_map(|part| map("parse", version, key, Some(part.as_bytes()), time, stream)).collect()
        }
        // KEY@TIME is the key and the event time.
        "parse" => match text.split_once('@') {
            Some((key, time)) => vec![(0, Some(key.into()), own(value), time.parse().unwrap_or(-1))],
            None => vec![],
        },
        // What stands behind @ is the event time, later versions take it for seconds; `clock-times` wants to know the time first.
        "clock" | "clock-times" => match text.split_once('@').filter(|_| stream <= 0) {
            Some((_, at)) => vec![(
                0,
                Some(b"of no use".into()),
                None,
                at.parse().unwrap_or(-1) * if version > 1 { 1_000 } else { 1 },
            )],
            None => vec![],
        },
        "by-value" => vec![(0, own(value), own(value), time)],
        // REGION:VALUE becomes that; without a region it is in none. Later versions write regions in capitals.
        "region" => match text.split_once(':') {
            Some((region, rest)) => {
                let region = if version > 1 { region.to_uppercase() } else { region.to_string() };
                vec![(0, Some(region.into()), Some(rest.into()), time)]
            }
            None => vec![],
        },
        "route" => match text.bytes().next() {
            Some(b'a') => vec![(0, own(key), own(value), time)],
            Some(b'b') => vec![(1, own(key), own(value), time)],
            _ => vec![],
        },
        "stamp" => vec![(0, own(key), value.map(|_| format!("{text}.v{version}").into_bytes()), time)],
        "see-time" => vec![(0, own(key), value.map(|_| format!("{text}.{stream}").into_bytes()), time)],
        _ => kafkas::map(name, key, value, time).unwrap_or_else(|| vec![(0, own(key), own(value), time)]),
    }
}

fn rejected<'v>(f: Prepared, values: impl Iterator<Item = Option<&'v [u8]>>) -> Answer<Vec<Rejection>> {
    let times = if NAMES[(f.0 % STRIDE) as usize].0 == "says-it-twice" { 2 } else { 1 };
    let mut out = Vec::new();
    for (i, value) in values.enumerate() {
        let value = value.unwrap_or_default();
        if value.contains(&b'!') {
            return Err(Fault::Trap { message: "unreachable".into() });
        }
        if value.contains(&b'?') {
            let rejection = Rejection { index: i as u32, reason: "a question".into() };
            out.extend(std::iter::repeat_n(rejection, times));
        }
    }
    // In no order: that is allowed.
    out.reverse();
    Ok(out)
}

fn number(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).ok().and_then(|t| t.parse().ok()).unwrap_or(0)
}

/// What a `tally` holds: LAYOUT:SUM.
fn tally(layout: u32, state: &[u8]) -> Answer<i64> {
    let text = String::from_utf8_lossy(state);
    let sum = text.strip_prefix(&format!("{layout}:")).and_then(|sum| sum.parse().ok());
    sum.ok_or_else(|| Fault::Trap { message: format!("`{text}` is not in layout {layout}") })
}

impl Functions for Native {
    fn wants_stream_times(&self, f: Prepared) -> bool {
        NAMES[(f.0 % STRIDE) as usize].1
    }
    fn exports(&self, f: Prepared, interface: Interface) -> bool {
        match NAMES[(f.0 % STRIDE) as usize].0 {
            "no-timers" => interface != Interface::OnTimer,
            "forgets-timers" => interface != Interface::OnTimer || f.0 / STRIDE < 2,
            "tally" | "laid-out" => interface != Interface::Migrator || f.0 / STRIDE != 3,
            _ => interface != Interface::Migrator,
        }
    }
    /// `tally` has layout 0, then 1, again 1 and without a migrator, then 2; so has `laid-out`, a `script` whose entries are the same in each.
    fn layout(&self, f: Prepared) -> u32 {
        match (NAMES[(f.0 % STRIDE) as usize].0, f.0 / STRIDE) {
            ("tally" | "laid-out", 2 | 3) => 1,
            ("tally" | "laid-out", 4) => 2,
            _ => 0,
        }
    }
    fn renew(&mut self, _: Prepared) {}
    fn stretch(&mut self, _: Prepared, _: u32) {}
    fn stretched(&self, _: Prepared) -> u32 {
        1
    }
    fn keep(&mut self, f: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Kept> {
        let values = || (0..records.values.len()).map(|i| records.values.get(i));
        let mut bits = vec![0; records.keys.len().div_ceil(8)];
        for (i, value) in values().enumerate() {
            let value = value.unwrap_or_default();
            // `even` turns into its opposite in its next version.
            let even = (number(value) % 2 == 0) == (f.0 / STRIDE == 1);
            let name = NAMES[(f.0 % STRIDE) as usize].0;
            let keeps = match kafkas::keeps(name, records.keys.get(i), Some(value)) {
                Some(keeps) => keeps,
                None if name == "even" => even,
                None => value.contains(&b'x'),
            };
            bits[i / 8] |= u8::from(keeps) << (i % 8);
        }
        Ok(Kept { bits, rejected: rejected(f, values())? })
    }
    fn apply(&mut self, f: Prepared, context: Context<'_>, records: Records<'_>) -> Answer<Output> {
        let name = NAMES[(f.0 % STRIDE) as usize].0;
        let rejected = rejected(f, (0..records.values.len()).map(|i| records.values.get(i)))?;
        let (mut sources, mut results) = (Vec::new(), Vec::new());
        for i in (0..records.keys.len()).filter(|i| rejected.iter().all(|r| r.index as usize != *i)) {
            let stream = context.stream_times.get(i).copied().unwrap_or(-1);
            let (key, value) = (records.keys.get(i), records.values.get(i));
            for result in map(name, f.0 / STRIDE, key, value, records.timestamps[i], stream) {
                sources.push(i as u32);
                results.push(result);
            }
        }
        let changes_keys =
            matches!(name, "first-letter" | "parse" | "same-key" | "lines" | "region" | "by-value" | "clock")
                || kafkas::changes_keys(name);
        let route = matches!(name, "route" | "route-by-key");
        Ok(Output {
            taken: records.keys.len() as u32,
            sources: Some(sources),
            ports: route.then(|| results.iter().map(|r| r.0).collect()),
            keys: changes_keys.then(|| results.iter().map(|r| r.1.as_deref()).collect()),
            values: (!route).then(|| results.iter().map(|r| r.2.as_deref()).collect()),
            timestamps: (!route).then(|| results.iter().map(|r| r.3).collect()),
            rejected,
            ..Output::default()
        })
    }
    /// A value of TOPIC/PARTITION:… goes there, in later versions to TOPIC-later; one without goes to the sink's own topic. What all
    /// of a call have in common is told, or not.
    fn route(&mut self, f: Prepared, _: Context<'_>, records: Records<'_>) -> Answer<Routed> {
        let values = || (0..records.values.len()).map(|i| records.values.get(i));
        let rejected = rejected(f, values())?;
        let places: Vec<(Option<String>, Option<u32>)> = values()
            .map(|value| {
                let text = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                let (place, _) = text.split_once(':')?;
                let (topic, partition) = place.split_once('/').unwrap_or((place, ""));
                let later = if f.0 / STRIDE > 1 { "-later" } else { "" };
                Some((Some(format!("{topic}{later}")), partition.parse().ok()))
            })
            .map(Option::unwrap_or_default)
            .collect();
        let partitions: Option<Vec<u32>> = places.iter().map(|(_, partition)| *partition).collect();
        let topics = places.iter().map(|(topic, _)| topic.as_deref().map(str::as_bytes)).collect();
        Ok(Routed { topics, partitions: partitions.filter(|all| !all.is_empty()), rejected })
    }
    /// `sum` adds numbers, `positive` too and forgets a sum of 0, `latest` is the last value, `append` all of them.
    fn add(&mut self, f: Prepared, _: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        let name = NAMES[(f.0 % STRIDE) as usize].0;
        let rejected = rejected(f, into.members.iter().map(|m| records.values.get(*m as usize)))?;
        let layout = self.layout(f);
        if name == "tally" {
            (0..into.keys.len()).filter_map(|g| into.states.get(g)).try_for_each(|s| tally(layout, s).map(drop))?;
        }
        let fold = |g: usize| {
            let places = into.offsets[g]..into.offsets[g + 1];
            let mut state = into.states.get(g).map(<[u8]>::to_vec);
            for place in places.filter(|p| rejected.iter().all(|r| r.index != *p)) {
                let value = records.values.get(into.members[place as usize] as usize).unwrap_or_default();
                state = match name {
                    "tally" => {
                        let so_far = state.map_or(0, |s| tally(layout, &s).unwrap_or_default());
                        Some(format!("{layout}:{}", so_far + number(value)).into_bytes())
                    }
                    "latest" => Some(value.to_vec()),
                    "append" => Some(state.map_or(value.to_vec(), |s| [&s[..], b"+", value].concat())),
                    "trace" => Some([state.as_deref().unwrap_or(b"0"), b"+", value].concat()),
                    "letters" => Some(kafkas::letters(state, value, true)),
                    _ => match number(state.as_deref().unwrap_or_default()) + number(value) {
                        0 if name == "positive" => None,
                        sum => Some(sum.to_string().into_bytes()),
                    },
                };
            }
            state
        };
        let states: Vec<_> = (0..into.keys.len()).map(fold).collect();
        Ok(Folded { states: states.iter().map(Option::as_deref).collect(), rejected })
    }
    /// A `positive` sum leaves only when it is more than 0; 13 breaks it.
    fn finish(&mut self, f: Prepared, of: Groups<'_>) -> Answer<BytesColumn> {
        let positive = NAMES[(f.0 % STRIDE) as usize].0 == "positive";
        let state = |g: usize| of.states.get(g);
        if NAMES[(f.0 % STRIDE) as usize].0 == "tally" {
            let one = |g: usize| tally(self.layout(f), state(g).unwrap_or_default()).map(|sum| sum.to_string());
            let all = (0..of.keys.len()).map(one).collect::<Answer<Vec<String>>>()?;
            return Ok(all.iter().map(|sum| Some(sum.as_bytes())).collect());
        }
        if positive && (0..of.keys.len()).any(|g| state(g) == Some(b"13")) {
            return Err(Fault::Trap { message: "13".into() });
        }
        Ok((0..of.keys.len()).map(|g| state(g).filter(|s| !positive || number(s) > 0)).collect())
    }
    /// What `add` added is subtracted; `positive` forgets a sum of 0. The latest is not known any more.
    fn remove(&mut self, f: Prepared, _: Context<'_>, from: Groups<'_>, records: Records<'_>) -> Answer<Folded> {
        let name = NAMES[(f.0 % STRIDE) as usize].0;
        let rejected = rejected(f, from.members.iter().map(|m| records.values.get(*m as usize)))?;
        let fold = |g: usize| {
            let places = from.offsets[g]..from.offsets[g + 1];
            let mut state = from.states.get(g).map(<[u8]>::to_vec);
            for place in places.filter(|p| rejected.iter().all(|r| r.index != *p)) {
                let value = records.values.get(from.members[place as usize] as usize).unwrap_or_default();
                state = match (name, number(state.as_deref().unwrap_or_default()) - number(value)) {
                    ("trace", _) => Some([state.as_deref().unwrap_or(b"0"), b"-", value].concat()),
                    ("letters", _) => Some(kafkas::letters(state, value, false)),
                    ("latest", _) | ("positive", 0) => None,
                    (_, sum) => Some(sum.to_string().into_bytes()),
                };
            }
            state
        };
        let states: Vec<_> = (0..from.keys.len()).map(fold).collect();
        Ok(Folded { states: states.iter().map(Option::as_deref).collect(), rejected })
    }
    /// The state after each member is what leaves, `positive` where it is more than 0.
    fn scan(&mut self, f: Prepared, context: Context<'_>, into: Groups<'_>, records: Records<'_>) -> Answer<Scanned> {
        let name = NAMES[(f.0 % STRIDE) as usize].0;
        let rejected = rejected(f, into.members.iter().map(|m| records.values.get(*m as usize)))?;
        let (mut states, mut values) = (Vec::new(), Vec::new());
        for g in 0..into.keys.len() {
            let mut state = into.states.get(g).map(<[u8]>::to_vec);
            for place in into.offsets[g]..into.offsets[g + 1] {
                if rejected.iter().any(|r| r.index == place) {
                    values.push(Some(b"refused".to_vec()));
                    continue;
                }
                let one = |column: &BytesColumn| [column.get(g)].into_iter().collect::<BytesColumn>();
                let (keys, held) = (one(into.keys), [state.as_deref()].into_iter().collect::<BytesColumn>());
                let members = [into.members[place as usize]];
                let groups =
                    Groups { keys: &keys, starts: &[], ends: &[], states: &held, offsets: &[0, 1], members: &members };
                state = self.add(f, context, groups, records)?.states.get(0).map(<[u8]>::to_vec);
                let shows = |s: &Vec<u8>| name != "positive" || number(s) > 0;
                values.push(state.clone().filter(shows).map(|s| [&s[..], b"/", name.as_bytes()].concat()));
            }
            states.push(state);
        }
        if name == "says-it-twice" {
            values.pop();
        }
        let column = |items: &[Option<Vec<u8>>]| items.iter().map(Option::as_deref).collect::<BytesColumn>();
        Ok(Scanned { states: column(&states), values: column(&values), rejected })
    }
    /// Sums are added, the latest is the right one, what was appended stays in order; sums that would be 99 do not merge.
    fn merge(&mut self, f: Prepared, _: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<BytesColumn> {
        let (name, layout) = (NAMES[(f.0 % STRIDE) as usize].0, self.layout(f));
        let mut out = Vec::new();
        for i in 0..left.len() {
            let (left, right) = (left.get(i).unwrap_or_default(), right.get(i).unwrap_or_default());
            if name == "tally" {
                out.push(format!("{layout}:{}", tally(layout, left)? + tally(layout, right)?).into_bytes());
                continue;
            }
            out.push(match (name, number(left) + number(right)) {
                ("latest", _) => right.to_vec(),
                ("append", _) => [left, b"+", right].concat(),
                ("trace", _) => [left, right.strip_prefix(b"0").unwrap_or(right)].concat(),
                (_, 99) => return Err(Fault::Trap { message: "99".into() }),
                (_, sum) => sum.to_string().into_bytes(),
            });
        }
        Ok(out.iter().map(|state| Some(&state[..])).collect())
    }
    fn migrate(
        &mut self,
        f: Prepared,
        _: &str,
        old: u32,
        new: u32,
        keys: &BytesColumn,
        s: &BytesColumn,
    ) -> Answer<BytesColumn> {
        note("migrate", s.len());
        if NAMES[(f.0 % STRIDE) as usize].0 == "laid-out" {
            return Ok(s.clone());
        }
        if let Some(at) = (0..keys.len()).find(|i| keys.get(*i) == Some(b"stuck")) {
            return Err(Fault::Refused { message: format!("state {at} is stuck") });
        }
        let one = |i: usize| tally(old, s.get(i).unwrap_or_default()).map(|sum| format!("{new}:{sum}"));
        let all = (0..s.len()).map(one).collect::<Answer<Vec<String>>>()?;
        Ok(all.iter().map(|state| Some(state.as_bytes())).collect())
    }
    /// `both` gives none for two equal values.
    fn join(&mut self, f: Prepared, keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Answer<Joined> {
        assert!(keys.len() <= PAIRS_MAX, "{} pairs in one call", keys.len());
        let (name, version) = (NAMES[(f.0 % STRIDE) as usize].0, f.0 / STRIDE);
        let text = |side: &BytesColumn, i: usize| {
            side.get(i).map_or("null".into(), |v| String::from_utf8_lossy(v).into_owned())
        };
        let pairs: Vec<String> = (0..keys.len()).map(|i| format!("{}+{}", text(left, i), text(right, i))).collect();
        let rejected = rejected(f, pairs.iter().map(|p| Some(p.as_bytes())))?;
        let value = |(i, pair): (usize, &String)| {
            if name == "both" && left.get(i) == right.get(i) {
                return None;
            }
            Some(if version > 1 { format!("{pair}.v{version}") } else { pair.clone() })
        };
        let values: Vec<Option<String>> = pairs.iter().enumerate().map(value).collect();
        Ok(Joined { values: values.iter().map(|v| v.as_deref().map(str::as_bytes)).collect(), rejected })
    }

    fn process(
        &mut self,
        f: Prepared,
        context: Context<'_>,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        note("process", records.keys.len());
        processor::process(NAMES[(f.0 % STRIDE) as usize].0, context, records, host)
    }
    fn fire(&mut self, _: Prepared, clock: TimerClock, due: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
        processor::fire(clock, due, host)
    }
}
