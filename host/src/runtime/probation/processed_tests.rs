//! Processors on trial, made up, against a host that is made up too.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use millstream_core::function::{Place, Stop};
use millstream_core::operator::stateless::{Rules, Takes};
use millstream_core::record::Timestamp;

use super::super::super::Tap;
use super::super::super::found::{Found, Noting, Whose};
use super::super::super::shelf::{Desk, Shelf};
use super::super::super::taken::Processed;
use super::*;

/// What the new version does otherwise than the old one. Both count records by key, say the count, and set a timer ten later.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Otherwise {
    #[default]
    Nothing,
    /// Counts by tens.
    Tens,
    /// Reads a key that the old one does not.
    Asks,
    /// Its timers are due twenty later.
    Later,
    /// It has a timer more, five later.
    More,
    /// It cancels its timer at once.
    Cancels,
    /// Goes to an output that the step does not have.
    Port,
    /// Says names of timers as values.
    Names,
    /// Writes nothing.
    Still,
    /// What it counts it writes with a hundred more.
    Layout,
    /// As [`Otherwise::More`], and when that timer fires it forgets its key.
    Forgets,
}

fn key(column: &BytesColumn, i: usize) -> BytesColumn {
    [column.get(i)].into_iter().collect()
}

/// Ends a call as wasmtime does.
fn stopped(_: Stop) -> Fault {
    Fault::Trap { message: "the call was ended by its host".into() }
}

impl Made {
    pub(super) fn processed(
        &mut self,
        function: Prepared,
        records: Records<'_>,
        host: &mut dyn Hosted,
    ) -> Answer<Output> {
        let otherwise = if function == NEW { self.otherwise } else { Otherwise::Nothing };
        let store = host.store("counts").expect("the step has it");
        let mut output = Output { taken: records.keys.len() as u32, sources: Some(Vec::new()), ..Output::default() };
        let mut values = BytesColumn::default();
        for i in 0..records.keys.len() {
            let of = key(records.keys, i);
            let before =
                if self.blind && function == OLD { 0 } else { number(host.get(store, &of).map_err(stopped)?.get(0)) };
            // One that it finds in the other layout wraps around.
            let laid_out = if otherwise == Otherwise::Layout { 100 } else { 0 };
            let before = if before == 0 { 0 } else { before.wrapping_sub(laid_out) };
            let count = before + if otherwise == Otherwise::Tens { 10 } else { 1 };
            if otherwise != Otherwise::Still {
                host.put(store, &of, &column(&[&(count + laid_out).to_string()])).map_err(stopped)?;
            }
            if otherwise == Otherwise::Asks || function == NEW && records.values.get(i) == Some(b"ask") {
                host.get(store, &column(&["else"])).map_err(stopped)?;
            }
            let mut set = |name: &str, after: Timestamp| {
                host.set(TimerClock::EventTime, &of, name, &[records.timestamps[i] + after]).map_err(stopped)
            };
            set("t", if otherwise == Otherwise::Later { 20 } else { 10 })?;
            if matches!(otherwise, Otherwise::More | Otherwise::Forgets) {
                set("more", 5)?;
            }
            if otherwise == Otherwise::Cancels {
                host.cancel(TimerClock::EventTime, &of, "t").map_err(stopped)?;
            }
            match records.values.get(i) {
                Some(b"no") => output.rejected.push(Rejection { index: i as u32, reason: "no".into() }),
                _ => {
                    output.sources.as_mut().unwrap().push(i as u32);
                    values.push(Some(count.to_string().as_bytes()));
                }
            }
        }
        self.call(function, records)?;
        output.ports = (otherwise == Otherwise::Port).then(|| vec![1; values.len()]);
        output.values = Some(values);
        Ok(output)
    }

