//! Migrators: what becomes of a state may depend on that state, its key and its store, and on nothing else. The states are those that the
//! records fold to: they are turned into each layout that the function turns its own back into, and from there into its own, where it reads
//! that. What is lost on the way is the function's matter.

use std::collections::BTreeMap;
use std::fmt;

use millstream_core::function::{Answer, Functions, Prepared};
use millstream_core::record::BytesColumn;

use super::fold::named;
use super::{CALL_RECORDS, Report, States, every, note, same_length, shown};

/// Layouts of states that a function knows, as its migrator says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ways<'a> {
    /// The layout that it writes.
    pub current: u32,
    /// Others that it turns into that.
    pub reads: &'a [u32],
    /// Others that it turns that back into.
    pub writes: &'a [u32],
}

/// What a state becomes, or how the function failed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Turned {
    State(Option<Vec<u8>>),
    Failed(String),
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turned::State(state) => write!(f, "state {}", shown(state.as_deref())),
            Turned::Failed(why) => write!(f, "failed: {why}"),
        }
    }
}

/// Turns states there and back.
pub fn verify(functions: &mut dyn Functions, function: Prepared, states: &States, ways: Ways<'_>, report: &mut Report) {
    let mut subject = Subject { functions, function };
    for layout in ways.writes {
        let Some(back) = subject.tried(states, (ways.current, *layout), report) else { continue };
        if ways.reads.contains(layout) {
            subject.tried(&back, (*layout, ways.current), report);
        }
    }
}

struct Subject<'a> {
    functions: &'a mut dyn Functions,
    function: Prepared,
}

impl Subject<'_> {
    /// Tries one way; gives what it leads to.
    fn tried(&mut self, states: &States, way: (u32, u32), report: &mut Report) -> Option<States> {
        self.functions.renew(self.function);
        let first = self.turned(states, way, CALL_RECORDS);
        let told = named_all(states, &first);
        for (how, records) in [
            ("again, by the same instance", CALL_RECORDS),
            ("again, by a fresh instance", CALL_RECORDS),
            ("one state a call", 1),
        ] {
            if how.ends_with("fresh instance") {
                self.functions.renew(self.function);
            }
            let then = named_all(states, &self.turned(states, way, records));
            note(report, "migrator", format!("{} to {}, {how}", way.0, way.1), &told, &then);
        }
        first.ok()
    }

    fn turned(&mut self, states: &States, (from, to): (u32, u32), call_states: usize) -> Answer<States> {
        let all: Vec<(&Vec<u8>, Option<&[u8]>)> = states.iter().map(|(key, state)| (key, state.as_deref())).collect();
        let (mut out, mut at) = (BTreeMap::new(), 0);
        for end in every(call_states, all.len()) {
            let part = &all[at..end];
            let keys: BytesColumn = part.iter().map(|(key, _)| Some(&key[..])).collect();
            let column: BytesColumn = part.iter().map(|(_, state)| *state).collect();
            let turned = self.functions.migrate(self.function, "", from, to, &keys, &column)?;
            same_length(&turned, part.len(), "states")?;
            let of = |i: usize| turned.get(i).map(<[u8]>::to_vec);
            out.extend(part.iter().enumerate().map(|(i, (key, _))| ((*key).clone(), of(i))));
            at = end;
        }
        Ok(out)
    }
}

fn named_all(states: &States, turned: &Answer<States>) -> Vec<(String, Turned)> {
    let of = |key: &Vec<u8>| match turned {
        Ok(turned) => Turned::State(turned.get(key).cloned().flatten()),
        Err(fault) => Turned::Failed(fault.to_string()),
    };
    states.keys().map(|key| (named(key), of(key))).collect()
}
