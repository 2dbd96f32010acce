//! The oracle's joins, among the steps of its tasks.

use millstream_core::topology::spec::{Join, JoinKind, MapForm, Operator, StepSpec};

use super::super::super::roles::{Mark, Rec, global_row, mark_of_pair};
use super::super::plan::Kind;
use super::super::stream;
use super::super::table::{Joined, Meeting, Table};
use super::super::{Item, Row};
use super::{OracleTask, function_of, joins_at_all};

impl OracleTask {
    /// A node that has to do with joins: its results, by output.
    pub(super) fn joined(
        &mut self,
        at: usize,
        kind: &Kind,
        numbered: Vec<(u32, Item)>,
        row: Option<&Row>,
    ) -> Vec<Vec<Item>> {
        let of = |side| numbered.iter().filter(move |(n, _)| *n == side).map(|(_, item)| item.clone()).collect();
        match kind {
            Kind::Join { step, join, tables, .. } => vec![self.join(at, step, (join, *tables), [of(0), of(1)], row)],
            Kind::ForeignKeys(step) => {
                let changes: Vec<Item> = of(0);
                vec![changes.into_iter().filter_map(|item| self.foreign_key(at, step, item, row)).collect()]
            }
            Kind::Asks { step, join } => {
                let (results, asked) = self.asks(at, step, join, [of(0), of(1), of(2)], row);
                vec![results, asked]
            }
            Kind::Answers => vec![self.answers.entry(at).or_default().take(of(0), of(1))],
            Kind::StreamJoin { step, .. } => vec![self.streams(at, step, numbered, row)],
            _ => unreachable!("it has nothing to do with joins"),
        }
    }

    pub(super) fn join(
        &mut self,
        at: usize,
        step: &StepSpec,
        (join, tables): (&Join, bool),
        [left, right]: [Vec<Item>; 2],
        row: Option<&Row>,
    ) -> Vec<Item> {
        let mut joined = self.joins.remove(&at).unwrap_or_default();
        let met = if tables {
            joined.meet(join.kind, left, right)
        } else {
            let (good, bad): (Vec<Item>, Vec<Item>) = left.into_iter().partition(|item| joins_at_all(join.kind, item));
            for item in bad {
                let why =
                    if item.rec.key.is_none() && join.kind == JoinKind::Inner { "null-key" } else { "null-value" };
                *self.done.dropped.entry((step.name.clone(), why.into())).or_default() += 1;
            }
            self.look_up(at, join.kind, &mut joined, (good, &right), row)
        };
        let results = self.bring_together(at, step, met, tables.then_some(&mut joined.own), row);
        self.joins.insert(at, joined);
        results
    }

    /// A record that looks a row of a global table up.
    pub(super) fn look_up_global(
        &mut self,
        at: usize,
        (step, join): (&StepSpec, &Join),
        item: Item,
        row: Option<&Row>,
        input: Option<u32>,
    ) -> Vec<Item> {
        if item.rec.value.is_none() {
            self.drop_from(step, item, "null-value", row);
            return Vec::new();
        }
        let named = join.key.clone().expect("it has a key");
        let function = self.case.spec.functions.iter().position(|f| f.name == named).expect("it is there");
        let selects =
            StepSpec { operator: Operator::Map { function: named, form: MapForm::SelectKey }, ..step.clone() };
        let Some(mut given) = self.asked(at, (&selects, function), item.clone(), row, input) else { return Vec::new() };
        let key = given.pop().and_then(|(_, result)| result.rec.key);
        let found = key.as_deref().and_then(global_row);
        if found.is_none() && join.kind == JoinKind::Inner {
            if key.is_none() {
                self.drop_from(step, item, "null-key", row);
            }
            return Vec::new();
        }
        let pair = Some((item.rec.value.clone(), found));
        self.bring_together(at, step, vec![Meeting { time: item.rec.time, item, pair }], None, row)
    }

    /// What records of a stream meet in a table: as it is, or as it was at their time, now or when they have waited long enough.
    fn look_up(
        &mut self,
        at: usize,
        kind: JoinKind,
        joined: &mut Joined,
        (records, changes): (Vec<Item>, &[Item]),
        row: Option<&Row>,
    ) -> Vec<Meeting> {
        let by_window = self.plan.nodes[at].windowed;
        let Some(versions) = self.versions.get(&self.plan.nodes[at].parents[1].0) else {
            return joined.look_up(kind, by_window, records, changes);
        };
        let records = match self.waiting.get_mut(&at) {
            None => records,
            Some(waiting) => {
                let mut now = waiting.due();
                for item in records {
                    let window = item.window.filter(|_| by_window);
                    now.extend(waiting.take(Item { window, old: None, ..item }, row));
                }
                now
            }
        };
        let mut met = Vec::new();
        for item in records {
            let asked = Item { window: item.window.filter(|_| by_window), ..item.clone() };
            let right = item.rec.key.as_ref().and_then(|_| versions.as_of(&asked));
            if right.is_some() || kind == JoinKind::Left {
                let pair = Some((item.rec.value.clone(), right));
                met.push(Meeting { time: item.rec.time, item, pair });
            }
        }
        met
    }

