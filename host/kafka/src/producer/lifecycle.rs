//! Where a producer stands, and what may follow. Data only: who acts on it is [`super::Producer`].

/// Where a producer and its transaction stand.
///
/// ```text
///          initialised          begun            end wanted           all written            done
///   New ───────────────▶ Ready ───────▶ Open ────────────────▶ Flushing ──────────▶ Committing ─────▶ Ready
///                          ▲             │                        │                  │      ▲
///                          │      broken │                 broken │        no answer │      │ asked again
///                          │             ▼                        │                  ▼      │
///                          │           Failed ◀───────────────────┘                Unknown ─┘
///                          │             │ abort wanted
///                          │    done     ▼   │ no answer
///                          └────────── Aborting ◀┘
///
///   any ── given up ──▶ Dead
/// ```
///
/// From `Open` an abort may be wanted too. What an outcome asks of the caller stands at [`super::CommitError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not known to the brokers yet.
    New,
    /// No transaction is open.
    Ready,
    /// Records and offsets may be added.
    Open,
    /// The records are on their way; the commit was not asked for yet, so nothing can have become visible.
    Flushing,
    /// The commit was asked for.
    Committing,
    /// The commit was asked for and there was no answer: it is carried out, or not, or yet to be.
    Unknown,
    /// It cannot be committed any more. Nothing of it was and will be visible.
    Failed,
    /// The abort was asked for.
    Aborting,
    /// Nothing more can be done with this producer.
    Dead,
}

/// What happens to a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Initialised,
    Begun,
    EndWanted,
    AllWritten,
    Done,
    NoAnswer,
    AskedAgain,
    Broken,
    AbortWanted,
    GivenUp,
}

/// Every way from one state to another, but for those to `Dead`, which lead from all.
const WAYS: [(State, Event, State); 14] = {
    use Event::*;
    use State::*;
    [
        (New, Initialised, Ready),
        (Ready, Begun, Open),
        (Open, EndWanted, Flushing),
        (Open, Broken, Failed),
        (Open, AbortWanted, Aborting),
        (Flushing, AllWritten, Committing),
        (Flushing, Broken, Failed),
        (Committing, Done, Ready),
        (Committing, NoAnswer, Unknown),
        (Unknown, AskedAgain, Committing),
        (Failed, AbortWanted, Aborting),
        (Failed, Broken, Failed),
        (Aborting, Done, Ready),
        (Aborting, NoAnswer, Aborting),
    ]
};

impl State {
    /// The state after an event; `None` where it cannot happen.
    pub(super) fn after(self, event: Event) -> Option<State> {
        if event == Event::GivenUp {
            return Some(State::Dead);
        }
        WAYS.iter().find(|(from, what, _)| (*from, *what) == (self, event)).map(|(_, _, to)| *to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [State; 9] = [
        State::New,
        State::Ready,
        State::Open,
        State::Flushing,
        State::Committing,
        State::Unknown,
        State::Failed,
        State::Aborting,
        State::Dead,
    ];

    #[test]
    fn an_event_leads_to_one_state() {
        for (n, (from, event, _)) in WAYS.iter().enumerate() {
            assert!(WAYS[n + 1..].iter().all(|(f, e, _)| (f, e) != (from, event)), "{from:?} {event:?}");
        }
    }

    #[test]
    fn once_a_commit_was_asked_for_only_an_answer_ends_it() {
        for state in [State::Committing, State::Unknown] {
            for event in [Event::Broken, Event::AbortWanted, Event::Begun, Event::EndWanted] {
                assert_eq!(state.after(event), None, "{state:?} {event:?}");
            }
        }
        assert_eq!(State::Unknown.after(Event::Done), None, "unknown is asked again, not taken as done");
    }

    #[test]
    fn what_is_dead_stays_dead_and_everything_can_die() {
        for state in ALL {
            assert_eq!(state.after(Event::GivenUp), Some(State::Dead));
        }
        assert!(WAYS.iter().all(|(from, _, to)| *from != State::Dead && *to != State::Dead));
    }
}
