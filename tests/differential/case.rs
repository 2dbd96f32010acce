//! A case: one grouping, and records.

use serde_json::{Value, json};

use crate::calendars::{Unit, Zone};
use crate::fold::{self, Difference, Folded, Rules};
use crate::ours::function;

/// Windows of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// One group for ever.
    None,
    /// Tumbling where both are the same.
    Hopping {
        size: i64,
        advance: i64,
    },
    /// The gap.
    Session {
        gap: i64,
    },
    /// The largest distance within one.
    Sliding {
        difference: i64,
    },
    /// Hopping here and there, put together from panes here.
    Panes {
        size: i64,
        advance: i64,
    },
    Calendar {
        unit: Unit,
        zone: Zone,
    },
}

/// What a group comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Count,
    /// The values with commas between, by a reduce.
    Reduce,
    /// The same by an aggregate.
    Aggregate,
    /// Of two inputs: the number in the field `n`, added by records of the left, at least that of records of the right.
    Mixed,
    /// The sum of the field `n` after each record.
    Scan,
}

/// Which of two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The only one, where there is one.
    Left,
    Right,
}

impl Side {
    pub fn of(rng: &mut Rng) -> Self {
        if rng.one_in(2) { Side::Left } else { Side::Right }
    }
}

#[derive(Clone, Debug)]
pub struct Record {
    pub side: Side,
    pub key: Option<String>,
    pub value: Option<String>,
    pub time: i64,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub window: Window,
    pub grace: i64,
    pub fold: Fold,
    pub on_close: bool,
    /// Both inputs into one state, by a cogroup.
    pub cogroup: bool,
    pub records: Vec<Record>,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    /// Which record set it off.
    pub by: usize,
    /// End and start of the window.
    pub window: Option<(i64, i64)>,
    pub key: String,
    pub value: Option<String>,
    pub time: i64,
}

/// SplitMix64: the same numbers for a seed everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// How records come.
pub struct Stream {
    /// What all times begin with.
    pub base: i64,
    /// What times are multiples of.
    pub unit: i64,
    pub nulls: u64,
    pub both_sides: bool,
}

/// A key as long as this is huge.
const KEY_BYTES_HUGE: usize = 100_000;

/// Room for the latest record, its window and its grace before the end of time.
const END_OF_TIME_ROOM: i64 = 50_000;

impl Stream {
    pub fn random(rng: &mut Rng) -> Self {
        // Near the beginning of time, where a distance of two times does not fit any more, and near the end.
        let base = [0, 0, 0, 0, i64::MAX / 2, i64::MAX - END_OF_TIME_ROOM][rng.below(6) as usize];
        Self { base, unit: 1, nulls: if rng.one_in(3) { 6 } else { u64::MAX }, both_sides: false }
    }

    /// Records with the values that `value` gives for their numbers: out of order, late, at equal times, in bursts.
    pub fn records(&self, rng: &mut Rng, value: impl Fn(&mut Rng, u64) -> String) -> Vec<Record> {
        let spread = [1, 8, 30, 120][rng.below(4) as usize];
        let keys = 1 + rng.below(4);
        let burst = rng.one_in(50);
        let count = if burst { 150 + rng.below(150) } else { 1 + rng.below(40) };
        let step = if burst { 0 } else { [0, 1, 3, 20][rng.below(4) as usize] };
        let huge = rng.one_in(100);
        let record = |i| {
            let mut time = (i as i64) * step + rng.below(spread) as i64;
            if rng.one_in(25) {
                // Stream time jumps; what comes behind is late.
                time += rng.below(300) as i64;
            }
            let key = match rng.below(keys) {
                0 if huge => "k".repeat(KEY_BYTES_HUGE),
                // Long ones, and one that is the beginning of another.
                3 => "k0".repeat(1 + rng.below(40) as usize),
                n => format!("k{n}"),
            };
            let side = if self.both_sides { Side::of(rng) } else { Side::Left };
            let key = (!rng.one_in(self.nulls)).then_some(key);
            let value = (!rng.one_in(self.nulls)).then(|| value(rng, i));
            Record { side, key, value, time: self.base + time * self.unit }
        };
        (0..count).map(record).collect()
    }
}

impl Window {
    /// One that the clock makes, and nothing else.
    pub fn on_a_grid(rng: &mut Rng) -> Self {
        let size = 1 + rng.below(40) as i64;
        let advance = if rng.one_in(2) { size } else { 1 + rng.below(size as u64) as i64 };
        Window::Hopping { size, advance }
    }

    /// As the Java side reads it: name, size or the like, and advance.
    pub fn json(self) -> (String, i64, i64) {
        match self {
            Window::None => ("none".into(), 0, 0),
            Window::Hopping { size, advance } | Window::Panes { size, advance } => ("hopping".into(), size, advance),
            Window::Sliding { difference } => ("sliding".into(), difference, 0),
            Window::Session { gap } => ("session".into(), gap, 0),
            Window::Calendar { unit, zone } => (format!("{} {}", unit.name(), zone.name()), 0, 0),
        }
    }

