//! What the simulated user functions do, record by record: pure, and the one thing that the engine's side and the oracle's
//! side have in common, since functions are given, not judged. How they are called in batches is in `native`.

/// A header: name and value.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// A record as the simulator holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rec {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub time: i64,
    pub headers: Vec<Header>,
}

/// A kind of function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A filter.
    Keep,
    /// Appends its version to the value and, `timed`, the stream time, and which of the step's inputs it came from.
    Stamp { timed: bool },
    /// New keys (sometimes none, sometimes the old one), sometimes no result; `shift`: later times.
    Rekey { shift: bool },
    /// Up to two results, other headers; `keys`: with new keys.
    Fan { keys: bool },
    /// A key alone.
    Key,
    /// Names one of so many outputs, or none.
    Route { outputs: u32 },
    /// Folds, minding the order.
    Sum(Sum),
    /// A joiner.
    Pair,
    /// Keeps counts and values in its stores, sets timers.
    Proc(Proc),
    /// Gives event times, sometimes none or a negative one; `moves`: others than the records have; `timed`: minds stream times.
    When { moves: bool, timed: bool },
    /// Names topics, also such as its sink may not write; `parts`: and partitions, also such as are not there; `timed`: minds stream
    /// times.
    Router { parts: bool, timed: bool },
}

/// A kind of fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// States too long to be held inline.
    pub long: bool,
    /// Some values remove the group.
    pub removes: bool,
    /// `finish` fails on some states.
    pub breaks: bool,
    /// Mixes the stream time in.
    pub timed: bool,
    /// Goes on with states of others of its kind, and mixes in which it is.
    pub shared: bool,
}

/// What is wrong with a record, for one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The function traps.
    Trap,
    /// It refuses the record.
    Reject,
    /// It takes longer than its limit, but not twice as long.
    Slow,
    /// Its answer breaks the contract.
    Bad,
    /// A fold removes the group.
    Remove,
}

/// Letters of marks; the digit behind a letter says which functions mind it.
pub const MARKS: [(u8, Mark); 5] =
    [(b'P', Mark::Trap), (b'R', Mark::Reject), (b'S', Mark::Slow), (b'B', Mark::Bad), (b'N', Mark::Remove)];

/// Functions whose numbers differ by this mind the same marks.
pub const MINDERS: usize = 4;

/// What a function minds of a value.
pub fn mark(function: usize, value: Option<&[u8]>) -> Option<Mark> {
    let digit = b'0' + (function % MINDERS) as u8;
    let pair = value?.windows(2).find(|w| w[1] == digit && MARKS.iter().any(|(letter, _)| *letter == w[0]))?;
    MARKS.iter().find(|(letter, _)| *letter == pair[0]).map(|(_, mark)| *mark)
}

/// What a joiner minds of two values.
pub fn mark_of_pair(function: usize, left: Option<&[u8]>, right: Option<&[u8]>) -> Option<Mark> {
    mark(function, left).or(mark(function, right))
}

/// A kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proc {
    pub outputs: u32,
    /// Sets timers by the wall clock, too.
    pub wall: bool,
    /// Mixes the stream time in.
    pub timed: bool,
}

/// The row of the global table at a key; some keys have none.
pub fn global_row(key: &[u8]) -> Option<Vec<u8>> {
    (!number(key).is_multiple_of(3)).then(|| [b"g", key].concat())
}

/// FNV-1a.
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

fn hash(rec: &Rec, salt: usize) -> u64 {
    (number(rec.value.as_deref().unwrap_or(b"null")) >> 7).wrapping_add(salt as u64)
}

pub fn keeps(function: usize, rec: &Rec) -> bool {
    !hash(rec, function).is_multiple_of(4)
}

/// A function with the version that is in force.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    pub function: usize,
    pub role: Role,
    pub version: u64,
}

