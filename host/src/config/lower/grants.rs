//! What functions are granted: words of the manifest, and values of the environment. And where their lines go.

use super::super::manifest as form;
use super::super::problem::Problem;
use super::super::{Grants, Logs, Surroundings};
use super::{Lower, path};

impl Lower<'_> {
    /// Where lines of functions go. Not to a topic that is read here: each line would be a record that makes lines.
    pub(super) fn logs(&mut self, manifest: &form::Manifest) -> Option<Logs> {
        let given = manifest.logs.as_ref()?;
        let topic = given.topic.0.clone();
        let reads = |source: &form::Source| source.topic.all().iter().any(|read| read.0 == topic);
        if let Some((name, _)) = manifest.sources.0.iter().find(|(_, source)| reads(source)) {
            let message =
                format!("the source `{name}` reads `{topic}`: lines of functions would be records that make lines");
            let problem = Problem::error(self.tree.place(&path(&["logs", "topic"])), message);
            self.problems.push(problem.help("name a topic of its own, such as `function-logs`"));
        }
        Some(Logs { topic, level: given.level.unwrap_or_default() })
    }

    /// What the manifest grants to a function. That records which are handled again may give other results is said.
    pub(super) fn grants(&mut self, name: &str, given: Option<&form::Grants>, around: &Surroundings<'_>) -> Grants {
        let Some(given) = given else { return Grants::default() };
        let at = |field: &str| path(&["functions", name, "grants", field]);
        let wall_clock = given.clock == Some(form::Clock::Wall);
        let random = given.random.unwrap_or(false);
        for (granted, field, what) in [(wall_clock, "clock", "the time"), (random, "random", "random numbers")] {
            if granted {
                let message = format!(
                    "a function that is granted {what} may give other results for the same records: after a failure, \
                     in a replay, on trial"
                );
                let problem = Problem::warning(self.tree.key_place(&at(field)), message);
                self.problems
                    .push(problem.help("a record's own timestamp, and what is derived from it, stay the same"));
            }
        }
        let mut env: Vec<(String, String)> = Vec::new();
        for (number, variable) in given.env.iter().flatten().enumerate() {
            let mut place = at("env");
            place.push(number.to_string());
            let wrong = if variable.is_empty() || variable.contains(['=', '\0']) {
                let help = "write the name of a variable; its value is the host's".to_string();
                Some((format!("`{variable}` is no name of a variable"), help))
            } else if env.iter().any(|(known, _)| known == variable) {
                Some((format!("`{variable}` is granted twice"), "name it once".to_string()))
            } else {
                match (around.environment)(variable) {
                    Some(value) => {
                        env.push((variable.clone(), value));
                        None
                    }
                    None => {
                        let help = format!("set it on every host: `export {variable}=…`");
                        Some((format!("the environment has no variable `{variable}`"), help))
                    }
                }
            };
            if let Some((message, help)) = wrong {
                self.problems.push(Problem::error(self.tree.place(&place), message).help(help));
            }
        }
        Grants { wall_clock, random, env }
    }
}
