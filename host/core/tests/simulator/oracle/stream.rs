//! The oracle's joins of two streams: everything is kept in a list, in order of arrival, and looked through for each record.

use millstream_core::topology::spec::*;

use super::fold::Clock;
use super::{Item, NEVER, Row};

/// A record that waits.
#[derive(Clone, Debug)]
struct Waits {
    left: bool,
    item: Item,
    met: bool,
}

#[derive(Clone, Debug)]
pub struct StreamState {
    join: StreamJoin,
    by_window: bool,
    /// The upstream tasks it goes by; none: by what it has seen.
    pub clock: Option<Clock>,
    observed: i64,
    waiting: Vec<Waits>,
    /// A record came further behind its own task's time than the grace.
    pub strayed: bool,
}

/// What comes out.
pub enum Out {
    /// The record that is told of, and both values.
    Met(Item, Option<Vec<u8>>, Option<Vec<u8>>),
    Dropped(&'static str, Item),
}

impl StreamState {
    pub fn new(join: StreamJoin, by_window: bool, clock: Option<Clock>) -> Self {
        Self { join, by_window, clock, observed: NEVER, waiting: Vec::new(), strayed: false }
    }

    /// Whether a side's records come out without a partner.
    fn keeps(&self, left: bool) -> bool {
        self.join.kind == JoinKind::Outer || self.join.kind == JoinKind::Left && left
    }

    /// Whether something may still come out without a partner.
    pub fn holds(&self) -> bool {
        self.waiting.iter().any(|w| !w.met && self.keeps(w.left))
    }

    fn closing(&self) -> i64 {
        self.clock.as_ref().map_or(self.observed, Clock::closing)
    }

    fn is_closed(&self, left: bool, time: i64, now: i64) -> bool {
        let JoinWindow { before_ms, after_ms, grace_ms } = self.join.window;
        let end = i128::from(time) + i128::from(if left { after_ms } else { before_ms });
        end + i128::from(grace_ms) < i128::from(now)
    }

    /// Lets what has closed go; what has met nobody comes out.
    pub fn end(&mut self) -> Vec<Out> {
        let now = self.closing();
        let (mut gone, kept): (Vec<Waits>, Vec<Waits>) =
            std::mem::take(&mut self.waiting).into_iter().partition(|w| self.is_closed(w.left, w.item.rec.time, now));
        self.waiting = kept;
        gone.sort_by_key(|w| (w.item.rec.time, w.left, w.item.window, w.item.rec.key.clone()));
        let alone = gone.into_iter().filter(|w| !w.met && self.keeps(w.left));
        alone.map(|w| single(Item { derived: true, ..w.item }, w.left)).collect()
    }

    /// Takes a record in.
    pub fn take(&mut self, item: Item, left: bool, row: Option<&Row>) -> Vec<Out> {
        let item = Item { window: item.window.filter(|_| self.by_window), old: None, ..item };
        let keeps = self.keeps(left);
        if item.rec.key.is_none() && !keeps {
            return vec![Out::Dropped("null-key", item)];
        }
        let Some(value) = item.rec.value.clone() else { return vec![Out::Dropped("null-value", item)] };
        let time = item.rec.time;
        let own = match &mut self.clock {
            Some(clock) => clock.own(time, row),
            None => {
                self.observed = self.observed.max(time);
                self.observed
            }
        };
        let mut out = self.end();
        if item.rec.key.is_none() {
            out.push(single(item, left));
            return out;
        }
        if self.is_closed(left, time, own) || self.is_closed(left, time, self.closing()) {
            let why = if self.is_closed(left, time, own) { "late" } else { "late-after-idle" };
            out.push(Out::Dropped(why, item));
            return out;
        }
        self.strayed |= i128::from(own) - i128::from(time) > i128::from(self.join.window.grace_ms);
        let JoinWindow { before_ms, after_ms, .. } = self.join.window;
        let near = |other: i64| {
            let (l, r) = if left { (time, other) } else { (other, time) };
            (-i128::from(before_ms)..=i128::from(after_ms)).contains(&(i128::from(r) - i128::from(l)))
        };
        let same = |other: &Item| other.rec.key == item.rec.key && other.window == item.window;
        let mut partners: Vec<&mut Waits> =
            self.waiting.iter_mut().filter(|w| w.left != left && same(&w.item) && near(w.item.rec.time)).collect();
        partners.sort_by_key(|w| w.item.rec.time);
        let met = !partners.is_empty();
        for partner in partners {
            partner.met = true;
            let mut told = item.clone();
            told.rec.time = time.max(partner.item.rec.time);
            let other = partner.item.rec.value.clone();
            let (l, r) = if left { (Some(value.clone()), other) } else { (other, Some(value.clone())) };
            out.push(Out::Met(told, l, r));
        }
        self.waiting.push(Waits { left, item, met });
        out
    }
}

/// A record without a partner.
fn single(item: Item, left: bool) -> Out {
    let value = item.rec.value.clone();
    if left { Out::Met(item, value, None) } else { Out::Met(item, None, value) }
}

/// What stands for a pair that no function joins.
pub fn text(left: Option<&[u8]>, right: Option<&[u8]>) -> Vec<u8> {
    format!("{{\"left\":{},\"right\":{}}}", json(left), json(right)).into_bytes()
}

fn json(value: Option<&[u8]>) -> String {
    let Some(bytes) = value else { return "null".into() };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("{{\"base64\":\"{}\"}}", base64(bytes));
    };
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\0'..='\x1f' => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

fn base64(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|b| format!("{b:08b}")).collect();
    let letters: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let sixes = bits.as_bytes().chunks(6).map(|six| {
        let six = format!("{:0<6}", std::str::from_utf8(six).expect("digits"));
        letters[usize::from_str_radix(&six, 2).expect("digits")]
    });
    let text: String = sixes.collect();
    format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
}
