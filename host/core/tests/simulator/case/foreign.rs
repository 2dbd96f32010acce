//! Joins by foreign key in a random case, of tables that are near each other or in tasks of their own.

use millstream_core::topology::spec::*;

use super::super::roles::Role;
use super::{Builder, Stream};

impl Builder<'_> {
    /// Joins two tables, perhaps the same twice, by a key that a function names.
    pub(super) fn join_by_foreign_key(&mut self, left: usize, right: usize) {
        self.foreign += 1;
        let topic = |part: &str| format!("sim-s{}-{part}-repartition", self.case.spec.steps.len());
        let (asked, answered) = (topic("subscriptions"), topic("answers"));
        let mut sides = [left, right].map(|side| self.streams[side].topics.clone());
        sides[0].insert(answered);
        sides[1].insert(asked);
        let kind = if self.rng.one_in(2) { JoinKind::Inner } else { JoinKind::Left };
        self.streams[right].used = true;
        let (function, key) = (self.function(Role::Pair), Some(self.function(Role::Rekey { shift: true })));
        let other = self.streams[right].from.clone();
        let like = Stream { topics: sides[0].clone(), history: None, ..self.streams[left].clone() };
        self.push(Operator::Join(Join { other, kind, function, key, grace_ms: None }), &[left], like);
        sides.into_iter().for_each(|side| self.bring_together(side));
    }

    /// A table that other topics bring about than one does, so that its rows are in other tasks; made, where there is none.
    pub(super) fn far_table(&mut self, table: usize) -> Option<usize> {
        let of = self.streams[table].topics.clone();
        let far = |s: &Stream| !s.windowed && !s.dirty && s.topics.is_disjoint(&of);
        let fits: Vec<usize> = (0..self.streams.len()).filter(|s| far(&self.streams[*s])).collect();
        if let Some(found) = fits.iter().rev().find(|s| self.streams[**s].table) {
            return Some(*found);
        }
        let source = *fits.first()?;
        self.streams[source].used = true;
        let like = Stream { table: true, history: None, ..self.streams[source].clone() };
        self.push(Operator::Table { partitions: None, history_ms: None }, &[source], like);
        Some(self.streams.len() - 1)
    }
}