    /// As a manifest has it, behind other fields of a step.
    pub fn manifest(self, grace: i64) -> String {
        let inside = match self {
            Window::None => return String::new(),
            Window::Hopping { size, advance } if size == advance => format!("tumbling: {size}ms"),
            Window::Hopping { size, advance } => format!("hopping: {size}ms, advance: {advance}ms"),
            Window::Panes { size, advance } => format!("hopping: {size}ms, advance: {advance}ms, panes: true"),
            Window::Sliding { difference } => format!("sliding: {difference}ms"),
            Window::Session { gap } => format!("session: {gap}ms"),
            Window::Calendar { unit, zone } => unit.manifest(zone),
        };
        format!(", window: {{ {inside}, grace: {grace}ms }}")
    }
}

impl Case {
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let size = 1 + rng.below(40) as i64;
        let window = match rng.below(13) {
            0 => Window::None,
            1..5 => Window::on_a_grid(&mut rng),
            // At a difference of nothing Kafka Streams ends with an error.
            9..12 => Window::Sliding { difference: 1 + rng.below(30) as i64 },
            12 => Window::Panes { size, advance: 1 + rng.below(size as u64) as i64 },
            _ => Window::Session { gap: 1 + rng.below(15) as i64 },
        };
        let grace = random_grace(&mut rng);
        let fold = [Fold::Count, Fold::Reduce, Fold::Aggregate][rng.below(3) as usize];
        let on_close = window != Window::None && rng.one_in(2);
        let records = Stream::random(&mut rng).records(&mut rng, |_, i| format!("v{i}"));
        Self { window, grace, fold, on_close, cogroup: false, records }
    }

    fn is_put_together(&self) -> bool {
        matches!(self.window, Window::Panes { .. } | Window::Sliding { .. })
    }
}

pub fn random_grace(rng: &mut Rng) -> i64 {
    [0, 0, 1, 5, 20, 1_000][rng.below(6) as usize]
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["in", "other"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..*self }
    }

    fn json(&self) -> Value {
        let (word, size, advance) = self.window.json();
        let fold = match self.fold {
            Fold::Count => "count",
            Fold::Reduce => "reduce",
            Fold::Aggregate => "aggregate",
            Fold::Mixed => "mixed",
            Fold::Scan => "scan",
        };
        json!({
            "window": word, "size": size, "advance": advance, "grace": self.grace, "fold": fold, "on-close": self.on_close,
            "cogroup": self.cogroup,
        })
    }

    fn manifest(&self) -> String {
        let (append, fields, total) = (function("append"), function("json-fields"), function("running-total"));
        let (functions, fold) = match self.fold {
            Fold::Count => (String::new(), "count: { format: text }"),
            Fold::Reduce => (format!("append: {{ component: {append} }}"), "reduce: append"),
            Fold::Aggregate if self.cogroup => {
                let both = format!("append: {{ component: {append} }}, also: {{ component: {append} }}");
                (both, "cogroup: { in: append, other: also }")
            }
            Fold::Aggregate => (format!("append: {{ component: {append} }}"), "aggregate: append"),
            Fold::Mixed => {
                let one = |name| format!("{name}: {{ component: {fields}, function: {name}, config: {{ field: n }} }}");
                (format!("{}, {}", one("sum"), one("max")), "cogroup: { in: sum, other: max }")
            }
            Fold::Scan => (format!("total: {{ component: {total}, config: {{ field: n }} }}"), "scan: total"),
        };
        let (sources, from) = match self.cogroup {
            true => ("in: { topic: in }, other: { topic: other }", ""),
            false => ("in: { topic: in }", "from: in, group: key, "),
        };
        let emit = match self.fold {
            Fold::Scan => "",
            _ if self.on_close => ", emit: on-close",
            _ => ", emit-every-update: true",
        };
        let format = if self.window == Window::None { "" } else { ", key-format: plain" };
        let window = self.window.manifest(self.grace);
        format!(
            "pipeline: case\nfunctions: {{ {functions} }}\nsources: {{ {sources} }}\nsteps:\n  \
             folded: {{ {from}{fold}{window}{emit} }}\nsinks: {{ out: {{ from: folded, topic: out{format} }} }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        Some(fold::run(self, rules))
    }

    fn is_windowed(&self) -> bool {
        self.window != Window::None
    }

    fn ordered_here(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        if matches!(self.window, Window::Panes { .. }) { self.ordered(outcomes) } else { outcomes.to_vec() }
    }

    /// Sessions that close at one record stand by end, start, key here, and by end, key, start there; sliding windows that one
    /// record changes stand by end here, and as its search has found them there. Windows that are put together have their values
    /// in order of time here. Windows that are suppressed come by end, and then by the bytes of key and start.
    fn ordered(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        let mut out = outcomes.to_vec();
        if self.is_put_together() {
            for text in out.iter_mut().filter_map(|o| o.value.as_mut()) {
                let mut values: Vec<&str> = text.split(',').collect();
                values.sort_unstable();
                *text = values.join(",");
            }
        }
        let sliding = matches!(self.window, Window::Sliding { .. });
        if sliding || self.on_close && (self.cogroup || matches!(self.window, Window::Session { .. })) {
            out.sort();
        }
        out
    }
}

/// Two lists side by side.
pub fn columns(told: &[Outcome], came: &[Outcome]) -> String {
    let line = |outcome: Option<&Outcome>| outcome.map_or(String::new(), |o| format!("{o:?}"));
    (0..told.len().max(came.len()))
        .map(|i| {
            let mark = if told.get(i) == came.get(i) { ' ' } else { '!' };
            format!("{mark} {}\n  {}\n", line(told.get(i)), line(came.get(i)))
        })
        .collect()
}