    pub(super) fn fired(&self, function: Prepared, due: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
        let forgets = function == NEW && self.otherwise == Otherwise::Forgets;
        for i in (0..due.keys.len()).filter(|i| forgets && due.values.get(*i) == Some(b"more")) {
            host.put(0, &key(due.keys, i), &[None].into_iter().collect()).map_err(stopped)?;
        }
        let told = |i: usize| format!("{}@{}", String::from_utf8_lossy(due.values.get(i).unwrap()), due.timestamps[i]);
        let values = (0..due.values.len()).map(|i| Some(told(i).into_bytes())).collect::<Vec<_>>();
        let values: BytesColumn = values.iter().map(|value| value.as_deref()).collect();
        let names = function == NEW && self.otherwise == Otherwise::Names;
        Ok(Output { taken: due.values.len() as u32, values: (!names).then_some(values), ..Output::default() })
    }
}

/// Stores and timers of the version in force.
#[derive(Default)]
struct Disk {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    timers: BTreeMap<Whose, Timestamp>,
}

impl Hosted for Disk {
    fn place(&self) -> Place<'_> {
        Place { partition: 4, step: "step", stores: vec!["counts"] }
    }
    fn store(&self, name: &str) -> Option<u32> {
        (name == "counts").then_some(0)
    }
    fn get(&mut self, _: u32, keys: &BytesColumn) -> Result<BytesColumn, Stop> {
        Ok((0..keys.len()).map(|i| self.entries.get(keys.get(i).unwrap()).map(Vec::as_slice)).collect())
    }
    fn put(&mut self, _: u32, keys: &BytesColumn, values: &BytesColumn) -> Result<(), Stop> {
        for i in 0..keys.len() {
            let key = keys.get(i).unwrap().to_vec();
            match values.get(i) {
                Some(value) => drop(self.entries.insert(key, value.to_vec())),
                None => drop(self.entries.remove(&key)),
            }
        }
        Ok(())
    }
    fn range(&mut self, _: u32, start: &[u8], end: &[u8], limit: u32) -> Result<(BytesColumn, BytesColumn), Stop> {
        let inside = self.entries.range(start.to_vec()..).take_while(|(key, _)| end.is_empty() || &key[..] < end);
        let inside: Vec<_> = inside.take(limit as usize).collect();
        let keys = inside.iter().map(|(key, _)| Some(&key[..])).collect();
        Ok((keys, inside.iter().map(|(_, value)| Some(&value[..])).collect()))
    }
    fn set(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str, due: &[Timestamp]) -> Result<(), Stop> {
        for (i, due) in due.iter().enumerate() {
            self.timers.insert((clock, keys.get(i).map(<[u8]>::to_vec), name.into()), *due);
        }
        Ok(())
    }
    fn cancel(&mut self, clock: TimerClock, keys: &BytesColumn, name: &str) -> Result<(), Stop> {
        self.timers.retain(|(by, key, of), _| {
            *by != clock || of != name || !(0..keys.len()).any(|i| keys.get(i) == key.as_deref())
        });
        Ok(())
    }
}

/// A trial of a processor, with what the version in force has.
struct Tried {
    judge: Judge<Made>,
    disk: Disk,
    offset: i64,
    gaps: u64,
}

impl Tried {
    fn new(otherwise: Otherwise) -> Self {
        let one_layout = otherwise != Otherwise::Layout;
        let judge = judge(Made { otherwise, one_layout, ..Made::default() });
        Self { judge, disk: Disk::default(), offset: 70, gaps: 0 }
    }

    /// Both versions take records: key, value, time.
    fn take(&mut self, records: &[(&str, &str, Timestamp)]) -> Result<(), String> {
        let keys = column(&records.iter().map(|r| r.0).collect::<Vec<_>>());
        let values = column(&records.iter().map(|r| r.1).collect::<Vec<_>>());
        let timestamps: Vec<Timestamp> = records.iter().map(|r| r.2).collect();
        let batch = Batch { timestamps: Arc::new(timestamps.clone()), ..Batch::default() };
        let polled = Polled { batch, base_offset: self.offset, ..Polled::default() };
        self.offset += records.len() as i64;
        let reads = Reads::new(TaskId { sub: 0, partition: 4 }, &polled);
        let takes = Some(Takes { rules: Rules::Process, ports: 1 });
        let records = Records { keys: &keys, values: &values, timestamps: &timestamps };
        let mut noting = Noting::new(&mut self.disk);
        let output = self.judge.functions.processed(OLD, records, &mut noting).unwrap();
        let found = noting.found;
        let closing: Vec<Timestamp> = (1..=timestamps.len()).map(|n| *timestamps[..n].iter().max().unwrap()).collect();
        let given = Given::new(Context { takes, closing: &closing, ..Context::default() }, records, Some(&reads));
        self.judge.judge(Call::Process(Box::new(Processed { fired: None, given, output, found, gaps: self.gaps })))
    }

