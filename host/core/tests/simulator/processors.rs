//! What the simulated processors do, record by record and timer by timer: pure, given the stores and timers that they find. As with
//! `roles`, the engine's side and the oracle's side have this in common and nothing else.

use super::case::STARTS_AT;
use super::roles::{MARKS, MINDERS, Proc, Rec, Role, Running, number};

/// Stores of a processor: one without a `ttl`, one with.
pub const STORES: [&str; 2] = ["kept", "short"];

/// The stores and timers that a processor finds. `wall`: of the wall clock.
pub trait Desk {
    fn get(&mut self, store: &str, key: &[u8]) -> Option<Vec<u8>>;
    fn put(&mut self, store: &str, key: &[u8], value: Option<&[u8]>);
    fn range(&mut self, store: &str, start: &[u8], end: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)>;
    fn set(&mut self, wall: bool, key: Option<&[u8]>, name: &str, due: i64);
    fn cancel(&mut self, wall: bool, key: Option<&[u8]>, name: &str);
}

/// Small choices, one after the other, from a number.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = number(&self.0.to_be_bytes());
        (self.0 >> 20) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn add_one(desk: &mut dyn Desk, store: &str, key: &[u8]) -> u64 {
    let before = desk.get(store, key).map_or(0, |v| u64::from_be_bytes(v.try_into().expect("8 bytes")));
    desk.put(store, key, Some(&(before + 1).to_be_bytes()));
    before + 1
}

/// Some of a store, as a number.
fn some(desk: &mut dyn Desk, dice: &mut Choices, store: &str) -> u64 {
    let bound = |dice: &mut Choices| match dice.below(4) {
        0 => Vec::new(),
        n => format!("k{}", n + dice.below(3)).into_bytes(),
    };
    let (start, end, limit) = (bound(dice), bound(dice), 1 + dice.below(5) as usize);
    let found = desk.range(store, &start, &end, limit);
    found.iter().fold(7, |n, (k, v)| number(&[&n.to_be_bytes()[..], k, v].concat()))
}

impl Running {
    fn proc(self) -> Proc {
        if let Role::Proc(proc) = self.role { proc } else { Proc { outputs: 1, wall: false, timed: false } }
    }

    fn port(self, dice: &mut Choices) -> u32 {
        dice.below(u64::from(self.proc().outputs)) as u32
    }

    /// Sets, moves or cancels a timer.
    fn time(self, key: Option<&[u8]>, time: i64, dice: &mut Choices, desk: &mut dyn Desk) {
        let key = if dice.one_in(6) { None } else { key };
        let name = match dice.below(9) {
            // Something is wrong with it, for this function or for another.
            0 => {
                let (letter, _) = MARKS[dice.below(4) as usize];
                format!("{}{}", letter as char, dice.below(MINDERS as u64))
            }
            n => format!("t{}", n % 3),
        };
        let wall = self.proc().wall && dice.one_in(3);
        if dice.one_in(5) {
            return desk.cancel(wall, key, &name);
        }
        let due = match (wall, dice.below(12)) {
            (true, n) => STARTS_AT + (n * 97) as i64,
            (false, 0) => time.saturating_sub(dice.below(15) as i64),
            (false, 1) => -3,
            (false, n) => time.saturating_add((n * dice.below(9)) as i64),
        };
        desk.set(wall, key, &name, due);
    }

    /// A record. `stream`: the stream time with it; `input`: which of the step's inputs it came from, where it has several.
    pub fn process(self, rec: &Rec, stream: i64, input: Option<u32>, desk: &mut dyn Desk) -> Vec<(u32, Rec)> {
        let value = rec.value.as_deref().unwrap_or(b"null");
        let h = number(value).wrapping_add(self.function as u64);
        let (mut dice, key) = (Choices(h), rec.key.clone().unwrap_or_default());
        let mut seen = add_one(desk, STORES[0], &key);
        match dice.below(6) {
            0 => desk.put(STORES[1], &key, None),
            1 | 2 => desk.put(STORES[1], &key, Some(&h.to_be_bytes().repeat(1 + dice.below(3) as usize))),
            3 => seen ^= desk.get(STORES[1], &key).map_or(3, |v| number(&v)),
            4 => seen ^= some(desk, &mut dice, STORES[0]),
            _ => seen ^= some(desk, &mut dice, STORES[1]),
        }
        if dice.one_in(8) {
            desk.put(STORES[0], &key, None);
        }
        if dice.below(3) < 2 {
            self.time(rec.key.as_deref(), rec.time, &mut dice, desk);
        }
        let told = if self.proc().timed { format!("@{stream}{input:?}") } else { String::new() };
        let result = |n: u64, dice: &mut Choices| {
            let mut out = rec.clone();
            out.value =
                rec.value.as_ref().map(|v| [v, format!("p{seen}.{n}v{}{told}", self.version).as_bytes()].concat());
            if dice.one_in(4) {
                out.key = self.new_key(rec, h >> 3);
            }
            out.time = out.time.saturating_add(if dice.one_in(4) { 3 } else { 0 });
            (self.port(dice), out)
        };
        (0..dice.below(3)).map(|n| result(n, &mut dice)).collect()
    }

    /// A timer that is due: its key, its name as value, its time.
    pub fn fired(self, wall: bool, timer: &Rec, name: &str, desk: &mut dyn Desk) -> Vec<(u32, Rec)> {
        let key = timer.key.clone().unwrap_or_default();
        let seed = number(&[name.as_bytes(), &timer.time.to_be_bytes()].concat()).wrapping_add(self.function as u64);
        let mut dice = Choices(seed);
        let count = add_one(desk, STORES[0], &key);
        let mut seen = some(desk, &mut dice, STORES[1]);
        match dice.below(6) {
            // Not for ever: which comes next depends on the time, which ends.
            0 if name != "u" && timer.time < i64::MAX / 2 => {
                desk.set(wall, timer.key.as_deref(), name, timer.time.saturating_add(7))
            }
            1 if name != "u" && !wall => desk.set(false, timer.key.as_deref(), "u", timer.time.saturating_sub(5)),
            2 => desk.cancel(false, timer.key.as_deref(), "t1"),
            3 if name != "u" => desk.set(false, timer.key.as_deref(), "u", timer.time.saturating_add(4)),
            4 => desk.put(STORES[1], &key, Some(&seed.to_be_bytes())),
            _ => seen = seen.wrapping_add(1),
        }
        if dice.one_in(4) {
            return Vec::new();
        }
        let value = format!("{name}@{}#{count}.{seen}v{}", timer.time, self.version).into_bytes();
        let time = if dice.one_in(5) { timer.time.saturating_add(2) } else { timer.time };
        let mut out = Rec { key: timer.key.clone(), value: Some(value), time, headers: Vec::new() };
        if dice.one_in(5) {
            out.key = Some(b"m1".to_vec());
            out.headers.push((b"t".to_vec(), None));
        }
        vec![(self.port(&mut dice), out)]
    }
}
