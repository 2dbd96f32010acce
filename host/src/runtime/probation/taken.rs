//! Calls as they are taken for a trial: what was given, what the version in force answered, and from where the records are.

use millstream_core::flow::DERIVED;
use millstream_core::function::{Context, Groups, Joined, Kept, Output, Records, Rejection, Routed, TimerClock};
use millstream_core::operator::stateless::Takes;
use millstream_core::partition::murmur2;
use millstream_core::poll::{Origins, Polled};
use millstream_core::record::{Batch, BytesColumn, Timestamp};
use millstream_core::task::TaskId;
use std::sync::Arc;

use super::found::Found;

/// A call that was answered.
pub(super) enum Call {
    /// `filter.keep`.
    Keep(Given, Kept),
    /// `mapper.apply`.
    Apply(Box<(Given, Output)>),
    /// `router.route`.
    Route(Given, Routed),
    /// `joiner.join`.
    Join(Sides, Joined),
    /// `aggregator.add`, `retractor.remove`, `scanner.scan`.
    Fold(Box<Fold>),
    /// `merger.merge`, and what became of both sides.
    Merge(Sides, BytesColumn),
    /// `processor.process`, `on-timer.fire`.
    Process(Box<Processed>),
}

impl Call {
    /// Bytes that it takes in memory, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Call::Keep(given, kept) => given.bytes() + kept.bits.len(),
            Call::Apply(call) => {
                let (given, output) = &**call;
                given.bytes() + output_bytes(output)
            }
            Call::Route(given, routed) => given.bytes() + routed.topics.bytes(),
            Call::Join(sides, joined) => sides.bytes() + joined.values.bytes(),
            Call::Fold(fold) => {
                fold.given.bytes()
                    + fold.groups.bytes()
                    + fold.states.bytes()
                    + fold.values.as_ref().map_or(0, BytesColumn::bytes)
            }
            Call::Merge(sides, states) => sides.bytes() + states.bytes(),
            Call::Process(call) => call.given.bytes() + call.found.bytes + output_bytes(&call.output),
        }
    }
}

fn output_bytes(output: &Output) -> usize {
    output.keys.iter().chain(&output.values).map(BytesColumn::bytes).sum::<usize>() + 16 * output.taken as usize
}

/// A call of a processor that was answered.
pub(super) struct Processed {
    /// Of `on-timer.fire`: by which clock. Its records are timers: key, name, due time.
    pub fired: Option<TimerClock>,
    pub given: Given,
    /// What the version in force answered.
    pub output: Output,
    /// What it found and wrote meanwhile.
    pub found: Found,
    /// How many calls had been left out before this one: what they did to stores nobody knows.
    pub gaps: u64,
}

/// What a task has read last.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    task: TaskId,
    origins: Origins,
}

impl Reads {
    /// Of these records.
    pub fn new(task: TaskId, polled: &Polled) -> Self {
        Self { task, origins: polled.origins() }
    }
}

/// Records as a call was given them.
#[derive(Clone, Debug)]
pub(super) struct Given {
    pub batch: Batch,
    stream_times: Vec<Timestamp>,
    windows: Option<(Vec<Timestamp>, Vec<Timestamp>)>,
    inputs: Option<Vec<u32>>,
    takes: Option<Takes>,
    /// As [`Context::closing`].
    pub closing: Vec<Timestamp>,
    task: Option<TaskId>,
    /// Input and offset of each.
    places: Vec<Option<(u32, i64)>>,
}

impl Given {
    pub fn new(context: Context<'_>, records: Records<'_>, reads: Option<&Reads>) -> Self {
        let row = |i: usize| context.rows.map_or(i, |rows| (rows[i] & !DERIVED) as usize);
        let place = |i| reads.and_then(|reads| reads.origins.of(row(i)));
        Self {
            batch: Batch {
                keys: Arc::new(records.keys.clone()),
                values: Arc::new(records.values.clone()),
                timestamps: Arc::new(records.timestamps.to_vec()),
                headers: context.headers.map(|headers| Arc::new(headers.clone())),
            },
            stream_times: context.stream_times.to_vec(),
            windows: context.windows.map(|(starts, ends)| (starts.to_vec(), ends.to_vec())),
            inputs: context.inputs.map(<[u32]>::to_vec),
            takes: context.takes,
            closing: context.closing.to_vec(),
            task: reads.map(|reads| reads.task),
            places: (0..records.timestamps.len()).map(place).collect(),
        }
    }