    /// What is due in the version in force by then fires.
    fn pass(&mut self, time: Timestamp) -> Result<(), String> {
        self.fire(time, usize::MAX)
    }

    /// The first of what is due in the version in force by then fires.
    fn fire(&mut self, time: Timestamp, most: usize) -> Result<(), String> {
        let due = self.disk.timers.iter().filter(|(_, due)| **due <= time).take(most);
        let due: Vec<_> = due.map(|(whose, due)| (whose.clone(), *due)).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.disk.timers.retain(|whose, _| due.iter().all(|(fired, _)| fired != whose));
        let keys: BytesColumn = due.iter().map(|((_, key, _), _)| key.as_deref()).collect();
        let names: BytesColumn = due.iter().map(|((.., name), _)| Some(name.as_bytes())).collect();
        let timestamps: Vec<Timestamp> = due.iter().map(|(_, due)| *due).collect();
        let records = Records { keys: &keys, values: &names, timestamps: &timestamps };
        let output = self.judge.functions.fired(OLD, records, &mut self.disk).unwrap();
        let found = Noting::new(&mut self.disk).found;
        let given = Given::new(Context::default(), records, None);
        let fired = Some(TimerClock::EventTime);
        self.judge.judge(Call::Process(Box::new(Processed { fired, given, output, found, gaps: self.gaps })))
    }

    /// Outputs, how many differ, calls left out.
    fn counts(&self) -> (u64, u64, u64) {
        let found = found(&self.judge);
        (found.outputs, found.differing, found.untried)
    }

    /// Values of the examples: old, new.
    fn examples(&self) -> Vec<(String, String)> {
        let values = |of: &serde_json::Value| {
            let values = of.as_array().into_iter().flatten().map(|one| one["value"].as_str().unwrap());
            values.collect::<Vec<_>>().join(" ")
        };
        found(&self.judge).examples.iter().map(|e| (values(&e.old), values(&e.new))).collect()
    }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(old, new)| ((*old).into(), (*new).into())).collect()
}

#[test]
fn what_the_version_in_force_found_is_turned_into_the_layout_of_the_new_one() {
    let mut tried = Tried::new(Otherwise::Layout);
    for (key, value) in [("a", "5"), ("b", "7")] {
        tried.disk.entries.insert(key.into(), value.into());
    }
    tried.take(&[("a", "", 0), ("c", "", 1), ("a", "", 2)]).unwrap();
    tried.take(&[("b", "", 3), ("a", "", 4)]).unwrap();
    assert_eq!(tried.counts(), (5, 0, 0));
}

#[test]
fn a_version_that_does_the_same_says_the_same() {
    let mut tried = Tried::new(Otherwise::Nothing);
    tried.disk.entries.insert(b"a".to_vec(), b"5".to_vec());
    tried.take(&[("a", "", 0), ("b", "", 1), ("a", "", 2), ("a", "", 3)]).unwrap();
    tried.pass(11).unwrap();
    tried.take(&[("b", "", 12)]).unwrap();
    tried.pass(100).unwrap();
    assert_eq!(tried.counts(), (8, 0, 0), "{:?}", tried.examples());
}

