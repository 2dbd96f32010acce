//! Where the right rows are: who asks for which of them is kept, and told what it is, when it asks and whenever it changes.

use alloc::vec::Vec;

use super::Messages;
use super::message::{Answer, Asker, Subscription};
use crate::codec::put_bytes;
use crate::emit::Reason;
use crate::error::Verdict;
use crate::flow::{DERIVED, Flow};
use crate::operator::Cx;
use crate::operator::aggregate::ground;
use crate::operator::join::Side;
use crate::operator::join::moments::Moments;
use crate::state::entries::Entries;
use crate::state::key::successor;
use crate::state::keyspace::Scan;
use crate::topology::graph::Node;

/// Which of the events is a subscription, as [`Flow::join`] numbers them.
const SUBSCRIBED: u32 = 0;

/// Takes subscriptions and changes of the right table in, row by row; gives the answers. `kept`: number and entries of the store
/// of subscriptions, whose keys are the foreign key with its length, and the left row's.
pub(crate) fn right(
    cx: &mut Cx<'_, '_>,
    node: &Node,
    subscriptions: &Flow,
    rows: Side<'_>,
    kept: (usize, &mut Entries),
) -> Result<Flow, Verdict> {
    let events = Flow::join(&[subscriptions, rows.flow]);
    if events.is_empty() {
        return Ok(cx.empty.clone());
    }
    let (ground, entries) = (ground(cx, kept.0), kept.1);
    // What was read here says little to people: of an answer that is refused they see the answer, so its row is marked.
    let (mut moments, mut answers) = (Moments::new(rows, false), Messages::default());
    for i in 0..events.len() {
        let Some(foreign) = events.batch.keys.get(i) else { continue };
        let mut prefix = Vec::new();
        put_bytes(&mut prefix, foreign);
        if events.inputs.as_ref().is_none_or(|inputs| inputs[i] == SUBSCRIBED) {
            let Some(said) = events.batch.values.get(i).and_then(Subscription::decode) else {
                cx.out.dropped(&node.name, Reason::ForeignRecord);
                continue;
            };
            let key = [&prefix[..], said.row].concat();
            if said.gone {
                entries.put(&key, 0, 0, None);
                continue;
            }
            entries.put(&key, 0, events.batch.timestamps[i], Some(&said.asker.encode()));
            let right = moments.at(cx, &events, i, events.row(i))?;
            let (value, time) = right.unzip();
            let answer = Answer { asker: said.asker, foreign, value, time };
            answers.push(&events, i, events.row(i) | DERIVED, said.row, &answer.encode());
            continue;
        }
        let time = events.batch.timestamps[i];
        let (value, time) = (events.batch.values.get(i), Some(time));
        let mut broken = false;
        let end = successor(&prefix).unwrap_or_default();
        entries.range(ground, &prefix, &end, &mut |key, entry| match Asker::decode(entry.state) {
            Some(asker) => {
                let answer = Answer { asker, foreign, value, time };
                answers.push(&events, i, events.row(i) | DERIVED, &key[prefix.len()..], &answer.encode());
                Scan::Continue
            }
            None => {
                broken = true;
                Scan::Stop
            }
        })?;
        if broken {
            return Err(Verdict::Corrupted("a subscription has a form this version does not know".into()));
        }
    }
    entries.settle();
    Ok(answers.flow())
}
