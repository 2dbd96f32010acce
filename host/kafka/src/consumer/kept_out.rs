//! A member that the group keeps out: when that is told, and when it asks again. Times only; who tells and asks is the member.

use std::time::{Duration, Instant};

/// How long after it was refused a member asks again, and another time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is told that it is still kept out.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KeptOut(Option<Refusal>);

#[derive(Debug)]
struct Refusal {
    since: Instant,
    /// It asks again then; `None`: it has asked.
    again: Option<Instant>,
    told: Option<Instant>,
}

impl KeptOut {
    /// The group has refused. Gives for how long it has done so by now where that is to be told.
    pub fn refused(&mut self, now: Instant) -> Option<Duration> {
        let refusal = self.0.get_or_insert(Refusal { since: now, again: None, told: None });
        refusal.again.get_or_insert(now + ASK_AGAIN);
        if refusal.told.is_some_and(|told| now.duration_since(told) < TELL_AGAIN) {
            return None;
        }
        refusal.told = Some(now);
        Some(now.duration_since(refusal.since))
    }

    /// Whether to ask now. Where that fails it is time again a little later.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let Some(again) = self.0.as_mut().and_then(|refusal| refusal.again.as_mut()) else { return false };
        let is_due = *again <= now;
        if is_due {
            *again = now + ASK_AGAIN;
        }
        is_due
    }

    /// It has asked; the answer is to come.
    pub fn asked(&mut self) {
        if let Some(refusal) = &mut self.0 {
            refusal.again = None;
        }
    }

    /// The group has let it in.
    pub fn let_in(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_every_second_and_tells_every_ten() {
        let (start, mut kept, mut told, mut asked) = (Instant::now(), KeptOut::default(), Vec::new(), 0);
        assert!(!kept.is_due(start), "nobody has refused it");
        for ms in (0..25_000).step_by(50) {
            let now = start + Duration::from_millis(ms);
            if kept.is_due(now) {
                kept.asked();
                asked += 1;
            }
            // The client says it again and again.
            told.extend(kept.refused(now).map(|waited| waited.as_secs()));
        }
        assert_eq!((told, asked), (vec![0, 10, 20], 24));
        kept.let_in();
        assert!(!kept.is_due(start + Duration::from_secs(60)));
        assert_eq!(kept.refused(start + Duration::from_secs(60)), Some(Duration::ZERO), "another time");
    }

    #[test]
    fn what_failed_is_tried_again_a_second_later() {
        let (start, mut kept) = (Instant::now(), KeptOut::default());
        kept.refused(start);
        let due: Vec<bool> = (0..5).map(|half| kept.is_due(start + Duration::from_millis(500 * half))).collect();
        assert_eq!(due, [false, false, true, false, true]);
    }
}
