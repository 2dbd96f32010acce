//! What a random case has at its ends: functions for event times, how long inputs are waited for, routers. Drawn after all the rest
//! and with numbers of its own.

use millstream_core::topology::spec::*;

use super::super::ends::ROUTED;
use super::super::native::FUNCTIONS_MAX;
use super::super::rng::Rng;
use super::super::roles::Role;
use super::Case;

/// Milliseconds for which inputs are waited for: from less than anything takes to less than a case's quiet at its end.
const WAITS_MS: [i64; 6] = [0, 1, 8, 40, 120, 400];

/// Patterns of routers: some stand for topics of others too, some for none.
const PATTERNS: [&str; 9] = ["r*", "ra*", "*1", "r*1", "*a*", "r**b1", "r*1*b", "r", "nothing-*"];

impl Case {
    /// `still`: records must keep their times.
    pub(super) fn ends(&mut self, rng: &mut Rng, still: bool) {
        self.timestamps(rng, still);
        self.waits(rng);
        self.routes(rng);
    }

    /// The name of a function, perhaps of one that is there already.
    fn named(&mut self, rng: &mut Rng, role: Role) -> String {
        let known = self.roles.iter().position(|r| *r == role).filter(|_| rng.one_in(4));
        let number = known.unwrap_or_else(|| {
            assert!(self.roles.len() < FUNCTIONS_MAX as usize, "a case has {FUNCTIONS_MAX} functions at the most");
            self.spec.functions.push(FunctionSpec { name: format!("f{}", self.roles.len()) });
            self.roles.push(role);
            self.roles.len() - 1
        });
        format!("f{number}")
    }

    fn timestamps(&mut self, rng: &mut Rng, still: bool) {
        for source in 0..self.spec.sources.len() {
            if self.spec.is_global(&self.spec.sources[source].name) || !rng.one_in(3) {
                continue;
            }
            // One that steps call as well.
            let mappers: Vec<usize> =
                (0..self.roles.len()).filter(|f| matches!(self.roles[*f], Role::Rekey { .. })).collect();
            let function = match mappers.is_empty() || rng.one_in(2) {
                true => {
                    let role = Role::When { moves: !still, timed: rng.one_in(3) };
                    self.named(rng, role)
                }
                false => format!("f{}", rng.pick(&mappers)),
            };
            self.spec.sources[source].timestamp = Some(function);
        }
    }

    fn waits(&mut self, rng: &mut Rng) {
        let mut any = || if rng.one_in(4) { MaxIdle::No } else { MaxIdle::After(*rng.pick(&WAITS_MS)) };
        let (pipeline, steps) = (any(), [any(), any()]);
        if rng.one_in(2) {
            self.spec.max_idle = pipeline;
        }
        for step in self.spec.steps.iter_mut().filter(|step| step.reads().count() > 1) {
            step.max_idle = Some(*rng.pick(&steps)).filter(|_| rng.one_in(3));
        }
    }

    fn routes(&mut self, rng: &mut Rng) {
        for sink in 0..self.spec.sinks.len() {
            if !rng.one_in(3) {
                continue;
            }
            for topic in ROUTED {
                let partitions = 1 + rng.below(3) as u32;
                self.partitions.entry(topic.into()).or_insert(partitions);
            }
            let role = Role::Router { parts: rng.one_in(2), timed: rng.one_in(3) };
            let mut route = Route { function: self.named(rng, role), topics: Vec::new(), pattern: None };
            if rng.one_in(3) {
                route.pattern = Some((*rng.pick(&PATTERNS)).into());
                route.topics = self.there(&route);
            } else {
                let listed = ROUTED.into_iter().chain(["out0", "late", "dead"]);
                let listed = listed.filter(|topic| self.partitions.contains_key(*topic));
                route.topics = listed.filter(|_| !rng.one_in(3)).map(String::from).collect();
            }
            self.spec.sinks[sink].route = Some(route);
        }
    }

    /// What a pattern stands for, as a host looks it up: topics that are there, but for those that are read.
    fn there(&self, route: &Route) -> Vec<String> {
        let read = |topic: &&String| self.spec.sources.iter().any(|source| source.topics.contains(*topic));
        self.partitions.keys().filter(|topic| route.matches(topic) && !read(topic)).cloned().collect()
    }
}
