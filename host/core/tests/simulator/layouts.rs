//! Layouts of states: some functions write those of each version turned by another number, so that a state that is read in another
//! layout than it was written in, or turned twice, gives other results than the oracle has.

use millstream_core::function::Prepared;
use millstream_core::record::BytesColumn;
use millstream_core::topology::spec::{Aggregate, Fold, Operator, Spec};

use super::native::FUNCTIONS_MAX;
use super::roles::Role;

/// How many layouts a function's versions have, in turn.
const LAYOUTS: u32 = 3;

/// Which functions have a migrator: processors, and those of folds whose states the engine turns and nothing shows as they are.
pub fn migrators(spec: &Spec, roles: &[Role]) -> Vec<bool> {
    let has = |(number, role): (usize, &Role)| {
        let name = spec.functions[number].name.as_str();
        let folds: Vec<&Aggregate> = spec.steps.iter().filter_map(|step| fold_by(&step.operator, name)).collect();
        match role {
            Role::Proc(_) => true,
            Role::Sum(sum) => !sum.breaks && !sum.shared && !folds.is_empty() && folds.into_iter().all(is_turned),
            _ => false,
        }
    };
    roles.iter().enumerate().map(has).collect()
}

/// The fold of a step, if it is by this function.
fn fold_by<'s>(operator: &'s Operator, function: &str) -> Option<&'s Aggregate> {
    match operator {
        Operator::Aggregate(aggregate) if aggregate.fold.function() == Some(function) => Some(aggregate),
        _ => None,
    }
}

/// Whether the engine turns its states.
fn is_turned(aggregate: &Aggregate) -> bool {
    matches!(aggregate.fold, Fold::Aggregate { .. } | Fold::Scan { .. })
}

/// By what a version turns states.
fn turn(f: Prepared) -> u32 {
    (f.0 / FUNCTIONS_MAX) % LAYOUTS
}

/// The layout of a version of a function that has a migrator.
pub fn layout(f: Prepared) -> u32 {
    f.0 % FUNCTIONS_MAX + FUNCTIONS_MAX * turn(f)
}

/// States in the layout of a version as they are, or the other way round.
pub fn turned(f: Prepared, states: &BytesColumn) -> BytesColumn {
    by(turn(f), states)
}

/// States of one layout in another.
pub fn migrated(old: u32, new: u32, states: &BytesColumn) -> BytesColumn {
    by((old / FUNCTIONS_MAX) ^ (new / FUNCTIONS_MAX), states)
}

/// A state or an entry in the layout of a version as it is, or the other way round.
pub fn turned_one(f: Prepared, state: &[u8]) -> Vec<u8> {
    state.iter().map(|byte| byte ^ turn(f) as u8).collect()
}

fn by(number: u32, states: &BytesColumn) -> BytesColumn {
    let one = |i: usize| states.get(i).map(|state| state.iter().map(|byte| byte ^ number as u8).collect::<Vec<u8>>());
    let all: Vec<Option<Vec<u8>>> = (0..states.len()).map(one).collect();
    all.iter().map(Option::as_deref).collect()
}
