//! Finding the poisoned record: a fault is about records until it is shown to be about the instance or the function.
//!
//! 1. A failed call is made again, whole, on a fresh instance. If it passes, the instance was at fault and no record is
//!    touched; [`INSTANCE_FAULTS_MAX`] such calls in a row, and the function is broken.
//! 2. Else parts are tried, in record order, and parts of the part that fails, until the poisoned record is alone. That is
//!    confirmed on a fresh instance with twice the time limit. Parts, not halves: calls that pass cost next to
//!    nothing, and each that times out costs its whole limit.
//! 3. `on-error` decides its fate, and the rest goes on.
//!
//! All within a budget for each interval; more poison than that is a broken function.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::error::Verdict;
use crate::function::{Answer, Fault, Functions, Prepared};

/// Calls in a row that only a fresh instance could answer, before a function counts as broken.
pub const INSTANCE_FAULTS_MAX: u32 = 3;

/// Calls that isolation may make in one interval.
pub const ISOLATION_CALLS_MAX: u32 = 20_000;

/// Milliseconds of time-outs that isolation may spend in one interval: well below half of a transaction's time-out.
pub const ISOLATION_TIMEOUTS_MS_MAX: u64 = 2_000;

/// Into how many parts a range of records that failed is cut.
const PARTS: usize = 16;

/// What isolation has spent.
#[derive(Clone, Debug, Default)]
pub struct Isolation {
    calls: u32,
    timeouts_ms: u64,
    /// By function: several that fail once each in one batch are not one that fails three times.
    instance_faults: BTreeMap<Prepared, u32>,
}

impl Isolation {
    /// A new interval has a new budget.
    pub fn new_interval(&mut self) {
        self.calls = 0;
        self.timeouts_ms = 0;
    }

    /// Whether so much is spent that the interval should end early, to begin the next with a fresh budget.
    pub fn is_half_spent(&self) -> bool {
        self.calls > ISOLATION_CALLS_MAX / 2 || self.timeouts_ms > ISOLATION_TIMEOUTS_MS_MAX / 2
    }

    fn spend(&mut self, step: &str, fault: &Fault) -> Result<(), Verdict> {
        if let Fault::Unavailable { message } = fault {
            return Err(Verdict::Retry(format!("step `{step}`: {message}")));
        }
        self.calls += 1;
        if let Fault::TimedOut { limit_ms } = fault {
            self.timeouts_ms += limit_ms;
        }
        if self.calls > ISOLATION_CALLS_MAX || self.timeouts_ms > ISOLATION_TIMEOUTS_MS_MAX {
            let reason = format!("more failing records in one interval than can be isolated; the last: {fault}");
            return Err(Verdict::BrokenFunction { step: step.to_string(), reason });
        }
        Ok(())
    }
}