    pub fn len(&self) -> usize {
        self.batch.len()
    }

    fn bytes(&self) -> usize {
        self.batch.bytes() + self.places.len() * 48
    }

    pub fn records(&self) -> Records<'_> {
        Records { keys: &self.batch.keys, values: &self.batch.values, timestamps: &self.batch.timestamps }
    }

    pub fn context(&self) -> Context<'_> {
        Context {
            headers: self.batch.headers.as_deref(),
            stream_times: &self.stream_times,
            windows: self.windows.as_ref().map(|(starts, ends)| (starts.as_slice(), ends.as_slice())),
            inputs: self.inputs.as_deref(),
            rows: None,
            takes: self.takes,
            closing: &self.closing,
        }
    }

    /// What the step takes of results, where that is known.
    pub fn takes_of_step(&self) -> Option<Takes> {
        self.takes
    }

    /// What the step takes of results.
    pub fn takes(&self) -> Takes {
        self.takes.unwrap_or(Takes::ANYTHING)
    }

    /// Where a record is: its task, input and offset.
    pub fn place(&self, i: usize) -> Option<(TaskId, u32, i64)> {
        let (input, offset) = self.places.get(i).copied().flatten()?;
        Some((self.task?, input, offset))
    }

    /// These records alone.
    pub fn gather(&self, rows: &[u32]) -> Given {
        let pick = |all: &[Timestamp]| -> Vec<Timestamp> { rows.iter().map(|r| all[*r as usize]).collect() };
        Given {
            batch: self.batch.gather(rows),
            stream_times: if self.stream_times.is_empty() { Vec::new() } else { pick(&self.stream_times) },
            windows: self.windows.as_ref().map(|(starts, ends)| (pick(starts), pick(ends))),
            inputs: self.inputs.as_ref().map(|inputs| rows.iter().map(|r| inputs[*r as usize]).collect()),
            takes: self.takes,
            closing: if self.closing.is_empty() { Vec::new() } else { pick(&self.closing) },
            task: self.task,
            places: rows.iter().map(|r| self.places[*r as usize]).collect(),
        }
    }

    /// The records `from..to`.
    pub fn slice(&self, from: usize, to: usize) -> Given {
        self.gather(&(from as u32..to as u32).collect::<Vec<_>>())
    }
}

/// Two values, or states, of each key.
#[derive(Clone, Debug)]
pub(super) struct Sides {
    pub keys: BytesColumn,
    pub left: BytesColumn,
    pub right: BytesColumn,
}

impl Sides {
    pub fn new(keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Self {
        Self { keys: keys.clone(), left: left.clone(), right: right.clone() }
    }

    pub fn slice(&self, from: usize, to: usize) -> Self {
        Self { keys: self.keys.slice(from, to), left: self.left.slice(from, to), right: self.right.slice(from, to) }
    }

    pub fn gather(&self, rows: &[u32]) -> Self {
        Self { keys: self.keys.gather(rows), left: self.left.gather(rows), right: self.right.gather(rows) }
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.left.bytes() + self.right.bytes()
    }
}

/// As [`Groups`], of its own.
#[derive(Clone, Debug)]
pub(super) struct OwnGroups {
    pub keys: BytesColumn,
    pub starts: Vec<Timestamp>,
    pub ends: Vec<Timestamp>,
    pub states: BytesColumn,
    pub offsets: Vec<u32>,
    pub members: Vec<u32>,
}

impl OwnGroups {
    pub fn groups(&self) -> Groups<'_> {
        Groups {
            keys: &self.keys,
            starts: &self.starts,
            ends: &self.ends,
            states: &self.states,
            offsets: &self.offsets,
            members: &self.members,
        }
    }

