//! Answers that the core refuses: each function's records stop the pipeline with the reason, or go where `on-error` says,
//! and nothing else of them is seen.

use std::sync::Arc;

use millstream_wasm::Registry;

use crate::{driver, feed, registry, values, worker};

/// A function; its step; what stops the pipeline; what comes out where `on-error` is `dead-letter`. The records are `a` and
/// `trap`; the aggregates count them.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("bad-taken-none", "map: bad", "`taken` is 0; between 1 and 1 were to be taken", DEAD),
    ("bad-taken-more", "map: bad", "`taken` is 2; between 1 and 1 were to be taken", DEAD),
    ("bad-lengths", "map: bad", "`values` has 2 items for 1 results", DEAD),
    ("bad-sources-range", "map: bad", "`sources` names record 1 of 1 taken", DEAD),
    ("bad-timestamps", "map: bad", "a result has the negative timestamp -1", DEAD),
    ("bad-ports", "branch: bad, outputs: [one, two]", "port 1000 is not there; the step has 2", DEAD),
    ("bad-rejection-unsourced", "map: bad", "records were rejected and `sources` is not given", DEAD),
    ("bad-rejection-index", "filter: bad", "a rejection names record 1 of 1", DEAD),
    ("bad-bits", "filter: bad", "a filter over 1 records gave 2 bytes, not 1", DEAD),
    ("bad-states", COUNT, "`add` gave 0 states for 1 groups", DEAD),
    ("bad-member", COUNT, "a rejection names member 1 of 1", DEAD),
    ("bad-finish", COUNT, "`finish` gave 2 values for 1 groups", r#"out ""; dead "\u{1} \u{1}""#),
];

const COUNT: &str = "group: key, aggregate: bad";

/// No result, and both records among the dead letters.
const DEAD: &str = r#"out ""; dead "a trap""#;

const DEAD_LETTER: &str = "{ dead-letter: dead }";

/// All of them at once, so that a change of words is seen whole.
#[test]
fn answers_that_break_the_contract_stop_the_pipeline_or_go_where_on_error_says() {
    let registry = registry();
    let mut lines = [String::new(), String::new()];
    for (name, step, fault, came) in CASES {
        let record = "in/0 offset 0: poisoned";
        let whose = if *name == "bad-finish" { "poisoned: `finish` of key \"a\"" } else { record };
        let fault = format!("{whose}: gave a result that breaks the contract: {fault}");
        lines[0] += &format!("{name}: task 0_0 stopped: step `step`: {fault}; then {came}\n");
        let ends = worker(|| ["fail", DEAD_LETTER].map(|on_error| end(&registry, name, step, on_error)));
        lines[1] += &format!("{name}: {}\n", ends.join("; then "));
    }
    assert_eq!(lines[1], lines[0], "\n{}", lines[1]);
}

/// Together the records fail, and alone they do not: nobody is at fault, and what a call answered that failed is not seen.
#[test]
fn what_fails_in_company_alone_costs_no_record() {
    let ends = worker(|| end(&registry(), "bad-sources-fall", "map: bad", "fail"));
    // It gives no result for a record alone, and two for two, the second first.
    assert_eq!(ends, r#"out ""; dead """#);
}

/// The panic's own words are in what a user sees.
#[test]
fn a_panic_is_told_where_the_fault_is() {
    let registry = registry();
    let panic =
        "trapped: panicked at misbehaving-rust/examples/bad-trap-finish.rs:6:5: the key is `trap`; wasm `unreachable`";
    let fails = worker(|| end(&registry, "bad-trap-finish", COUNT, "fail"));
    let expected = format!("task 0_0 stopped: step `step`: poisoned: `finish` of key \"trap\": {panic}");
    assert!(fails.starts_with(&expected), "{fails}");
    let goes_on = worker(|| end(&registry, "bad-trap-finish", COUNT, DEAD_LETTER));
    assert_eq!(goes_on, r#"out "\u{1}"; dead "\u{1}""#);
}

/// How a pipeline of this step ends: why it stopped, or what came out.
fn end(registry: &Arc<Registry>, name: &str, step: &str, on_error: &str) -> String {
    let mut driver = driver(registry, name, &format!("{step}, on-error: {on_error}"));
    let stopped = feed(&mut driver, &["a", "trap"]).err();
    let [out, dead] = ["out", "dead"].map(|topic| values(&driver, topic).join(" "));
    if stopped.is_some() {
        assert_eq!((&out[..], &dead[..]), ("", ""), "{name}: what a stopped task did is not seen");
    }
    stopped.unwrap_or_else(|| format!("out {out:?}; dead {dead:?}"))
}
