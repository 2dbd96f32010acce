//! Answers and components made by chance, with a leaning to what hurts: nothing that a function says, and no file that is offered as one,
//! may bring the host down. Short in CI; an hour with `MILLSTREAM_LONG=1 ./x test -p millstream --test guests fuzz -- --nocapture`, from
//! another seed with `MILLSTREAM_SEED=N`, so many cases with `MILLSTREAM_CASES=N`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millstream_wasm::{Refusal, Registry};

use crate::{Driver, driver, feed_bytes, function, registry, values, worker};

/// Answers tried in CI, of each kind.
const ANSWERS: u64 = 400;
/// Components tried in CI; each is compiled in a process of its own.
const COMPONENTS: u64 = 40;
/// How long each of both goes on in the long form.
const LONG: Duration = Duration::from_secs(1_800);

/// Where the guest's answer lies in its memory.
const BASE: u32 = 65_536;

/// A small generator (SplitMix64, Steele et al. 2014): a case is its seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// An answer as it lies in memory: a head of words behind a discriminant, and what they may point to.
struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Room for a head, and behind it numbers and texts of all sorts.
    fn new(head: usize, chance: &mut Chance) -> Self {
        let mut bytes = vec![0; head.next_multiple_of(8)];
        for _ in 0..24 {
            match chance.below(4) {
                0 => bytes.extend((chance.below(4) as u32).to_le_bytes()),
                1 => bytes.extend(chance.pick(&[i64::MIN, -1, 0, 1, i64::MAX]).to_le_bytes()),
                2 => bytes.extend(chance.pick(&[&[0xff, 0xfe][..], b"text", "\u{1f600}".as_bytes(), &[0x80]])),
                _ => bytes.extend((chance.next() as u32).to_le_bytes()),
            }
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        Self { bytes }
    }

    fn word(&mut self, at: usize, word: u32) {
        self.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }

    /// A list. Tame: of so many items from the head on. Else most point into the image, and are short.
    fn list(&mut self, at: usize, tame: Option<u32>, chance: &mut Chance) {
        if let Some(len) = tame {
            self.word(at, BASE);
            self.word(at + 4, len);
            return;
        }
        let inside = BASE + (chance.below(self.bytes.len() as u64) as u32 & !3);
        let pointer =
            if chance.below(8) > 0 { inside } else { chance.pick(&[0, 1, 7, BASE - 1, 0x7fff_fff8, u32::MAX]) };
        let short = chance.below(5) as u32;
        let long = chance.pick(&[100, 65_536, 1 << 24, 1 << 28, 0x7fff_ffff, u32::MAX]);
        self.word(at, pointer);
        self.word(at + 4, if chance.below(10) > 0 { short } else { long });
    }

    /// A column of bytes of so many items. Where it is not tame it is hardly well made.
    fn column(&mut self, at: usize, items: u32, tame: bool, chance: &mut Chance) {
        if !tame && chance.below(2) == 0 {
            (0..3).for_each(|i| self.list(at + 8 * i, None, chance));
            return;
        }
        let offsets = self.bytes.len();
        let mut last = 0u32;
        for _ in 0..=items {
            self.bytes.extend(last.to_le_bytes());
            let step = if !tame && chance.below(4) == 0 { chance.next() as u32 } else { chance.below(3) as u32 };
            last = last.wrapping_add(step);
        }
        let (data, end) = (self.bytes.len(), self.bytes[offsets + 4 * items as usize..][..4].to_vec());
        let end = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
        self.bytes.extend((0..8 * items + 8).map(|_| chance.next() as u8));
        let len = if tame { end } else { end.wrapping_sub(chance.below(2) as u32) };
        self.word(at, BASE + offsets as u32);
        self.word(at + 4, items + 1);
        self.word(at + 8, BASE + data as u32);
        self.word(at + 12, len);
        self.word(at + 16, BASE + data as u32);
        self.word(at + 20, if tame { 0 } else { chance.pick(&[0, items.div_ceil(8), 1, 9]) });
    }
}

