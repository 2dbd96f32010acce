//! A case: one grouping, and records.

use serde_json::{Value, json};

/// Windows of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// One group for ever.
    None,
    /// Tumbling where both are the same.
    Hopping { size: i64, advance: i64 },
    /// The gap.
    Session { gap: i64 },
    /// The largest distance within one.
    Sliding { difference: i64 },
    /// Hopping here and there, put together from panes here.
    Panes { size: i64, advance: i64 },
}

/// What a group comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    Count,
    /// The values with commas between, by a reduce.
    Reduce,
    /// The same by an aggregate.
    Aggregate,
}

#[derive(Clone, Debug)]
pub struct Record {
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

impl Case {
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let size = 1 + rng.below(40) as i64;
        let window = match rng.below(13) {
            0 => Window::None,
            1..5 => {
                let advance = if rng.one_in(2) { size } else { 1 + rng.below(size as u64) as i64 };
                Window::Hopping { size, advance }
            }
            // At a difference of nothing Kafka Streams ends with an error.
            9..12 => Window::Sliding { difference: 1 + rng.below(30) as i64 },
            12 => Window::Panes { size, advance: 1 + rng.below(size as u64) as i64 },
            _ => Window::Session { gap: 1 + rng.below(15) as i64 },
        };
        let grace = [0, 0, 1, 5, 20, 1_000][rng.below(6) as usize];
        let fold = [Fold::Count, Fold::Reduce, Fold::Aggregate][rng.below(3) as usize];
        let on_close = window != Window::None && rng.one_in(2);
        let nulls = if rng.one_in(3) { 6 } else { u64::MAX };
        let spread = [1, 8, 30, 120][rng.below(4) as usize];
        let keys = 1 + rng.below(4);
        let count = 1 + rng.below(40);
        let step = [0, 1, 3, 20][rng.below(4) as usize];
        let records = (0..count)
            .map(|i| {
                let mut time = (i as i64) * step + rng.below(spread) as i64;
                if rng.one_in(25) {
                    // Stream time jumps; what comes behind is late.
                    time += rng.below(300) as i64;
                }
                let key = match rng.below(keys) {
                    // Long ones, and one that is the beginning of another.
                    3 => "k0".repeat(1 + rng.below(40) as usize),
                    n => format!("k{n}"),
                };
                Record {
                    key: (!rng.one_in(nulls)).then_some(key),
                    value: (!rng.one_in(nulls)).then(|| format!("v{i}")),
                    time,
                }
            })
            .collect();
        Self { window, grace, fold, on_close, records }
    }

    /// As the Java side reads it.
    pub fn json(&self) -> Value {
        let (word, size, advance) = match self.window {
            Window::None => ("none", 0, 0),
            Window::Hopping { size, advance } | Window::Panes { size, advance } => ("hopping", size, advance),
            Window::Sliding { difference } => ("sliding", difference, 0),
            Window::Session { gap } => ("session", gap, 0),
        };
        let fold = match self.fold {
            Fold::Count => "count",
            Fold::Reduce => "reduce",
            Fold::Aggregate => "aggregate",
        };
        let records: Vec<Value> = self.records.iter().map(|r| json!([r.key, r.value, r.time])).collect();
        json!({
            "window": word, "size": size, "advance": advance, "grace": self.grace, "fold": fold, "on-close": self.on_close,
            "records": records,
        })
    }

    /// The manifest; the component of the function is `append`.
    pub fn manifest(&self, append: &str) -> String {
        let grace = self.grace;
        let window = match self.window {
            Window::None => String::new(),
            Window::Hopping { size, advance } if size == advance => {
                format!(", window: {{ tumbling: {size}ms, grace: {grace}ms }}")
            }
            Window::Hopping { size, advance } => {
                format!(", window: {{ hopping: {size}ms, advance: {advance}ms, grace: {grace}ms }}")
            }
            Window::Panes { size, advance } => {
                format!(", window: {{ hopping: {size}ms, advance: {advance}ms, panes: true, grace: {grace}ms }}")
            }
            Window::Sliding { difference } => format!(", window: {{ sliding: {difference}ms, grace: {grace}ms }}"),
            Window::Session { gap } => format!(", window: {{ session: {gap}ms, grace: {grace}ms }}"),
        };
        let fold = match self.fold {
            Fold::Count => "count: { format: text }",
            Fold::Reduce => "reduce: append",
            Fold::Aggregate => "aggregate: append",
        };
        let functions = match self.fold {
            Fold::Count => String::new(),
            _ => format!("functions: {{ append: {{ component: {append} }} }}\n"),
        };
        let emit = if self.on_close { "emit: on-close" } else { "emit-every-update: true" };
        let format = if self.window == Window::None { "" } else { ", key-format: plain" };
        format!(
            "pipeline: case\n{functions}sources: {{ in: {{ topic: in }} }}\nsteps:\n  folded: {{ from: in, group: key{window}, {fold}, {emit} }}\n\
             sinks: {{ out: {{ from: folded, topic: out{format} }} }}\n"
        )
    }

    /// In a form that both sides promise. Sessions that close at one record stand by end, start, key here, and by end, key, start
    /// there; sliding windows that one record changes stand by end here, and as its search has found them there. Windows that are
    /// put together have their values in order of time here.
    pub fn in_order(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        let mut out = outcomes.to_vec();
        let sliding = matches!(self.window, Window::Sliding { .. });
        if sliding || matches!(self.window, Window::Panes { .. }) {
            for text in out.iter_mut().filter_map(|o| o.value.as_mut()) {
                let mut values: Vec<&str> = text.split(',').collect();
                values.sort_unstable();
                *text = values.join(",");
            }
        }
        if sliding || self.on_close && matches!(self.window, Window::Session { .. }) {
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
