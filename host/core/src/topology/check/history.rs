//! What is wrong with tables that have history, and with joins whose records wait for them.

use alloc::format;
use alloc::string::ToString;

use super::{Checker, Keys, Section};
use crate::topology::describe::{duration, shown};
use crate::topology::spec::{Join, StepSpec};

impl Checker<'_> {
    /// Checks the history of a table.
    pub(super) fn history(&mut self, step: &StepSpec, history_ms: Option<i64>) {
        let (section, name) = (Section::Steps, &step.name[..]);
        if history_ms.is_some_and(|ms| ms < 0) {
            self.error(section, name, "table", "the `history` of a table is at least 0 ms".to_string(), "");
        }
        if step.late.is_some() && history_ms.is_none() {
            let message = "`late` has no effect: without `history` no record is too old for a table".to_string();
            self.warn(section, name, "late", message, "leave it out, or say `table: { history: 1h }`");
        }
    }

    /// Checks how a join waits. `input`, `other`: what it has on the left and on the right.
    pub(super) fn waits(&mut self, step: &StepSpec, join: &Join, input: Keys, other: Keys) {
        let Some(grace_ms) = join.grace_ms else { return };
        let mut error = |message: &str, help: &str| {
            self.error(Section::Steps, &step.name, "grace", message.to_string(), help);
        };
        if join.key.is_some() || input.table {
            let help = "leave it out: a change of either table meets what the other one is then";
            return error("`grace` is for a stream that is joined with a table, and this joins two tables", help);
        }
        if grace_ms < 0 {
            return error("the grace of a join is at least 0 ms", "");
        }
        let table = shown(&join.other);
        let Some(history_ms) = other.history else {
            let message = format!("`grace` waits for what a table was at a time, and `{table}` knows only what it is");
            return error(&message, "give that table history, `table: { history: 1h }`, or leave `grace` out");
        };
        if grace_ms > history_ms {
            let (grace, history) = (duration(grace_ms), duration(history_ms));
            let message = format!("`grace` is {grace}, and the history of `{table}` only {history}");
            error(&message, "what a record waits for would be gone: make the history at least as long");
        }
    }
}