    /// The foreign key of a row, as a row itself.
    pub(super) fn foreign_key(&mut self, at: usize, step: &StepSpec, item: Item, row: Option<&Row>) -> Option<Item> {
        let mut is = item.clone();
        is.rec.value = None;
        if item.rec.value.is_some() {
            let function = function_of(&Kind::ForeignKeys(step.clone())).expect("a mapper");
            if let Some((_, named)) = self.asked(at, (step, function), item.clone(), row, None)?.pop() {
                is.rec = Rec { value: named.rec.key.clone(), key: item.rec.key, ..named.rec };
            }
        }
        Some(is)
    }

    pub(super) fn asks(
        &mut self,
        at: usize,
        step: &StepSpec,
        join: &Join,
        [keys, rows, answers]: [Vec<Item>; 3],
        row: Option<&Row>,
    ) -> (Vec<Item>, Vec<Item>) {
        let mut asks = self.asks.remove(&at).unwrap_or_default();
        let (asked, mut met) = asks.change(self.partition, join.kind, keys, rows);
        met.extend(answers.into_iter().filter_map(|answer| asks.hear(join.kind, answer)));
        let results = self.bring_together(at, step, met, Some(&mut asks.joined.own), row);
        self.asks.insert(at, asks);
        (results, asked)
    }

    /// What the joiner makes of those who have met; `own`: the rows of the result, where it is a table.
    pub(super) fn bring_together(
        &mut self,
        at: usize,
        step: &StepSpec,
        met: Vec<Meeting>,
        mut own: Option<&mut Table>,
        row: Option<&Row>,
    ) -> Vec<Item> {
        let function = function_of(&self.plan.nodes[at].kind).expect("a joiner");
        let mut results = Vec::new();
        for Meeting { item, time, pair } in met {
            let value = match pair {
                None => None,
                Some((left, right)) => {
                    let reason = match mark_of_pair(function, left.as_deref(), right.as_deref()) {
                        Some(Mark::Trap | Mark::Bad) => Some("poisoned"),
                        Some(Mark::Reject) => Some("rejected"),
                        _ => None,
                    };
                    if let Some(reason) = reason {
                        self.refuse(&step.name, Some(function), &step.on_error, &item, row, reason);
                        continue;
                    }
                    self.running(function).pair(left.as_deref(), right.as_deref())
                }
            };
            let is = Item { rec: Rec { value, time, ..item.rec }, ..item };
            let old = own.as_mut().and_then(|own| own.change(&is));
            if own.is_none() || old.is_some() || is.rec.value.is_some() {
                results.push(Item { old, ..is });
            }
        }
        results
    }

    /// A join of two streams, for what one row brings it.
    pub(super) fn streams(
        &mut self,
        at: usize,
        step: &StepSpec,
        items: Vec<(u32, Item)>,
        row: Option<&Row>,
    ) -> Vec<Item> {
        let function = function_of(&self.plan.nodes[at].kind);
        let mut state = self.streams.remove(&at).expect("it was made");
        let mut out = state.end();
        for (side, item) in items {
            out.extend(state.take(item, side == 0, row));
        }
        self.streams.insert(at, state);
        let mut results = Vec::new();
        for out in out {
            let (item, left, right) = match out {
                stream::Out::Met(item, left, right) => (item, left, right),
                stream::Out::Dropped(reason, item) => {
                    self.drop_from(step, item, reason, row);
                    continue;
                }
            };
            let (left, right) = (left.as_deref(), right.as_deref());
            let reason = match function.and_then(|f| mark_of_pair(f, left, right)) {
                Some(Mark::Trap | Mark::Bad) => Some("poisoned"),
                Some(Mark::Reject) => Some("rejected"),
                _ => None,
            };
            if let Some(reason) = reason {
                self.refuse(&step.name, function, &step.on_error, &item, row, reason);
                continue;
            }
            let value = match function {
                Some(function) => self.running(function).pair(left, right),
                None => Some(stream::text(left, right)),
            };
            results.push(Item { rec: Rec { value, ..item.rec }, ..item });
        }
        results
    }
}