/// What isolation works on: calls over a range of records, and what to do with their answers.
pub trait Work {
    /// What a call gives.
    type Given;
    /// The functions to call.
    fn functions(&mut self) -> &mut dyn Functions;
    /// What is spent so far.
    fn isolation(&mut self) -> &mut Isolation;
    /// Calls the function with records `from..to`. Must leave no trace when it fails.
    fn call(&mut self, from: usize, to: usize) -> Answer<Self::Given>;
    /// Takes an answer; ranges come in order, each once. Gives how many records were dealt with.
    fn accept(&mut self, from: usize, to: usize, given: Self::Given) -> Result<usize, Verdict>;
    /// A record that the function cannot handle.
    fn poisoned(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict>;
    /// Functions that a call asks besides the one it is made for: any of them may have failed.
    fn besides(&self) -> Vec<Prepared> {
        Vec::new()
    }
}

/// Runs `work` over `0..len`.
///
/// # Errors
/// Those of `work`, and [`Verdict::BrokenFunction`].
pub fn run(work: &mut dyn WorkDyn, step: &str, function: Prepared, len: usize) -> Result<(), Verdict> {
    let mut at = 0;
    while at < len {
        let (fault, from) = match work.attempt(at, len)? {
            Ok(taken) => {
                work.isolation_dyn().instance_faults.remove(&function);
                at += taken;
                continue;
            }
            Err(fault) => (fault, at),
        };
        work.isolation_dyn().spend(step, &fault)?;
        work.renew_dyn(function);
        match work.attempt(from, len)? {
            Ok(taken) => {
                at += taken;
                let isolation = work.isolation_dyn();
                let faults = isolation.instance_faults.entry(function).or_default();
                *faults += 1;
                if *faults >= INSTANCE_FAULTS_MAX {
                    let reason =
                        format!("it answers only on fresh instances, {INSTANCE_FAULTS_MAX} times in a row: {fault}");
                    return Err(Verdict::BrokenFunction { step: step.to_string(), reason });
                }
            }
            Err(fault) => {
                split(work, step, function, from, len, fault)?;
                at = len;
            }
        }
    }
    Ok(())
}

/// `from..to` failed with `fault`: tries its parts, in order.
fn split(
    work: &mut dyn WorkDyn,
    step: &str,
    function: Prepared,
    from: usize,
    to: usize,
    fault: Fault,
) -> Result<(), Verdict> {
    work.isolation_dyn().spend(step, &fault)?;
    work.renew_dyn(function);
    if to - from == 1 {
        return alone(work, step, function, from);
    }
    let size = (to - from).div_ceil(PARTS);
    for part in (from..to).step_by(size) {
        let (mut at, end) = (part, (part + size).min(to));
        while at < end {
            match work.attempt(at, end)? {
                Ok(taken) => at += taken,
                Err(fault) => {
                    split(work, step, function, at, end, fault)?;
                    at = end;
                }
            }
        }
    }
    Ok(())
}

/// A record failed alone: it is poisoned when it does so on a fresh instance too, with time enough.
fn alone(work: &mut dyn WorkDyn, step: &str, function: Prepared, at: usize) -> Result<(), Verdict> {
    work.stretch_dyn(function, 2);
    match work.attempt(at, at + 1)? {
        Ok(_) => Ok(()),
        Err(again) => {
            work.isolation_dyn().spend(step, &again)?;
            work.renew_dyn(function);
            work.poisoned_dyn(at, &again)
        }
    }
}

/// [`Work`] without its associated type.
pub trait WorkDyn {
    /// Calls and, where the call passes, accepts.
    fn attempt(&mut self, from: usize, to: usize) -> Result<Answer<usize>, Verdict>;
    /// See [`Functions::renew`].
    fn renew_dyn(&mut self, function: Prepared);
    /// See [`Functions::stretch`].
    fn stretch_dyn(&mut self, function: Prepared, factor: u32);
    /// See [`Work::isolation`].
    fn isolation_dyn(&mut self) -> &mut Isolation;
    /// See [`Work::poisoned`].
    fn poisoned_dyn(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict>;
}

impl<W: Work> WorkDyn for W {
    fn attempt(&mut self, from: usize, to: usize) -> Result<Answer<usize>, Verdict> {
        match self.call(from, to) {
            Ok(given) => self.accept(from, to, given).map(Ok),
            Err(fault) => Ok(Err(fault)),
        }
    }
    fn renew_dyn(&mut self, function: Prepared) {
        self.functions().renew(function);
        self.besides().into_iter().for_each(|other| self.functions().renew(other));
    }
    fn stretch_dyn(&mut self, function: Prepared, factor: u32) {
        self.functions().stretch(function, factor);
        self.besides().into_iter().for_each(|other| self.functions().stretch(other, factor));
    }
    fn isolation_dyn(&mut self) -> &mut Isolation {
        self.isolation()
    }
    fn poisoned_dyn(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.poisoned(at, fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A function over records that fail where `bad` says so, and the limit of whose calls is 200 ms.
    struct Fake {
        len: usize,
        bad: Vec<usize>,
        fault: Fault,
        isolation: Isolation,
        poisoned: Vec<usize>,
        accepted: Vec<usize>,
        /// Calls that fail whatever they are given, by number.
        fails: Vec<usize>,
        calls: Vec<(usize, usize)>,
    }

    impl WorkDyn for Fake {
        fn attempt(&mut self, from: usize, to: usize) -> Result<Answer<usize>, Verdict> {
            self.calls.push((from, to));
            if self.fails.contains(&self.calls.len()) || self.bad.iter().any(|b| (from..to).contains(b)) {
                return Ok(Err(self.fault.clone()));
            }
            self.accepted.extend(from..to);
            Ok(Ok(to - from))
        }
        fn renew_dyn(&mut self, _: Prepared) {}
        fn stretch_dyn(&mut self, _: Prepared, _: u32) {}
        fn isolation_dyn(&mut self) -> &mut Isolation {
            &mut self.isolation
        }
        fn poisoned_dyn(&mut self, at: usize, _: &Fault) -> Result<(), Verdict> {
            self.poisoned.push(at);
            Ok(())
        }
    }

    fn fake(len: usize, bad: &[usize], fault: Fault) -> Fake {
        let (isolation, poisoned, accepted) = (Isolation::default(), Vec::new(), Vec::new());
        let (bad, fails, calls) = (bad.to_vec(), Vec::new(), Vec::new());
        Fake { len, bad, fault, isolation, poisoned, accepted, fails, calls }
    }

    fn isolate(len: usize, bad: &[usize], fault: Fault) -> (Result<(), Verdict>, Fake) {
        let mut fake = fake(len, bad, fault);
        let result = run(&mut fake, "step", Prepared(0), len);
        (result, fake)
    }

    #[test]
    fn poison_is_found_at_every_place_and_all_else_is_taken_once() {
        let trap = || Fault::Trap { message: "unreachable".into() };
        for len in [1, 2, 16, 17, 100, 2048] {
            for bad in [&[0][..], &[len - 1], &[len / 2], &[0, len / 3, len - 1], &(0..len).collect::<Vec<_>>()] {
                let (result, fake) = isolate(len, bad, trap());
                let mut want = bad.to_vec();
                want.dedup();
                assert_eq!((result, &fake.poisoned), (Ok(()), &want), "{len} records");
                let good: Vec<usize> = (0..fake.len).filter(|i| !bad.contains(i)).collect();
                assert_eq!(fake.accepted, good);
            }
        }
    }

    #[test]
    fn one_record_that_spins_is_found_within_the_budget_and_a_second_is_too_much() {
        let slow = || Fault::TimedOut { limit_ms: 200 };
        let (result, fake) = isolate(2048, &[1234], slow());
        assert_eq!((result, fake.poisoned), (Ok(()), alloc::vec![1234]));
        assert!(fake.isolation.is_half_spent(), "the interval ends early");
        let (result, _) = isolate(2048, &[0, 1, 2, 3, 4, 5, 6, 7], slow());
        assert!(matches!(result, Err(Verdict::BrokenFunction { .. })), "{result:?}");
    }

    #[test]
    fn calls_are_bounded() {
        let trap = Fault::Trap { message: "unreachable".into() };
        let all: Vec<usize> = (0..ISOLATION_CALLS_MAX as usize).collect();
        let (result, _) = isolate(all.len(), &all, trap);
        assert!(matches!(result, Err(Verdict::BrokenFunction { .. })), "{result:?}");
    }

    #[test]
    fn a_call_that_fails_once_is_made_again_whole_and_three_times_in_a_row_is_a_broken_function() {
        let mut fake = fake(100, &[], Fault::Trap { message: "unreachable".into() });
        let batch = |fake: &mut Fake, fails: bool| {
            fake.fails = if fails { alloc::vec![fake.calls.len() + 1] } else { Vec::new() };
            run(fake, "step", Prepared(0), 100)
        };
        assert_eq!(batch(&mut fake, true), Ok(()));
        assert_eq!(fake.calls, [(0, 100), (0, 100)]);
        assert_eq!(batch(&mut fake, true), Ok(()));
        assert_eq!(batch(&mut fake, false), Ok(()), "one that passes at once ends the row");
        assert_eq!(batch(&mut fake, true), Ok(()));
        assert_eq!(batch(&mut fake, true), Ok(()));
        assert!(matches!(batch(&mut fake, true), Err(Verdict::BrokenFunction { .. })));
    }

    #[test]
    fn a_call_that_fails_twice_in_a_row_costs_no_record() {
        let mut fake = fake(100, &[], Fault::Trap { message: "unreachable".into() });
        fake.fails = alloc::vec![1, 2];
        assert_eq!(run(&mut fake, "step", Prepared(0), 100), Ok(()));
        assert_eq!((fake.poisoned, fake.accepted), (Vec::new(), (0..100).collect()));
    }
}