    /// Bounds of a group's window.
    pub fn window(&self, group: usize) -> Option<(Timestamp, Timestamp)> {
        Some((*self.starts.get(group)?, *self.ends.get(group)?))
    }

    fn bytes(&self) -> usize {
        self.keys.bytes() + self.states.bytes() + 16 * self.starts.len() + 4 * (self.offsets.len() + self.members.len())
    }
}

/// What a fold does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Add,
    Remove,
    Scan,
}

/// A fold that was answered.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub way: Way,
    pub given: Given,
    pub groups: OwnGroups,
    /// What the version in force left in each group.
    pub states: BytesColumn,
    /// What it sent after each member, of a scan.
    pub values: Option<BytesColumn>,
    /// By place in the members.
    pub rejected: Vec<Rejection>,
}

/// An answer of the version in force to a fold.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub states: &'a BytesColumn,
    pub values: Option<&'a BytesColumn>,
    pub rejected: &'a [Rejection],
}

/// Numbers of the keys that are followed; `None`: all are.
pub(super) fn followed(keys: &BytesColumn, share: u32) -> Option<Vec<u32>> {
    if share == u32::MAX {
        return None;
    }
    let is_followed = |i: &u32| murmur2(keys.get(*i as usize).unwrap_or_default()) <= share;
    Some((0..keys.len() as u32).filter(is_followed).collect())
}