#[test]
fn it_goes_on_from_its_own_entries_and_from_those_of_before_the_trial() {
    let mut tried = Tried::new(Otherwise::Tens);
    tried.disk.entries.insert(b"a".to_vec(), b"5".to_vec());
    tried.take(&[("a", "", 0)]).unwrap();
    tried.take(&[("a", "", 1), ("b", "", 1)]).unwrap();
    assert_eq!(tried.examples(), pairs(&[("6", "15"), ("7", "25"), ("1", "10")]));
    assert_eq!(found(&tried.judge).examples[1].position.as_deref(), Some("in:4:71"));
    // What was left out is not in its entries: it begins anew.
    tried.gaps += 1;
    tried.take(&[("a", "", 2)]).unwrap();
    assert_eq!(tried.examples()[3..], pairs(&[("8", "17")]));
    tried.take(&[("a", "", 2)]).unwrap();
    assert_eq!(tried.examples()[4..], pairs(&[("9", "27")]));
    // An interval that was aborted is read again.
    tried.offset -= 1;
    tried.take(&[("a", "", 2)]).unwrap();
    assert_eq!(tried.examples()[5..], pairs(&[("10", "37")]), "the same record may come in parts");
    tried.offset -= 2;
    tried.take(&[("a", "", 2)]).unwrap();
    assert_eq!(tried.examples()[6..], pairs(&[("11", "20")]));
}

#[test]
fn what_the_version_in_force_writes_is_not_seen() {
    let mut tried = Tried::new(Otherwise::Still);
    tried.disk.entries.insert(b"a".to_vec(), b"5".to_vec());
    tried.take(&[("a", "", 0), ("b", "", 0)]).unwrap();
    tried.take(&[("a", "", 1), ("b", "", 1)]).unwrap();
    assert_eq!(tried.examples(), pairs(&[("7", "6"), ("2", "1")]), "it finds what was there at the start");
}

#[test]
fn what_was_written_before_it_was_read_is_not_what_was_there() {
    let mut disk = Disk::default();
    let mut noting = Noting::new(&mut disk);
    noting.put(0, &column(&["b"]), &column(&["2"])).unwrap();
    noting.get(0, &column(&["b"])).unwrap();
    noting.range(0, b"a", b"", 10).unwrap();
    let (found, mut shelf) = (noting.found, Shelf::default());
    shelf.keep(&found);
    let mut desk = Desk::new(&mut shelf, &found, true);
    assert!(desk.get(0, &column(&["b"])).is_err() && desk.range(0, b"a", b"", 10).is_err());
}

#[test]
fn a_call_that_asks_for_what_is_not_known_is_left_out() {
    let mut tried = Tried::new(Otherwise::Asks);
    tried.take(&[("a", "", 0), ("b", "", 0)]).unwrap();
    assert_eq!(tried.counts(), (0, 0, 1));
    let first = found(&tried.judge).untried_first;
    assert_eq!(first.as_deref(), Some("the key \"else\" in the store `counts`"));
    // What the old one wrote without looking is not known either.
    let mut tried = Tried::new(Otherwise::Nothing);
    tried.judge.functions.blind = true;
    tried.take(&[("a", "", 0)]).unwrap();
    assert_eq!(tried.counts(), (0, 0, 1));
}

#[test]
fn after_a_call_that_was_left_out_it_begins_anew() {
    let mut tried = Tried::new(Otherwise::Tens);
    tried.take(&[("a", "", 0)]).unwrap();
    tried.take(&[("a", "ask", 0)]).unwrap();
    assert_eq!(tried.counts(), (1, 1, 1));
    tried.take(&[("a", "", 0)]).unwrap();
    assert_eq!(tried.examples()[1..], pairs(&[("3", "12")]), "ten and ten would be without what was left out");
}

#[test]
fn what_it_keeps_is_bounded() {
    let mut tried = Tried::new(Otherwise::Tens);
    tried.take(&[("a", "", 0)]).unwrap();
    let large = "k".repeat(1 << 20);
    // Key and timers count, of both versions.
    let bytes = |tried: &Tried| tried.judge.shelves.values().map(|shelf| shelf.bytes).sum::<usize>();
    let mut calls = 0;
    while bytes(&tried) > 0 && calls < 1_000 {
        tried.take(&[(&format!("{large}{calls}"), "", 0)]).unwrap();
        calls += 1;
    }
    assert!(calls < 100, "{calls} calls, {} bytes", bytes(&tried));
    let before = tried.counts().1;
    tried.take(&[("a", "", 0)]).unwrap();
    assert_eq!((tried.counts().1, tried.judge.shelves.len()), (before + 1, 1));
    assert!(bytes(&tried) < 1_000, "it begins anew");
}

