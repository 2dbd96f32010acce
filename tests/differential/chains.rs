//! Steps without state one behind the other in front of a group, and perhaps a second group behind it: the counts of the first, by another
//! key. By both sides, and by a naive fold: a list of records that each step makes another list of, and `fold` for the groups.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::case::{self, Fold, Outcome, Record, Rng, Stream, Window, random_grace};
use crate::fold::{self, Folded, Rules, World};
use crate::ours::function;

/// A step. Values are JSON until one is stamped, so what reads their fields stands before that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Those whose number is at least so much, or the others.
    Filter {
        least: u64,
        not: bool,
    },
    /// The field `g` becomes the key; by `map`, or by `select-key`.
    SelectKey {
        by_map: bool,
    },
    /// A record for each word of the value, which becomes the key.
    Words,
    /// `v1:` before the value; by `map-values`, or by `map`.
    Stamp {
        by_map: bool,
    },
    Peek,
    Repartition,
    /// Logins, logouts and the rest apart; those that are kept, in this order, together again.
    Branch {
        kept: Vec<usize>,
    },
}

/// A rule that differs, touched by a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// One of groups.
    Group(fold::Difference),
    /// An explicit repartition drops records without a key.
    NullKeyDropped,
    /// Behind a repartition topic all that is in it moves time, also what has no key or value, or is dropped behind it; there what the
    /// group sees does.
    TimeOfTheTopic,
}

impl Difference {
    pub const ALL: [Difference; 5] = [
        Difference::Group(fold::Difference::NullValueCounts),
        Difference::Group(fold::Difference::ClosedSessionMerged),
        Difference::Group(fold::Difference::TombstoneOfTheSameSession),
        Difference::NullKeyDropped,
        Difference::TimeOfTheTopic,
    ];
}

#[derive(Clone, Debug)]
pub struct Case {
    /// Of both inputs, merged.
    pub merged: bool,
    pub steps: Vec<Step>,
    /// The group, without records.
    pub group: case::Case,
    /// That of its counts by their values.
    pub again: Option<case::Case>,
    pub records: Vec<Record>,
}

const ACTIONS: [&str; 3] = ["Action: Login", "Action: Logout", "Action: View"];
const OUTPUTS: [&str; 3] = ["logins", "logouts", "rest"];

fn random_steps(rng: &mut Rng) -> Vec<Step> {
    let (mut steps, mut json, mut words) = (Vec::new(), true, true);
    for _ in 0..rng.below(6) {
        let step = match rng.below(8) {
            0 | 1 if json => Step::Filter { least: rng.below(8), not: rng.one_in(3) },
            2 | 3 if json => Step::SelectKey { by_map: rng.one_in(2) },
            4 if words => Step::Words,
            5 => Step::Stamp { by_map: rng.one_in(2) },
            6 => Step::Repartition,
            7 => Step::Branch { kept: [vec![0, 1, 2], vec![2, 0], vec![1], vec![1, 2]][rng.below(4) as usize].clone() },
            _ => Step::Peek,
        };
        json &= !matches!(step, Step::Stamp { .. });
        // One record becomes three; twice is enough for nobody.
        words &= step != Step::Words;
        steps.push(step);
    }
    steps
}

fn random_group(rng: &mut Rng, fold: Fold) -> case::Case {
    let window = match rng.below(4) {
        0 => Window::None,
        1 => Window::Session { gap: 1 + rng.below(15) as i64 },
        _ => Window::on_a_grid(rng),
    };
    let on_close = window != Window::None && rng.one_in(2);
    case::Case { window, grace: random_grace(rng), fold, on_close, cogroup: false, records: Vec::new() }
}

pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let (merged, steps) = (rng.one_in(3), random_steps(&mut rng));
    let again = rng.one_in(2);
    let fold = if again || rng.one_in(2) { Fold::Count } else { Fold::Reduce };
    let group = random_group(&mut rng, fold);
    // Sessions that close at one record come in an order that only one side promises, and the second group would see it.
    let is_ordered = !(group.on_close && matches!(group.window, Window::Session { .. }));
    let again = (again && is_ordered).then(|| {
        let fold = if rng.one_in(2) { Fold::Count } else { Fold::Reduce };
        random_group(&mut rng, fold)
    });
    let stream = Stream { both_sides: merged, ..Stream::random(&mut rng) };
    let value = |rng: &mut Rng, i| {
        let group = (!rng.one_in(8)).then(|| format!("g{}", rng.below(3)));
        json!({ "a": ACTIONS[rng.below(3) as usize], "g": group, "n": rng.below(10), "w": format!("{i} x") })
            .to_string()
    };
    let records = stream.records(&mut rng, value);
    Case { merged, steps, group, again, records }
}

