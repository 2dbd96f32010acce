//! Joins: with a table, or, where the manifest says `within`, of two streams.

use millstream_core::topology::spec::{Join, JoinKind, JoinWindow, Operator, StreamJoin};

use super::super::manifest::{self as form, Reference};
use super::super::problem::Problem;
use super::{Lower, path, reference};

impl Lower<'_> {
    /// The operator of a step with `join`.
    pub(super) fn join(&mut self, name: &str, step: &form::Step, other: &Reference) -> Operator {
        let kind = match step.join_type {
            None | Some(form::JoinType::Inner) => JoinKind::Inner,
            Some(form::JoinType::Left) => JoinKind::Left,
            Some(form::JoinType::Outer) => JoinKind::Outer,
        };
        let (other, function) = (reference(&other.0), step.with.as_ref().map(|f| f.0.clone()));
        let Some(within) = &step.within else {
            if function.is_none() {
                let span = self.tree.key_place(&path(&["steps", name, "join"]));
                let help = "name a function that makes a value of two; two streams, joined `within` a time, need none";
                self.problems.push(Problem::error(span, "`join` needs `with` beside it".to_string()).help(help));
            }
            // One that was left out has been told of, and has no name.
            let key = step.key.as_ref().map(|f| f.0.clone());
            let grace_ms = step.grace.as_ref().map(|grace| self.duration(grace, &path(&["steps", name, "grace"])));
            return Operator::Join(Join { other, kind, function: function.unwrap_or_default(), key, grace_ms });
        };
        if step.key.is_some() {
            let span = self.tree.key_place(&path(&["steps", name, "key"]));
            let help = "`key` joins tables by foreign key; records of two streams meet by their own keys (`select-key` gives them others)";
            self.problems
                .push(Problem::error(span, "`key` does not belong to a join `within` a time".to_string()).help(help));
        }
        let (before_ms, after_ms) = match within {
            form::Within::Both(both) => {
                let ms = self.duration(both, &path(&["steps", name, "within"]));
                (ms, ms)
            }
            form::Within::Apart(apart) => {
                let at = |field: &str| path(&["steps", name, "within", field]);
                (self.duration(&apart.before, &at("before")), self.duration(&apart.after, &at("after")))
            }
        };
        if step.grace.is_none() {
            let message = format!(
                "the join of step `{name}` has no `grace`: a record that is out of order by 1 ms may miss its partner"
            );
            let problem = Problem::warning(self.tree.key_place(&path(&["steps", name, "within"])), message);
            self.problems.push(problem.help("say how long to wait: `grace: 2s`; or `grace: 0ms`, if that is meant"));
        }
        let grace_ms = step.grace.as_ref().map_or(0, |g| self.duration(g, &path(&["steps", name, "grace"])));
        let window = JoinWindow { before_ms, after_ms, grace_ms };
        Operator::StreamJoin(StreamJoin { other, kind, function, window })
    }
}