#[test]
fn timers_of_both_that_are_due_together_fire_in_several_calls() {
    let mut tried = Tried::new(Otherwise::Nothing);
    tried.take(&[("a", "", 0), ("b", "", 0), ("c", "", 0)]).unwrap();
    (0..3).for_each(|_| tried.fire(10, 1).unwrap());
    assert_eq!(tried.counts(), (6, 0, 0), "{:?}", tried.examples());
}

#[test]
fn timers_fire_as_each_version_has_set_them() {
    let mut tried = Tried::new(Otherwise::Later);
    tried.take(&[("a", "", 0)]).unwrap();
    tried.pass(10).unwrap();
    assert_eq!(tried.examples(), pairs(&[("t@10", "")]), "not yet");
    tried.take(&[("b", "", 30)]).unwrap();
    tried.take(&[("b", "", 31)]).unwrap();
    assert_eq!(tried.examples(), pairs(&[("t@10", ""), ("", "t@20")]), "its time has passed");
    let mut tried = Tried::new(Otherwise::Cancels);
    tried.take(&[("a", "", 0)]).unwrap();
    tried.pass(10).unwrap();
    assert_eq!(tried.examples(), pairs(&[("t@10", "")]));
    let mut tried = Tried::new(Otherwise::More);
    tried.take(&[("a", "", 0)]).unwrap();
    tried.pass(10).unwrap();
    assert_eq!(tried.examples(), pairs(&[("", "more@5")]), "one of its own, and the one of both");
    // One from before the trial is due for both.
    let mut tried = Tried::new(Otherwise::Later);
    tried.disk.timers.insert((TimerClock::EventTime, Some(b"z".to_vec()), "t".into()), 7);
    tried.pass(7).unwrap();
    assert_eq!(tried.counts(), (1, 0, 0));
}

#[test]
fn a_timer_of_a_call_that_is_made_again_does_not_fire() {
    let mut tried = Tried::new(Otherwise::More);
    // Both timers of a are due at once, as z has moved time: the call is made again without what comes behind.
    tried.take(&[("z", "", 100), ("a", "", 0), ("b", "", 0)]).unwrap();
    tried.take(&[("z", "", 100)]).unwrap();
    assert_eq!(tried.examples(), pairs(&[("", "more@5"), ("", "more@5")]), "once for a, once for b");
}

#[test]
fn a_timer_of_its_own_fires_before_the_record_at_which_it_is_due() {
    let mut tried = Tried::new(Otherwise::Forgets);
    tried.take(&[("a", "", 0), ("a", "", 3), ("a", "", 9)]).unwrap();
    assert_eq!(tried.examples(), pairs(&[("", "more@8"), ("3", "1")]), "forgotten at 8, in one call of the other");
}