/// A filter's answer. In each answer one part is wild, or none.
fn kept(chance: &mut Chance) -> Vec<u8> {
    let (mut image, wild) = (Image::new(20, chance), chance.below(4));
    image.bytes[0] = if wild == 0 { chance.pick(&[1, 2, 255]) } else { 0 };
    image.list(4, (wild != 1).then_some(1), chance);
    image.list(12, (wild != 2).then_some(0), chance);
    // The bits are the head's own.
    image.bytes[1..4].copy_from_slice(&[0xff; 3]);
    image.bytes
}

/// A mapper's answer.
fn output(chance: &mut Chance) -> Vec<u8> {
    let (mut image, wild) = (Image::new(168, chance), chance.below(10));
    image.bytes[0] = if wild == 0 { chance.pick(&[1, 2, 255]) } else { 0 };
    image.word(4, if wild == 1 { chance.pick(&[0, 2, u32::MAX]) } else { 1 });
    // One result for the record, without sources.
    for (field, at) in [8, 20, 32, 60, 88, 100].into_iter().enumerate() {
        let is_wild = wild == 2 + field as u64;
        image.bytes[at] =
            if is_wild { chance.pick(&[1, 1, 1, 2, 255]) } else { (chance.below(2) * u64::from(field > 1)) as u8 };
        match at {
            32 | 60 => image.column(at + 4, 1, !is_wild, chance),
            100 => {
                image.list(104, (!is_wild).then_some(0), chance);
                image.bytes[at] = u8::from(is_wild);
                image.column(112, 1, !is_wild, chance);
                image.column(136, 1, !is_wild, chance);
            }
            _ => image.list(at + 4, (!is_wild).then_some(1), chance),
        }
    }
    image.list(160, (wild != 8).then_some(0), chance);
    image.bytes
}

/// An aggregator's answer to `add`.
fn folded(chance: &mut Chance) -> Vec<u8> {
    let (mut image, wild) = (Image::new(36, chance), chance.below(4));
    image.bytes[0] = if wild == 0 { chance.pick(&[1, 2, 255]) } else { 0 };
    image.column(4, if wild == 1 { chance.pick(&[0, 1, 2]) } else { 1 }, wild != 1, chance);
    image.list(28, (wild != 2).then_some(0), chance);
    image.bytes
}

/// A column of one item, which an aggregator makes of a group: its key is the answer to `finish`.
fn finished(chance: &mut Chance) -> Vec<u8> {
    let (mut image, wild) = (Image::new(28, chance), chance.below(3));
    image.bytes[0] = if wild == 0 { chance.pick(&[1, 2, 255]) } else { 0 };
    image.column(4, 1, wild != 1, chance);
    image.bytes
}

/// Makes an answer of one kind.
type Answer = fn(&mut Chance) -> Vec<u8>;

/// Whether to go on with the next case: by number, or by time in the long form.
fn goes_on(case: u64, began: Instant, cases: u64) -> bool {
    let asked = std::env::var("MILLSTREAM_CASES").ok().and_then(|n| n.parse().ok());
    match asked {
        Some(asked) => case < asked,
        None if std::env::var_os("MILLSTREAM_LONG").is_some_and(|v| v == "1") => began.elapsed() < LONG,
        None => case < cases,
    }
}

