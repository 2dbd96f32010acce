//! How a task waits for one of several inputs of which nothing is here, seen from outside: no record is taken before an older one
//! that it must wait for, and none is left lying when nothing is waited for any more. What happens to records is the oracle's
//! matter.

use millstream_core::topology::spec::MaxIdle;

/// What is known of an input of a task.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The topic has this partition.
    pub exists: bool,
    /// Offset behind what was fetched without a hole.
    pub fetched: i64,
    /// The end that was told; `None`: nothing was told yet.
    pub end: Option<i64>,
    /// Since when, at the longest, nothing of it has been here or there: it has had no record since.
    dry_since: Option<i64>,
    /// The same, at the shortest: as it was found by ticks, of which none has found that there is more.
    found_dry: Option<i64>,
}

impl Input {
    pub fn new(position: i64, exists: bool) -> Self {
        Self { exists, fetched: position, ..Self::default() }
    }

    /// Records were fetched, or it was told that there are none.
    pub fn told(&mut self, fetched: i64, end: i64, any: bool) {
        if any && fetched > self.fetched {
            self.dry_since = None;
        }
        self.fetched = self.fetched.max(fetched);
        self.end = Some(self.end.map_or(end, |known| known.max(end)));
    }

    fn is_dry(&self, position: i64) -> bool {
        position >= self.fetched && self.end.is_some_and(|end| self.fetched >= end)
    }

    /// A step is over, in which records were taken, or not.
    pub fn look(&mut self, position: i64, moved: bool, now: i64) {
        if moved {
            self.found_dry = None;
        }
        if self.is_dry(position) {
            self.dry_since.get_or_insert(now);
        }
    }

    /// A tick begins.
    fn tick(&mut self, position: i64, now: i64) {
        self.found_dry = self.is_dry(position).then(|| self.found_dry.unwrap_or(now));
    }

    /// Whether it need not be waited for (any more), of which nothing is here. `since`: since when that is so and nothing is there.
    fn is_let_go(&self, max_idle: MaxIdle, since: Option<i64>, now: i64) -> bool {
        match max_idle {
            MaxIdle::No => true,
            MaxIdle::After(ms) => !self.exists || since.is_some_and(|since| now - since >= ms),
        }
    }
}

/// Whether a task has to take something at a tick that begins now, as long as there is room for results.
pub fn must_take(inputs: &mut [Input], positions: &[i64], max_idle: MaxIdle, now: i64) -> bool {
    inputs.iter_mut().zip(positions).for_each(|(input, at)| input.tick(*at, now));
    let is_here = |(input, at): (&Input, &i64)| *at < input.fetched;
    let ready = |(input, at)| is_here((input, at)) || input.is_let_go(max_idle, input.found_dry, now);
    inputs.iter().zip(positions).any(is_here) && inputs.iter().zip(positions).all(ready)
}

/// What a task took at one go: records of the inputs `from` here `to` there, of which it knew this, at this time.
pub struct Go<'a> {
    pub inputs: &'a [Input],
    pub from: &'a [i64],
    pub to: &'a [i64],
    pub at: i64,
    pub max_idle: MaxIdle,
}

impl Go<'_> {
    /// Checks that each record was the oldest that could come, and that nothing had to be waited for. `turn`: by input and offset the
    /// time by which a record is taken; some offsets have none.
    ///
    /// # Errors
    /// What was taken before what.
    pub fn check(&self, turn: &dyn Fn(usize, i64) -> Option<i64>) -> Result<(), String> {
        let mut at = self.from.to_vec();
        loop {
            for (i, at) in at.iter_mut().enumerate() {
                while *at < self.inputs[i].fetched && turn(i, *at).is_none() {
                    *at += 1;
                }
            }
            let heads = (0..at.len()).filter(|i| at[*i] < self.to[*i]).map(|i| (turn(i, at[i]), i));
            let Some((head, input)) = heads.min() else { return Ok(()) };
            for other in (0..at.len()).filter(|o| *o != input) {
                let known = &self.inputs[other];
                let good = if at[other] < known.fetched {
                    (head, input) < (turn(other, at[other]), other)
                } else if known.end.is_none_or(|end| known.fetched < end) {
                    !known.exists || self.max_idle == MaxIdle::No
                } else {
                    // It may have run dry just now.
                    let since = if at[other] > self.from[other] { Some(self.at) } else { known.dry_since };
                    known.is_let_go(self.max_idle, since, self.at)
                };
                if head.is_none() || !good {
                    let (this, that) = (at[input], at[other]);
                    return Err(format!("took input {input}@{this} before {other}@{that}, knowing {:?}", self.inputs));
                }
            }
            at[input] += 1;
        }
    }
}