#[test]
fn of_calls_that_are_taken_back_the_trial_hears_nothing() {
    let judge = judge(Made::default());
    let trials = judge.trials.clone();
    let (calls, heard) = channel();
    let parts = || Parts {
        registry: judge.trial.parts.registry.clone(),
        function: "f".into(),
        host: "h".into(),
        digest: "d".into(),
        old: OLD,
        new: NEW,
    };
    let trial = Arc::new(trial(parts(), calls));
    trials.change(|all| all.push(trial.clone()));
    let mut tap = Tap::new(Made::default(), trials);
    let ask = |tap: &mut Tap<Made>, values: &[&str]| {
        let (values, times) = (column(values), vec![0; values.len()]);
        let records = Records { keys: &values, values: &values, timestamps: &times };
        tap.process(OLD, Context::default(), records, &mut Disk::default()).map(drop)
    };
    ask(&mut tap, &["a"]).unwrap();
    let mark = tap.calls_made();
    ask(&mut tap, &["b", "c", "d"]).unwrap();
    tap.calls_taken_back(mark);
    ask(&mut tap, &["b", "c"]).unwrap();
    assert!(heard.try_recv().is_err(), "it may be taken back still");
    tap.calls_stand();
    let lens = heard.try_iter().map(|(call, _)| match call {
        Call::Process(call) => call.given.len(),
        _ => panic!("only processors were called"),
    });
    assert_eq!(lens.collect::<Vec<_>>(), [1, 2]);
    assert_eq!(trial.records.load(Ordering::Relaxed), 3);
    // What there is no room for is a gap, and its records count.
    trial.queued.store(QUEUE_BYTES_MAX, Ordering::Relaxed);
    ask(&mut tap, &["e"]).unwrap();
    tap.calls_stand();
    assert!(heard.try_recv().is_err());
    assert_eq!((trial.records.load(Ordering::Relaxed), trial.gaps.load(Ordering::Relaxed)), (4, 1));
}

#[test]
fn what_a_version_breaks_is_told() {
    let mut tried = Tried::new(Otherwise::Nothing);
    tried.take(&[("a", "", 0)]).unwrap();
    let why = tried.take(&[("a", "", 0), ("b", "trap", 0), ("a", "", 0)]).unwrap_err();
    assert!(why.ends_with("on the record in:4:72 (key \"b\")"), "{why}");
    let why = Tried::new(Otherwise::Port).take(&[("a", "", 0)]).unwrap_err();
    assert!(why.contains("port 1 is not there; the step has 1"), "{why}");
    let mut tried = Tried::new(Otherwise::Names);
    tried.take(&[("a", "", 0)]).unwrap();
    let why = tried.pass(10).unwrap_err();
    assert!(why.contains("`fire` gave results without values"), "{why}");
}

#[test]
fn what_it_wrote_for_a_record_that_it_refuses_does_not_count() {
    let mut tried = Tried::new(Otherwise::Tens);
    tried.take(&[("a", "", 0), ("a", "no", 0), ("b", "", 0)]).unwrap();
    tried.take(&[("a", "", 1)]).unwrap();
    // The host here keeps what the old one wrote for it.
    assert_eq!(tried.examples(), pairs(&[("1", "10"), ("1", "10"), ("3", "20")]));
}

/// Ranges of a version on trial when the one in force has read `b..d` of the keys a to e, at most `limit`, and put c before.
fn ranged(limit: u32, ask: (&str, &str, u32), own: &[(&str, Option<&str>)]) -> Result<Vec<String>, String> {
    let mut disk = Disk::default();
    "abcde".chars().for_each(|key| drop(disk.entries.insert(key.to_string().into_bytes(), b"1".to_vec())));
    let mut noting = Noting::new(&mut disk);
    noting.get(0, &column(&["c"])).unwrap();
    noting.put(0, &column(&["c"]), &column(&["2"])).unwrap();
    noting.range(0, b"b", b"e", limit).unwrap();
    let (found, mut shelf): (Found, _) = (noting.found, Shelf::default());
    shelf.keep(&found);
    let mut desk = Desk::new(&mut shelf, &found, true);
    for (key, value) in own {
        let values: BytesColumn = [value.map(str::as_bytes)].into_iter().collect();
        desk.put(0, &column(&[key]), &values).unwrap();
    }
    match desk.range(0, ask.0.as_bytes(), ask.1.as_bytes(), ask.2) {
        Ok((keys, values)) => {
            let text = |column: &BytesColumn, i| String::from_utf8_lossy(column.get(i).unwrap()).into_owned();
            Ok((0..keys.len()).map(|i| text(&keys, i) + "=" + &text(&values, i)).collect())
        }
        Err(_) => Err(desk.missed.unwrap()),
    }
}

