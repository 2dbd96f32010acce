//! Finding the poisoned record: a fault is about records until it is shown to be about the instance or the function.
//!
//! 1. A failed call is made again, whole, on a fresh instance. If it passes, the instance was at fault and no record is
//!    touched; [`INSTANCE_FAULTS_MAX`] such calls in a row, and the function is broken.
//! 2. Else halves are tried, in record order, until the poisoned record is alone. A time-out is confirmed on it alone
//!    with twice the limit.
//! 3. `on-error` decides its fate, and the rest goes on.
//!
//! All within a budget for each interval; more poison than that is a broken function.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;

use crate::error::Verdict;
use crate::function::{Answer, Fault, Functions, Prepared};

/// Calls in a row that only a fresh instance could answer, before a function counts as broken.
pub const INSTANCE_FAULTS_MAX: u32 = 3;

/// Calls that isolation may make in one interval.
pub const ISOLATION_CALLS_MAX: u32 = 20_000;

/// Milliseconds of time-outs that isolation may spend in one interval: well below half of a transaction's time-out.
pub const ISOLATION_TIMEOUTS_MS_MAX: u64 = 2_000;

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
        work.functions_dyn().renew(function);
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
                halve(work, step, function, from, len, fault)?;
                at = len;
            }
        }
    }
    Ok(())
}

/// `from..to` failed with `fault`: tries its halves, in order.
fn halve(
    work: &mut dyn WorkDyn,
    step: &str,
    function: Prepared,
    from: usize,
    to: usize,
    fault: Fault,
) -> Result<(), Verdict> {
    work.isolation_dyn().spend(step, &fault)?;
    work.functions_dyn().renew(function);
    if to - from == 1 {
        if let Fault::TimedOut { .. } = fault {
            work.functions_dyn().stretch(function, 2);
            if work.attempt(from, to)?.is_ok() {
                return Ok(());
            }
            work.functions_dyn().renew(function);
        }
        return work.poisoned_dyn(from, &fault);
    }
    let middle = from + (to - from) / 2;
    for (from, to) in [(from, middle), (middle, to)] {
        let mut at = from;
        while at < to {
            match work.attempt(at, to)? {
                Ok(taken) => at += taken,
                Err(fault) => {
                    halve(work, step, function, at, to, fault)?;
                    at = to;
                }
            }
        }
    }
    Ok(())
}

/// [`Work`] without its associated type.
pub trait WorkDyn {
    /// Calls and, where the call passes, accepts.
    fn attempt(&mut self, from: usize, to: usize) -> Result<Answer<usize>, Verdict>;
    /// See [`Work::functions`].
    fn functions_dyn(&mut self) -> &mut dyn Functions;
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
    fn functions_dyn(&mut self) -> &mut dyn Functions {
        self.functions()
    }
    fn isolation_dyn(&mut self) -> &mut Isolation {
        self.isolation()
    }
    fn poisoned_dyn(&mut self, at: usize, fault: &Fault) -> Result<(), Verdict> {
        self.poisoned(at, fault)
    }
}
