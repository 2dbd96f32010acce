//! Joins of two streams by both sides, and by a naive fold of ours: a list of everything that came. Of Kafka Streams it is known only
//! where its rules are the same: every rule that differs has a name, and where a case touches one, the two are not compared.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{Outcome, Record, Rng, Side};
use crate::fold::{Folded, Rules};
use crate::joins::Kind;
use crate::ours::function;
use crate::{kafka, ours};

/// A rule that differs, touched by a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// A record that is older than its window's end: late here, or waiting for the grace to pass; there it comes out at once.
    OutOfOrder,
    /// A partner whose window has closed is none here; there it is for as long as its store keeps it, which may also be shorter.
    Partner,
    /// A record that is dropped, or has no key, moves time there, and lets nothing out by it.
    NullMovesTime,
    /// With `before` and `after` that are not the same, what comes out alone may wait for the longer of the two there.
    Apart,
    /// What comes out alone waits there when a look at what waits has gone on to younger ones: it is thought to be as young as the last.
    LookedPast,
}

impl Difference {
    pub const ALL: [Difference; 5] = [
        Difference::OutOfOrder,
        Difference::Partner,
        Difference::NullMovesTime,
        Difference::Apart,
        Difference::LookedPast,
    ];
}

#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    pub before: i64,
    pub after: i64,
    pub grace: i64,
    pub records: Vec<Record>,
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let kind = [Kind::Inner, Kind::Left, Kind::Outer][rng.below(3) as usize];
    let before = rng.below(20) as i64;
    let after = if rng.one_in(2) { before } else { rng.below(20) as i64 };
    let grace = [0, 1, 10, 1_000][rng.below(4) as usize];
    let (keys, nulls, spread) = (1 + rng.below(3), [9, 40, 1_000][rng.below(3) as usize], 1 + rng.below(12));
    let step = [0, 1, 4, 12][rng.below(4) as usize];
    let count = 1 + rng.below(30);
    let records = (0..count).map(|i| {
        let side = Side::of(&mut rng);
        let key = (!rng.one_in(nulls)).then(|| format!("k{}", rng.below(keys)));
        let value = (!rng.one_in(nulls)).then(|| format!("v{i}"));
        Record { side, key, value, time: i as i64 * step + rng.below(spread) as i64 }
    });
    Case { kind, before, after, grace, records: records.collect() }
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["left", "right"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..*self }
    }

    fn json(&self) -> Value {
        let join = format!("streams-{}", self.kind.name());
        json!({ "join": join, "before": self.before, "after": self.after, "grace": self.grace })
    }

    fn manifest(&self) -> String {
        let pair = function("pair");
        let kind = self.kind.name();
        let Self { before, after, grace, .. } = self;
        format!(
            "pipeline: case\nfunctions: {{ pair: {{ component: {pair} }} }}\n\
             sources: {{ left: {{ topic: left }}, right: {{ topic: right }} }}\nsteps:\n  \
             joined: {{ from: left, join: right, within: {{ before: {before}ms, after: {after}ms }}, grace: {grace}ms, \
             type: {kind}, with: pair }}\n\
             sinks: {{ out: {{ from: joined, topic: out }} }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        (rules == Rules::Ours).then(|| run(self))
    }
}

impl Case {
    fn keeps(&self, side: Side) -> bool {
        self.kind == Kind::Outer || self.kind == Kind::Left && side == Side::Left
    }

    /// How far behind a record's time its window reaches.
    fn on(&self, side: Side) -> i64 {
        if side == Side::Left { self.after } else { self.before }
    }

    fn meets(&self, left: i64, right: i64) -> bool {
        -self.before <= right - left && right - left <= self.after
    }
}

struct Waits {
    side: Side,
    key: String,
    value: String,
    time: i64,
    met: bool,
    closed: bool,
}

/// When Kafka Streams looks for records that come out alone: what it holds to be the oldest of them.
struct Oldest(i64);

impl Oldest {
    /// A record at the stream time `now` has come; what waits without a partner, in order of time. Gives whether one stays that is due.
    fn look(&mut self, alone: &[(i64, Side)], due_before: i64) -> bool {
        if self.0 >= due_before {
            return alone.iter().any(|(time, _)| *time < due_before);
        }
        self.0 = i64::MAX;
        let mut open = BTreeSet::new();
        for (time, side) in alone {
            // Also by the one at which it sees that there is nothing more to look for.
            self.0 = *time;
            if open.len() == 2 {
                break;
            }
            if *time >= due_before {
                open.insert(*side as usize);
            }
        }
        false
    }
}