impl crate::Case for Case {
    type Difference = Difference;
    const TOPICS: [&'static str; 2] = ["in", "other"];

    fn records(&self) -> &[Record] {
        &self.records
    }

    fn with(&self, records: Vec<Record>) -> Self {
        Self { records, ..self.clone() }
    }

    fn json(&self) -> Value {
        let step = |step: &Step| match step {
            Step::Filter { least, not } => {
                json!({ "step": if *not { "filter-not" } else { "filter" }, "least": least })
            }
            Step::SelectKey { by_map } => json!({ "step": if *by_map { "map-key" } else { "select-key" } }),
            Step::Words => json!({ "step": "flat-map" }),
            Step::Stamp { by_map } => json!({ "step": if *by_map { "map" } else { "map-values" } }),
            Step::Peek => json!({ "step": "peek" }),
            Step::Repartition => json!({ "step": "repartition" }),
            Step::Branch { kept } => json!({ "step": "branch", "kept": kept }),
        };
        json!({
            "merged": self.merged, "steps": self.steps.iter().map(step).collect::<Vec<_>>(), "group": self.group.json(),
            "again": self.again.as_ref().map(crate::Case::json),
        })
    }

    fn manifest(&self) -> String {
        let (mut steps, mut from) = (String::new(), "in".to_string());
        if self.merged {
            steps += "  both: { from: [in, other], merge: {} }\n";
            from = "both".into();
        }
        let fields = function("json-fields");
        let mut functions = String::new();
        for (name, file) in [
            ("words", "words"),
            ("stamp", "stamp-v1"),
            ("all", "keep-all"),
            ("ways", "by-action"),
            ("append", "append"),
        ] {
            functions += &format!("  {name}: {{ component: {} }}\n", function(file));
        }
        functions += &format!("  by-group: {{ component: {fields}, function: by-field, config: {{ field: g }} }}\n");
        for (i, step) in self.steps.iter().enumerate() {
            // A null value has no number, no group and no words, and is refused.
            let operator = match step {
                Step::Filter { least, not } => {
                    let config = format!("{{ field: n, least: \"{least}\" }}");
                    functions +=
                        &format!("  least-{i}: {{ component: {fields}, function: at-least, config: {config} }}\n");
                    format!("{}: least-{i}, on-error: skip", if *not { "filter-not" } else { "filter" })
                }
                Step::SelectKey { by_map: true } => "map: by-group, on-error: skip".into(),
                Step::SelectKey { by_map: false } => "select-key: by-group, on-error: skip".into(),
                Step::Words => "flat-map: words, on-error: skip".into(),
                Step::Stamp { by_map: true } => "map: stamp".into(),
                Step::Stamp { by_map: false } => "map-values: stamp".into(),
                Step::Peek => "peek: all".into(),
                Step::Repartition => "repartition: {}".into(),
                Step::Branch { .. } => "branch: ways, outputs: [logins, logouts], otherwise: rest".into(),
            };
            steps += &format!("  s{i}: {{ from: {from}, {operator} }}\n");
            from = format!("s{i}");
            if let Step::Branch { kept } = step {
                let outputs: Vec<_> = kept.iter().map(|at| format!("s{i}.{}", OUTPUTS[*at])).collect();
                from = outputs.join(", ");
                if outputs.len() > 1 {
                    steps += &format!("  m{i}: {{ from: [{from}], merge: {{}} }}\n");
                    from = format!("m{i}");
                }
            }
        }
        steps += &grouped("folded", &from, &self.group);
        from = "folded".into();
        if let Some(again) = &self.again {
            // A tombstone of a session has no words.
            steps += "  counts: { from: folded, select-key: words, on-error: skip }\n";
            steps += &grouped("again", "counts", again);
            from = "again".into();
        }
        let other = if self.merged { ", other: { topic: other }" } else { "" };
        let format = if self.last().window == Window::None { "" } else { ", key-format: plain" };
        format!(
            "pipeline: case\nfunctions:\n{functions}sources: {{ in: {{ topic: in }}{other} }}\nsteps:\n{steps}\
             sinks: {{ out: {{ from: {from}, topic: out{format} }} }}\n"
        )
    }

    fn fold(&self, rules: Rules) -> Option<Folded<Difference>> {
        Some(run(self, rules))
    }

    fn is_windowed(&self) -> bool {
        self.last().window != Window::None
    }

    fn ordered(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        crate::Case::ordered(self.last(), outcomes)
    }
}

/// A group as a step of a manifest.
fn grouped(name: &str, from: &str, group: &case::Case) -> String {
    let fold = if group.fold == Fold::Count { "count: { format: text }" } else { "reduce: append" };
    let emit = if group.on_close { "emit: on-close" } else { "emit-every-update: true" };
    let window = group.window.manifest(group.grace);
    format!("  {name}: {{ from: {from}, group: key{window}, {fold}, {emit} }}\n")
}

impl Case {
    fn last(&self) -> &case::Case {
        self.again.as_ref().unwrap_or(&self.group)
    }
}

/// What comes out, in order, and which rules that differ were touched.
pub fn run(case: &Case, rules: Rules) -> Folded<Difference> {
    let (out, mut touched) = through(case, rules, rules == Rules::Ours);
    if through(case, Rules::Ours, true).0 != through(case, Rules::Ours, false).0 {
        touched.insert(Difference::TimeOfTheTopic);
    }
    (out, touched)
}

/// A record on its way, or that it was dropped; what set it off, and its time.
type Item = (usize, Option<Record>, i64);

/// `by_topic`: what is in the last topic before the group moves its time.
fn through(case: &Case, rules: Rules, by_topic: bool) -> Folded<Difference> {
    let mut touched = BTreeSet::new();
    let records = case.records.iter().cloned().enumerate();
    let mut items: Vec<Item> = records.map(|(by, record)| (by, Some(record.clone()), record.time)).collect();
    let changes_key = |step: &Step| matches!(step, Step::SelectKey { .. } | Step::Words | Step::Stamp { by_map: true });
    let explicit = case.steps.iter().rposition(|step| *step == Step::Repartition);
    let changed = case.steps.iter().rposition(changes_key);
    // Behind a change of the key there is a topic right before the group.
    let topic_at = if changed > explicit { Some(case.steps.len()) } else { explicit };
    for (at, step) in case.steps.iter().enumerate() {
        let is_behind = topic_at.is_some_and(|topic| topic < at);
        if !is_behind {
            items.retain(|item| item.1.is_some());
        }
        if *step == Step::Repartition && items.iter().any(|item| item.1.as_ref().is_some_and(|r| r.key.is_none())) {
            touched.insert(Difference::NullKeyDropped);
            items.retain(|item| rules == Rules::Ours || item.1.as_ref().is_some_and(|r| r.key.is_some()));
        }
        let made = |(by, record, time): Item| -> Vec<Item> {
            let made = record.map_or(Vec::new(), |record| made_of(step, record));
            if made.is_empty() {
                vec![(by, None, time)]
            } else {
                made.into_iter().map(|r| (by, Some(r), time)).collect()
            }
        };
        items = items.into_iter().flat_map(made).collect();
    }
    if topic_at == Some(case.steps.len()) {
        items.retain(|item| item.1.is_some());
    }
    let mut out = Vec::new();
    for group in [Some(&case.group), case.again.as_ref()].into_iter().flatten() {
        let moves = by_topic && topic_at.is_some();
        let (results, differences) = World::of(group, rules, false).fold_items(&items, moves);
        touched.extend(differences.into_iter().map(Difference::Group));
        let next = |o: &Outcome| {
            let (key, value) = (o.value.clone(), o.value.clone());
            value.is_some().then_some(Record { side: case::Side::Left, key, value, time: o.time })
        };
        items = results.iter().filter_map(|o| Some((o.by, Some(next(o)?), o.time))).collect();
        out = results;
    }
    (out, touched)
}

/// What a step makes of a record.
fn made_of(step: &Step, record: Record) -> Vec<Record> {
    let value = record.value.as_deref();
    let field = |name: &str| serde_json::from_str::<Value>(value.expect("a value")).expect("JSON")[name].clone();
    match step {
        Step::Filter { .. } | Step::SelectKey { .. } | Step::Words if value.is_none() => Vec::new(),
        Step::Filter { least, not } if (field("n").as_u64() >= Some(*least)) == *not => Vec::new(),
        Step::SelectKey { .. } => vec![Record { key: field("g").as_str().map(str::to_string), ..record }],
        Step::Words => {
            let words = value.expect("a value").split_whitespace();
            words.map(|word| Record { key: Some(word.to_string()), ..record.clone() }).collect()
        }
        Step::Stamp { .. } => vec![Record { value: value.map(|value| format!("v1:{value}")), ..record }],
        Step::Branch { kept } => {
            let has = |action: &&&str| value.is_some_and(|value| value.contains(**action));
            let way = ACTIONS[..2].iter().position(|action| has(&action)).unwrap_or(2);
            if kept.contains(&way) { vec![record] } else { Vec::new() }
        }
        Step::Filter { .. } | Step::Peek | Step::Repartition => vec![record],
    }
}