impl Running {
    /// Results of a mapper with their ports. `stream`: the step's stream time with the record; `input`: which of its inputs
    /// the record came from, where it has several.
    pub fn map(self, rec: &Rec, stream: i64, input: Option<u32>) -> Vec<(u32, Rec)> {
        let h = hash(rec, self.function);
        let mut out = rec.clone();
        match self.role {
            Role::Stamp { timed } => {
                if let Some(value) = &mut out.value {
                    value.extend_from_slice(format!("v{}", self.version).as_bytes());
                    if timed {
                        value.extend_from_slice(format!("@{stream}{input:?}").as_bytes());
                    }
                }
            }
            Role::Rekey { .. } if h % 8 == 1 => return Vec::new(),
            Role::Rekey { shift } => {
                out.key = self.new_key(rec, h);
                out.time = out.time.saturating_add(if shift { (h % 9) as i64 } else { 0 });
            }
            Role::Key => out.key = self.new_key(rec, h),
            Role::Fan { keys } => {
                out.headers = vec![(b"f".to_vec(), None)];
                let mut second = out.clone();
                if let Some(value) = &mut second.value {
                    value.push(b'+');
                }
                if keys {
                    out.key = self.new_key(rec, h);
                }
                return [(0, out), (0, second)][..(h % 3) as usize].to_vec();
            }
            Role::Route { outputs } => {
                let port = (h % u64::from(outputs + 1)) as u32;
                return if port == outputs { Vec::new() } else { vec![(port, out)] };
            }
            Role::When { .. } => return self.when(rec, stream, h),
            Role::Keep | Role::Sum(_) | Role::Pair | Role::Proc(_) | Role::Router { .. } => {}
        }
        vec![(0, out)]
    }

    pub fn new_key(self, rec: &Rec, h: u64) -> Option<Vec<u8>> {
        match h % 7 {
            0 => None,
            1 | 2 => rec.key.clone(),
            n => Some(format!("m{}", n % 3).into_bytes()),
        }
    }

    fn sum(self) -> Sum {
        if let Role::Sum(sum) = self.role {
            sum
        } else {
            Sum { long: false, removes: false, breaks: false, timed: false, shared: false }
        }
    }

    /// A state with one value more; `None`: the group is gone. `own`: the stream time of the record's task.
    pub fn add(self, state: Option<&[u8]>, value: &[u8], own: i64) -> Option<Vec<u8>> {
        let sum = self.sum();
        if sum.removes && mark(self.function, Some(value)) == Some(Mark::Remove) {
            return None;
        }
        let before = state.map_or(0, number).rotate_left(1);
        let own = if sum.timed { own as u64 } else { 0 };
        let own = if sum.shared { own.wrapping_add(self.function as u64) } else { own };
        let after = (before ^ number(value)).wrapping_add(own).wrapping_mul(3);
        Some(after.to_be_bytes().repeat(if sum.long { 3 } else { 1 }))
    }

    /// A state with one value less; `None`: the group is gone.
    pub fn take_out(self, state: &[u8], value: &[u8], own: i64) -> Option<Vec<u8>> {
        let sum = self.sum();
        if sum.removes && mark(self.function, Some(value)) == Some(Mark::Remove) {
            return None;
        }
        let own = if sum.timed { own as u64 } else { 0 };
        let after = (number(state).rotate_left(7) ^ number(value)).wrapping_add(own).wrapping_mul(11);
        Some(after.to_be_bytes().repeat(if sum.long { 3 } else { 1 }))
    }

    /// Two states as one; minds which is the earlier.
    pub fn merge(self, left: &[u8], right: &[u8]) -> Vec<u8> {
        let merged = (number(left).rotate_left(3) ^ number(right)).wrapping_mul(5);
        merged.to_be_bytes().repeat(if self.sum().long { 3 } else { 1 })
    }

    /// A value of two, or none: what is on the left, or else on the right, and a number of both.
    pub fn pair(self, left: Option<&[u8]>, right: Option<&[u8]>) -> Option<Vec<u8>> {
        let n = number(left.unwrap_or(b"-")).rotate_left(5) ^ number(right.unwrap_or(b"-"));
        let mut out = left.or(right)?.to_vec();
        out.extend_from_slice(format!("~{:x}v{}", n >> 7 & 0xfff, self.version).as_bytes());
        (n >> 9 & 7 != 0).then_some(out)
    }

    /// Whether `finish` fails on a state.
    pub fn breaks(self, state: &[u8]) -> bool {
        self.sum().breaks && number(state) % 11 == 3
    }

    /// What leaves for a state.
    pub fn finish(self, state: &[u8], start: Option<i64>) -> Option<Vec<u8>> {
        let n = number(state).wrapping_add(start.unwrap_or(7) as u64);
        (!n.is_multiple_of(5)).then(|| format!("{n}v{}", self.version).into_bytes())
    }
}