#[test]
fn ranges_are_known_as_far_as_they_were_read() {
    let all = u32::MAX;
    assert_eq!(ranged(all, ("b", "e", all), &[]).unwrap(), ["b=1", "c=1", "d=1"], "as it was before the call");
    assert_eq!(ranged(all, ("bb", "cc", all), &[]).unwrap(), ["c=1"]);
    assert_eq!(ranged(all, ("b", "", 2), &[]).unwrap(), ["b=1", "c=1"], "as many as were asked for");
    assert_eq!(ranged(all, ("b", "f", all), &[]), Err("keys from \"b\" in the store `counts`".into()));
    assert_eq!(ranged(all, ("a", "c", all), &[]), Err("keys from \"a\" in the store `counts`".into()));
    let own = [("b", None), ("bb", Some("9")), ("x", Some("9"))];
    assert_eq!(ranged(all, ("b", "e", all), &own).unwrap(), ["bb=9", "c=1", "d=1"], "with what it wrote itself");
    assert_eq!(ranged(2, ("b", "e", 2), &[]).unwrap(), ["b=1", "c=1"]);
    assert!(ranged(2, ("b", "e", 3), &[]).is_err(), "behind the last there may be more");
    assert_eq!(ranged(2, ("b", "cc", all), &[]), Err("keys from \"b\" in the store `counts`".into()));
    assert_eq!(ranged(0, ("b", "e", 0), &[]).unwrap(), [""; 0]);
}

#[test]
fn a_key_that_a_range_has_not_shown_was_not_there() {
    let mut disk = Disk::default();
    let mut noting = Noting::new(&mut disk);
    noting.range(0, b"a", b"", 10).unwrap();
    noting.put(0, &column(&["b"]), &column(&["2"])).unwrap();
    let (found, mut shelf) = (noting.found, Shelf::default());
    shelf.keep(&found);
    let mut desk = Desk::new(&mut shelf, &found, true);
    assert_eq!(desk.get(0, &column(&["b", "c"])).unwrap(), [None, None].into_iter().collect::<BytesColumn>());
    assert!(desk.get(0, &column(&["A"])).is_err());
}

#[test]
fn what_a_call_may_write_is_bounded_as_in_a_step() {
    let (found, mut shelf) = (Noting::new(&mut Disk::default()).found, Shelf::default());
    shelf.keep(&found);
    let broken = |ask: &dyn Fn(&mut Desk<'_>) -> Result<(), Stop>, shelf: &mut Shelf, fires: bool| {
        let mut desk = Desk::new(shelf, &found, fires);
        assert_eq!(ask(&mut desk), Err(Stop::Ended));
        desk.broke.unwrap().to_string()
    };
    let many = millstream_core::operator::process::TIMERS_PER_CALL_MAX + 1;
    let keys: BytesColumn = (0..many).map(|_| Some(&b"k"[..])).collect();
    let timers = |desk: &mut Desk<'_>| desk.set(TimerClock::WallClock, &keys, "t", &vec![1; many]);
    assert!(broken(&timers, &mut shelf, true).contains("more than 65536 timers"));
    assert!(broken(&timers, &mut shelf, false).contains("`on-timer` is not exported"));
    let long = "n".repeat(256);
    let named = |desk: &mut Desk<'_>| desk.cancel(TimerClock::WallClock, &column(&["k"]), &long);
    assert!(broken(&named, &mut shelf, true).contains("a timer's name has 256 bytes; 255 are possible"));
    let large = "v".repeat(millstream_core::operator::process::WRITTEN_BYTES_MAX);
    let written = |desk: &mut Desk<'_>| desk.put(0, &column(&["k"]), &column(&[&large]));
    assert!(broken(&written, &mut shelf, true).contains("wrote more than 67108864 bytes"));
    let counts = |desk: &mut Desk<'_>| desk.put(0, &column(&["k", "l"]), &column(&["v"]));
    assert!(broken(&counts, &mut shelf, true).contains("1 values were given for 2 keys"));
    let unknown = |desk: &mut Desk<'_>| desk.get(1, &keys).map(drop);
    assert!(broken(&unknown, &mut shelf, true).contains("store number 1 is not there"));
}