fn seed() -> u64 {
    std::env::var("MILLSTREAM_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[test]
fn no_answer_brings_the_host_down() {
    let registry = registry();
    let kinds: [(&str, &str, Answer); 3] = [
        ("bad-answer-filter", "filter: bad, on-error: { dead-letter: dead }", kept),
        ("bad-answer-mapper", "flat-map: bad, on-error: { dead-letter: dead }", output),
        ("bad-answer-aggregator", "group: key, aggregate: bad, on-error: { dead-letter: dead }", folded),
    ];
    let (began, seed) = (Instant::now(), seed());
    let (mut case, mut sound) = (0, [0u64; 3]);
    while goes_on(case, began, ANSWERS) {
        for (kind, (name, step, answer)) in kinds.iter().enumerate() {
            let mut chance = Chance(seed.wrapping_add(case));
            let (said, key) = (answer(&mut chance), finished(&mut chance));
            let out = worker(|| end(&registry, name, step, &key, &said))
                .unwrap_or_else(|why| panic!("{name}, seed {}: {why}", seed + case));
            sound[kind] += u64::from(out);
        }
        case += 1;
    }
    println!("{case} answers of each kind, from seed {seed}; results came of {sound:?}");
    assert!(
        case < 100 || sound.iter().all(|some| *some > 0),
        "all answers are refused, so that nothing else is tried: {sound:?}"
    );
}

/// Whether a result came out; the answer's record must be there or among the dead, unless the step said that it is dropped.
fn end(registry: &Arc<Registry>, name: &str, step: &str, key: &[u8], said: &[u8]) -> Result<bool, String> {
    let mut driver: Driver = driver(registry, name, step);
    match feed_bytes(&mut driver, key, said) {
        Ok(()) => Ok(!values(&driver, "out").is_empty()),
        // A function that is broken altogether stops its task, with the reason.
        Err(stopped) if stopped.contains("task 0_0 stopped") || stopped.contains("step `step`") => Ok(false),
        Err(other) => Err(other),
    }
}

#[test]
fn no_file_brings_the_host_down() {
    let registry = registry();
    let names = ["extract-ip", "count", "only-ip", "sum", "bad-answer-mapper", "surroundings"];
    let files: Vec<Vec<u8>> = names.iter().map(|name| std::fs::read(function(name)).unwrap()).collect();
    let (began, seed) = (Instant::now(), seed());
    let (mut case, mut taken) = (0, 0u64);
    while goes_on(case, began, COMPONENTS) {
        let mut chance = Chance(seed.wrapping_add(case));
        let mut bytes = files[chance.below(files.len() as u64) as usize].clone();
        for _ in 0..chance.pick(&[0, 1, 1, 1, 2, 8, 64]) {
            mutate(&mut bytes, &files, &mut chance);
        }
        let limits = millstream_wasm::Limits::default();
        match registry.prepare(&bytes, None, &[], &limits, &[]) {
            Ok(prepared) => {
                taken += 1;
                registry.release(prepared);
            }
            Err(refusal @ Refusal::Component(_)) => assert!(!refusal.to_string().is_empty()),
            Err(other) => panic!("seed {}: {other}", seed + case),
        }
        case += 1;
    }
    println!("{case} components, from seed {seed}; {taken} were taken");
    assert!(case < 40 || taken > 0, "all are refused, so that nothing else is tried");
}

/// Turns over a bit, a byte, a piece; cuts off; puts a piece of another file in.
fn mutate(bytes: &mut Vec<u8>, files: &[Vec<u8>], chance: &mut Chance) {
    if bytes.is_empty() {
        return;
    }
    let len = bytes.len() as u64;
    // Sections and types are in front.
    let at = if chance.below(3) == 0 { chance.below(len.min(400)) } else { chance.below(len) } as usize;
    match chance.below(7) {
        0 | 1 => bytes[at] ^= 1 << chance.below(8),
        2 | 3 => bytes[at] = chance.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        4 => bytes.truncate(at),
        5 => {
            let to = (at + chance.below(32) as usize).min(bytes.len());
            bytes.drain(at..to);
        }
        _ => {
            let other = &files[chance.below(files.len() as u64) as usize];
            let from = chance.below(other.len() as u64) as usize;
            let piece = other[from..(from + 64).min(other.len())].to_vec();
            bytes.splice(at..at, piece);
        }
    }
}