impl Fold {
    /// Of the groups whose keys are followed, and their records; `None`: of none.
    pub fn new(
        way: Way,
        given: &dyn Fn() -> Given,
        into: Groups<'_>,
        answered: Answered<'_>,
        share: u32,
    ) -> Option<Self> {
        let Answered { states, values, rejected } = answered;
        let Some(chosen) = followed(into.keys, share) else {
            let groups = OwnGroups {
                keys: into.keys.clone(),
                starts: into.starts.to_vec(),
                ends: into.ends.to_vec(),
                states: into.states.clone(),
                offsets: into.offsets.to_vec(),
                members: into.members.to_vec(),
            };
            let (states, values, rejected) = (states.clone(), values.cloned(), rejected.to_vec());
            return Some(Self { way, given: given(), groups, states, values, rejected });
        };
        if chosen.is_empty() {
            return None;
        }
        let pick = |all: &[Timestamp]| -> Vec<Timestamp> {
            if all.is_empty() { Vec::new() } else { chosen.iter().map(|g| all[*g as usize]).collect() }
        };
        // Places of members that stay, in their order.
        let mut places: Vec<u32> = Vec::new();
        let mut offsets = vec![0u32];
        for group in &chosen {
            places.extend(into.offsets[*group as usize]..into.offsets[*group as usize + 1]);
            offsets.push(places.len() as u32);
        }
        let mut rows: Vec<u32> = places.iter().map(|place| into.members[*place as usize]).collect();
        rows.sort_unstable();
        rows.dedup();
        let row_of = |record: u32| rows.binary_search(&record).unwrap_or_default() as u32;
        let groups = OwnGroups {
            keys: into.keys.gather(&chosen),
            starts: pick(into.starts),
            ends: pick(into.ends),
            states: into.states.gather(&chosen),
            offsets,
            members: places.iter().map(|place| row_of(into.members[*place as usize])).collect(),
        };
        let stays = |r: &Rejection| {
            let index = places.iter().position(|place| *place == r.index)? as u32;
            Some(Rejection { index, reason: r.reason.clone() })
        };
        Some(Self {
            way,
            given: given().gather(&rows),
            groups,
            states: states.gather(&chosen),
            values: values.map(|values| values.gather(&places)),
            rejected: rejected.iter().filter_map(stays).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(items: &[&str]) -> BytesColumn {
        let mut column = BytesColumn::default();
        items.iter().for_each(|item| column.push(Some(item.as_bytes())));
        column
    }

    fn texts(column: &BytesColumn) -> Vec<&str> {
        (0..column.len()).map(|i| std::str::from_utf8(column.get(i).unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_record_knows_where_it_is() {
        let polled = Polled {
            batch: Batch { timestamps: Arc::new(vec![0; 3]), ..Batch::default() },
            base_offset: 40,
            input: 1,
            ..Polled::default()
        };
        let task = TaskId { sub: 2, partition: 5 };
        let reads = Reads::new(task, &polled);
        let (keys, values) = (column(&["a", "b"]), column(&["1", "2"]));
        let records = Records { keys: &keys, values: &values, timestamps: &[1, 2] };
        let places = |rows: Option<&[u32]>| {
            let given = Given::new(Context { rows, ..Context::default() }, records, Some(&reads));
            [given.place(0), given.place(1)]
        };
        assert_eq!(places(None), [Some((task, 1, 40)), Some((task, 1, 41))]);
        assert_eq!(places(Some(&[1 | DERIVED, 2])), [Some((task, 1, 41)), Some((task, 1, 42))]);
        assert_eq!(places(Some(&[2, 7])), [Some((task, 1, 42)), None], "between batches");
    }

    #[test]
    fn groups_of_keys_that_are_not_followed_are_left_out_with_their_records() {
        let names: Vec<String> = (0..64).map(|i| format!("key-{i}")).collect();
        let keys = column(&names.iter().map(String::as_str).collect::<Vec<_>>());
        // Group g has the records g and g + 64.
        let records_keys = column(&names.iter().chain(&names).map(String::as_str).collect::<Vec<_>>());
        let members: Vec<u32> = (0..64).flat_map(|g| [g, g + 64]).collect();
        let offsets: Vec<u32> = (0..=64).map(|g| 2 * g).collect();
        let times: Vec<i64> = (0..128).collect();
        let records = Records { keys: &records_keys, values: &records_keys, timestamps: &times };
        let into = Groups {
            keys: &keys,
            starts: &times[..64],
            ends: &times[64..],
            states: &keys,
            offsets: &offsets,
            members: &members,
        };
        let rejected: Vec<Rejection> = (0..128).map(|index| Rejection { index, reason: format!("{index}") }).collect();
        let answered = Answered { states: &keys, values: Some(&records_keys), rejected: &rejected };
        let given = || Given::new(Context::default(), records, None);
        let all = Fold::new(Way::Scan, &given, into, answered, u32::MAX).unwrap();
        assert_eq!((all.groups.keys.len(), all.given.len(), all.rejected.len()), (64, 128, 128));
        assert!(Fold::new(Way::Scan, &given, into, answered, 0).is_none(), "none of them");
        let some = Fold::new(Way::Scan, &given, into, answered, u32::MAX / 4).unwrap();
        let groups = &some.groups;
        assert!((4..32).contains(&groups.keys.len()), "{} of 64", groups.keys.len());
        assert_eq!((groups.members.len(), some.given.len()), (2 * groups.keys.len(), 2 * groups.keys.len()));
        assert_eq!(texts(&groups.keys), texts(&some.states));
        for (group, key) in texts(&groups.keys).into_iter().enumerate() {
            assert!(murmur2(key.as_bytes()) <= u32::MAX / 4);
            let number: i64 = key.strip_prefix("key-").unwrap().parse().unwrap();
            assert_eq!(groups.window(group), Some((number, number + 64)));
            for (place, record) in [(2 * group, number), (2 * group + 1, number + 64)] {
                let row = groups.members[place] as usize;
                assert_eq!(some.given.batch.timestamps[row], record, "{key}");
                // The answer for this place in all members.
                let was = 2 * number + (place % 2) as i64;
                assert_eq!(some.rejected[place].reason, was.to_string());
                assert_eq!(some.values.as_ref().unwrap().get(place), records_keys.get(was as usize));
            }
        }
    }
}