/// What comes out here, in order, and which rules that differ were touched.
pub fn run(case: &Case) -> Folded<Difference> {
    let (mut out, mut touched, mut waiting) = (Vec::new(), BTreeSet::new(), Vec::<Waits>::new());
    // Before the first record there is no time; the stores of the other side forget by their own.
    let (mut now, mut stores, mut oldest) = (i64::MIN, [i64::MIN; 2], Oldest(i64::MAX));
    if case.before != case.after && case.kind != Kind::Inner {
        touched.insert(Difference::Apart);
    }
    for (by, record) in case.records.iter().enumerate() {
        let (side, time) = (record.side, record.time);
        let mut tell = |key: &str, value: String, time: i64| {
            out.push(Outcome { by, window: None, key: key.to_string(), value: Some(value), time });
        };
        if (record.key.is_none() || record.value.is_none()) && time > now {
            touched.insert(Difference::NullMovesTime);
        }
        let Some(value) = record.value.clone().filter(|_| record.key.is_some() || case.keeps(side)) else { continue };
        now = now.max(time);
        let open = |side: Side, time: i64| time + case.on(side) + case.grace >= now;
        if time == now {
            let alone = waiting.iter().filter(|w| !w.closed && !w.met && case.keeps(w.side));
            let mut alone: Vec<(i64, Side)> = alone.map(|w| (w.time, w.side)).collect();
            alone.sort_by_key(|(time, side)| (*time, *side == Side::Left));
            if oldest.look(&alone, now - case.before - case.grace) {
                touched.insert(Difference::LookedPast);
            }
        }
        let mut gone: Vec<&mut Waits> = waiting.iter_mut().filter(|w| !w.closed && !open(w.side, w.time)).collect();
        gone.sort_by_key(|w| (w.time, w.side == Side::Left, w.key.clone()));
        for w in gone {
            w.closed = true;
            if !w.met && case.keeps(w.side) {
                tell(&w.key, pair(w.side, &w.value, None), w.time);
            }
        }
        let Some(key) = record.key.clone() else {
            tell("", pair(side, &value, None), time);
            continue;
        };
        if time + case.on(side) < now {
            touched.insert(Difference::OutOfOrder);
        }
        let mut partners: Vec<&mut Waits> = waiting.iter_mut().filter(|w| w.side != side && w.key == key).collect();
        partners.retain(|w| if side == Side::Left { case.meets(time, w.time) } else { case.meets(w.time, time) });
        partners.sort_by_key(|w| w.time);
        let kept = case.before + case.after + case.grace;
        let forgotten = |w: &Waits| w.time <= stores[w.side as usize].saturating_sub(kept);
        if partners.iter().any(|w| w.closed || forgotten(w)) {
            touched.insert(Difference::Partner);
        }
        stores[side as usize] = stores[side as usize].max(time);
        if !open(side, time) {
            continue;
        }
        let mut met = false;
        for w in partners.into_iter().filter(|w| !w.closed) {
            (w.met, met) = (true, true);
            tell(&key, pair(side, &value, Some(&w.value)), time.max(w.time));
        }
        if !met && case.keeps(side) {
            oldest.0 = oldest.0.min(time);
        }
        waiting.push(Waits { side, key, value, time, met, closed: false });
    }
    (out, touched)
}

fn pair(side: Side, own: &str, other: Option<&str>) -> String {
    let other = other.unwrap_or("-");
    if side == Side::Left { format!("{own},{other}") } else { format!("{other},{own}") }
}

/// A rule that differs, and the smallest records that show it: kind, `before` and `after`, records, what comes out here and there.
type Example = (Difference, Kind, (i64, i64), Vec<Record>, &'static str, &'static str);

fn examples() -> [Example; 5] {
    let record = |side, key: Option<&str>, value: &str, time| {
        let value = Some(value.to_string()).filter(|v| v != "-");
        Record { side, key: key.map(Into::into), value, time }
    };
    let (left, right) = (Side::Left, Side::Right);
    [
        // Its window has closed by 100.
        (
            Difference::OutOfOrder,
            Kind::Outer,
            (5, 5),
            vec![record(left, Some("b"), "b", 100), record(right, Some("a"), "A", 12)],
            "",
            "a=-,A",
        ),
        // The window of a@10 has closed, that of A@5 has not, and the store of the left keeps 10 more.
        (
            Difference::Partner,
            Kind::Inner,
            (10, 1),
            vec![record(left, Some("a"), "a", 10), record(right, Some("b"), "B", 12), record(right, Some("a"), "A", 5)],
            "",
            "a=a,A",
        ),
        (
            Difference::NullMovesTime,
            Kind::Left,
            (5, 5),
            vec![
                record(left, Some("a"), "a", 10),
                record(right, Some("a"), "-", 100),
                record(right, Some("a"), "A", 12),
            ],
            "a=a,A",
            "a=a,A",
        ),
        (
            Difference::Apart,
            Kind::Left,
            (9, 1),
            vec![record(left, Some("a"), "a", 10), record(right, Some("b"), "B", 12)],
            "a=a,-",
            "",
        ),
        // When v6 comes out the look goes on to v8, and v7 is forgotten about.
        (
            Difference::LookedPast,
            Kind::Outer,
            (10, 10),
            vec![
                record(right, Some("b"), "v6", 24),
                record(left, Some("a"), "v7", 29),
                record(left, Some("a"), "v8", 32),
                record(left, Some("b"), "v9", 37),
                record(right, Some("a"), "v10", 41),
            ],
            "b=-,v6 a=v7,- a=v8,v10",
            "b=-,v6 a=v8,v10",
        ),
    ]
}

/// Each rule that differs, by the smallest records that show it, and what both sides make of them.
#[test]
fn every_rule_of_joins_of_streams_that_differs_has_an_example() {
    use crate::Case as _;
    let (mut kafka, ours) = (kafka::Judge::start(), ours::Host::new());
    for (difference, kind, (before, after), records, here, there) in examples() {
        let case = Case { kind, before, after, grace: 0, records };
        assert!(case.judge(&mut kafka, &ours).unwrap().contains(&difference), "{difference:?}");
        let shown = |outcomes: Vec<Outcome>| {
            let one = |o: &Outcome| format!("{}={}", o.key, o.value.clone().unwrap_or_default());
            outcomes.iter().map(one).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(ours.run(&case).unwrap()), here, "{difference:?}, here");
        assert_eq!(shown(kafka.run(&case).unwrap()), there, "{difference:?}, there");
    }
}
