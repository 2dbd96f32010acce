//! Cogroups and scans: groups of `case` with two inputs, and with a result after every record.

use serde_json::json;

use crate::case::{Case, Fold, Rng, Stream, Window, random_grace};
use crate::fold::Difference;

/// The rules that differ which a cogroup may touch. A session or a sliding window of two inputs differs as one of one input does.
pub const DIFFERENCES: [Difference; 6] = [
    Difference::NullValueCounts,
    Difference::ClosedSessionMerged,
    Difference::TombstoneOfTheSameSession,
    Difference::RecordForgotten,
    Difference::WindowMadeTwice,
    Difference::TimeOfEachInput,
];

fn numbers(rng: &mut Rng, _: u64) -> String {
    json!({ "n": rng.below(50) }).to_string()
}

/// A cogroup. On close only windows on a grid: a suppressed session comes out a moment before it is closed, and Kafka Streams has no
/// other way for cogroups.
pub fn random(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let window = match rng.below(6) {
        0 => Window::None,
        1..4 => Window::on_a_grid(&mut rng),
        4 => Window::Session { gap: 1 + rng.below(15) as i64 },
        _ => Window::Sliding { difference: 1 + rng.below(30) as i64 },
    };
    let grace = random_grace(&mut rng);
    // States that are put together in any order want a function that does not mind.
    let mixed = !matches!(window, Window::Sliding { .. }) && rng.one_in(2);
    let fold = if mixed { Fold::Mixed } else { Fold::Aggregate };
    let on_close = matches!(window, Window::Hopping { .. }) && rng.one_in(2);
    let stream = Stream { both_sides: true, ..Stream::random(&mut rng) };
    let records = match mixed {
        true => stream.records(&mut rng, numbers),
        false => stream.records(&mut rng, |_, i| format!("v{i}")),
    };
    Case { window, grace, fold, on_close, cogroup: true, records }
}

/// A scan: an aggregate there, without a cache.
pub fn random_scan(seed: u64) -> Case {
    let mut rng = Rng(seed);
    let window = if rng.one_in(3) { Window::None } else { Window::on_a_grid(&mut rng) };
    let grace = random_grace(&mut rng);
    let records = Stream::random(&mut rng).records(&mut rng, numbers);
    Case { window, grace, fold: Fold::Scan, on_close: false, cogroup: false, records }
}
