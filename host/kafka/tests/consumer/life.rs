//! Members that restart, are lost, are fenced, and answer wrongly.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use millstream_kafka::consumer::{Event, Leave, Member};
use millstream_kafka::error::KafkaError;

use crate::support::{
    Host, Ledger, STEP, create, expect_assigned, fill, join, next_event, places, properties, settings, tp, until,
};

/// The least that the client allows between two polls.
const POLL_MS: u64 = 6_000;

/// How many moments of its joining a member ends at, and how far they are apart.
const MOMENTS: u32 = 16;
const MOMENT: Duration = Duration::from_millis(40);

/// Longer than that, by more than the client's own look at the clock takes.
const TOO_LONG: Duration = Duration::from_millis(POLL_MS + 1_500);

fn keeps_its_partitions(protocol: &str) {
    let topic = format!("static-{protocol}");
    create(&topic, 6, &[]);
    fill(&topic, 6, 0, 500);
    let (properties, ledger) = (properties(&[("group.protocol", protocol)]), Arc::new(Ledger::default()));
    let start = |name| Host::start(&properties, &settings(&topic, Some(name), &[&topic], 2), &ledger);
    let (a, b) = (start("a"), start("b"));
    until("each has three", || a.owns() == 3 && b.owns() == 3);
    let (owned, seen) = (b.owns.lock().unwrap().clone(), a.rebalances());
    b.stop(Leave::AfterSession);
    let b = start("b");
    until("b is back", || b.owns() == 3);
    fill(&topic, 6, 500, 500);
    ledger.complete(&topic, 6, 1_000);
    assert_eq!(*b.owns.lock().unwrap(), owned);
    assert_eq!(a.rebalances(), seen, "nobody else noticed");
    b.stop(Leave::AtOnce);
    a.stop(Leave::AtOnce);
}

#[test]
fn a_static_classic_member_keeps_its_partitions_over_a_restart() {
    keeps_its_partitions("classic");
}

#[test]
fn a_static_member_of_the_newer_protocol_keeps_its_partitions_over_a_restart() {
    keeps_its_partitions("consumer");
}

fn lost_and_joined_again(protocol: &str) {
    let topic = format!("lost-{protocol}");
    create(&topic, 3, &[]);
    let poll_ms = POLL_MS.to_string();
    let mut given = vec![("group.protocol", protocol), ("max.poll.interval.ms", poll_ms.as_str())];
    given.extend((protocol == "classic").then_some(("session.timeout.ms", poll_ms.as_str())));
    let (mut member, _readers, first) = join(&properties(&given), &settings(&topic, None, &[&topic], 2), 3);
    let ownership = member.ownership();
    let before = ownership.metadata_if(first).expect("a member");
    assert_eq!(before.group(), topic);
    thread::sleep(TOO_LONG);
    assert_eq!(ownership.metadata_if(first), None, "the client knows already that it has lost");
    let lost = next_event(&mut member);
    assert!(matches!(&lost, Event::Lost(partitions) if partitions.len() == 3), "{lost:?}");
    assert!(member.is_lost() && ownership.metadata_if(first).is_none());
    let released = member.release().expect("release");
    let again = expect_assigned(&mut member);
    assert!(
        ownership.metadata_if(first).is_none() && ownership.metadata_if(released).is_none(),
        "it is a member again"
    );
    let second = member.assign(&places(&again, 2, 0)).expect("assign").expect("not void");
    assert_eq!(ownership.metadata_if(first), None);
    let after = ownership.metadata_if(second).expect("a member");
    assert_ne!((before.generation(), before.member()), (after.generation(), after.member()));
    assert_eq!(ownership.renew(first, &[tp(&topic, 0)]), None, "there was a break");
    assert_eq!(ownership.renew(second, &[tp(&topic, 0)]), Some(second));
}

#[test]
fn a_classic_member_that_was_lost_and_joined_again_commits_nothing_of_before() {
    lost_and_joined_again("classic");
}

#[test]
fn a_member_of_the_newer_protocol_that_was_lost_and_joined_again_commits_nothing_of_before() {
    lost_and_joined_again("consumer");
}

#[test]
fn an_assignment_that_was_lost_before_it_was_answered_is_void() {
    create("void", 2, &[]);
    let poll_ms = POLL_MS.to_string();
    let given = [
        ("max.poll.interval.ms", poll_ms.as_str()),
        ("session.timeout.ms", poll_ms.as_str()),
        ("heartbeat.interval.ms", "300"),
    ];
    let (properties, settings) = (properties(&given), settings("void", None, &["void"], 1));
    let (mut member, _readers) = Member::join(&properties, &settings).expect("join");
    let assigned = expect_assigned(&mut member);
    // Another one joins; the group waits for an answer as long as a poll may take, and goes on without it.
    let (other, _others, _) = join(&properties, &settings, 2);
    // The next heartbeat tells the client.
    thread::sleep(Duration::from_millis(1_500));
    assert_eq!(member.assign(&places(&assigned, 1, 0)).expect("assign"), None);
    assert_eq!(member.ownership().metadata_if(member.ownership().token()), None);
    other.close(Leave::AtOnce).expect("close");
    let again = loop {
        match next_event(&mut member) {
            Event::Assigned(partitions) if partitions.len() == 2 => break partitions,
            Event::Assigned(partitions) => drop(member.assign(&places(&partitions, 1, 0)).expect("assign")),
            _ => drop(member.release().expect("release")),
        }
    };
    let token = member.assign(&places(&again, 1, 0)).expect("assign").expect("not void");
    assert!(member.ownership().metadata_if(token).is_some());
}

/// What a second process with the same host id gets, and what the first.
fn twins(protocol: &str) -> (Option<KafkaError>, Option<KafkaError>, bool) {
    let topic = format!("twins-{protocol}");
    create(&topic, 2, &[]);
    let (properties, settings) =
        (properties(&[("group.protocol", protocol)]), settings(&topic, Some("h"), &[&topic], 1));
    let (mut first, _readers, token) = join(&properties, &settings, 2);
    let ownership = first.ownership();
    let (mut second, _others) = Member::join(&properties, &settings).expect("join");
    let mut errors = (None, None);
    let is_telling = |e: &KafkaError| matches!(e, KafkaError::Fenced(_)) || e.to_string().contains("earlier process");
    until("one of them is told", || {
        for (member, error) in [(&mut first, &mut errors.0), (&mut second, &mut errors.1)] {
            match member.poll(STEP) {
                Some(Event::Error(e)) if is_telling(&e) => *error = Some(e),
                Some(Event::Assigned(partitions)) => drop(member.assign(&places(&partitions, 1, 0)).expect("assign")),
                _ => {}
            }
        }
        errors.0.is_some() || errors.1.is_some()
    });
    (errors.0, errors.1, ownership.metadata_if(token).is_some())
}

#[test]
fn with_the_classic_protocol_the_second_of_two_with_one_id_fences_the_first() {
    let (first, second, commits) = twins("classic");
    assert!(matches!(&first, Some(KafkaError::Fenced(text)) if text.contains("state directory")), "{first:?}");
    assert!(second.is_none() && !commits, "{second:?}");
}

#[test]
fn with_the_newer_protocol_the_second_of_two_with_one_id_has_to_wait() {
    let (first, second, commits) = twins("consumer");
    assert!(matches!(second, Some(KafkaError::Retry(_))), "{second:?}");
    assert!(first.is_none() && commits, "{first:?}");
}

/// The second asks by one client after another until the first is gone, and its readers, which waited meanwhile, read on.
#[test]
fn with_the_newer_protocol_who_has_to_wait_is_let_in_once_the_other_is_gone() {
    let topic = "heir-apparent";
    create(topic, 2, &[]);
    fill(topic, 2, 0, 500);
    let (properties, ledger) = (properties(&[("group.protocol", "consumer")]), Arc::new(Ledger::default()));
    let start = || Host::start(&properties, &settings(topic, Some("h"), &[topic], 2), &ledger);
    let first = start();
    until("the first has both", || first.owns() == 2);
    let second = start();
    let told = || second.events.lock().unwrap().iter().filter(|e| matches!(e, Event::Error(_))).count();
    until("the second is told", || told() > 0);
    // Some more clients are refused.
    thread::sleep(Duration::from_secs(4));
    assert_eq!((second.owns(), second.rebalances(), told()), (0, 0, 1));
    first.stop(Leave::AfterSession);
    until("the second has both", || second.owns() == 2);
    fill(topic, 2, 500, 500);
    ledger.complete(topic, 2, 1_000);
    second.stop(Leave::AtOnce);
}

/// A host may be told to end at any moment: while it prepares an answer, and while what it was given has not even been looked at.
fn ends_without_an_answer(protocol: &str) {
    let topic = format!("unanswered-{protocol}");
    create(&topic, 2, &[]);
    let (properties, settings) = (properties(&[("group.protocol", protocol)]), settings(&topic, None, &[&topic], 1));
    let join = || Member::join(&properties, &settings).expect("join");
    let (mut told, _readers) = join();
    expect_assigned(&mut told);
    told.close(Leave::AtOnce).expect("close with an assignment that was told");
    let (untold, _readers) = join();
    // By then the client has it.
    thread::sleep(Duration::from_secs(6));
    untold.close(Leave::AtOnce).expect("close with an assignment that was not told");
    let (mut owner, _readers, _) = crate::support::join(&properties, &settings, 2);
    let (mut other, _others) = join();
    until("it is asked to give one back", || {
        drop(other.poll(STEP));
        matches!(owner.poll(STEP), Some(Event::Revoked(_)))
    });
    owner.close(Leave::AtOnce).expect("close with partitions to be given back");
    other.close(Leave::AtOnce).expect("close");
}

#[test]
fn a_classic_member_ends_without_an_answer() {
    ends_without_an_answer("classic");
}

#[test]
fn a_member_of_the_newer_protocol_ends_without_an_answer() {
    ends_without_an_answer("consumer");
}

/// It ends at each moment of its joining, polled until then and not polled, with and without a place to keep.
fn ends_at_any_moment(protocol: &str) {
    let topic = format!("moments-{protocol}");
    create(&topic, 2, &[]);
    let properties = properties(&[("group.protocol", protocol)]);
    for (name, polled) in [(None, false), (None, true), (Some("h"), false), (Some("h"), true)] {
        for moment in 0..MOMENTS {
            let (mut member, _readers) =
                Member::join(&properties, &settings(&topic, name, &[&topic], 1)).expect("join");
            let until = Instant::now() + MOMENT * moment;
            while Instant::now() < until {
                if polled {
                    drop(member.poll(Duration::from_millis(5)));
                } else {
                    thread::sleep(Duration::from_millis(5));
                }
            }
            let leave = if name.is_some() { Leave::AfterSession } else { Leave::AtOnce };
            let ended = member.close(leave);
            assert!(ended.is_ok(), "{name:?}, polled: {polled}, after {:?}: {ended:?}", MOMENT * moment);
        }
    }
}

#[test]
fn a_classic_member_ends_at_any_moment() {
    ends_at_any_moment("classic");
}

#[test]
fn a_member_of_the_newer_protocol_ends_at_any_moment() {
    ends_at_any_moment("consumer");
}

#[test]
fn wrong_answers_are_refused_and_the_right_one_is_still_taken() {
    create("answers", 2, &[]);
    let (mut member, readers) =
        Member::join(&properties(&[]), &settings("answers", None, &["answers"], 2)).expect("join");
    assert!(matches!(member.assign(&[]), Err(KafkaError::Refused(_))), "nothing was asked");
    assert!(matches!(member.release(), Err(KafkaError::Refused(_))), "nothing was asked");
    let assigned = expect_assigned(&mut member);
    let right = places(&assigned, readers.len(), 0);
    let wrong = |change: &dyn Fn(&mut Vec<_>), why: &str, member: &mut Member| {
        let mut places = right.clone();
        change(&mut places);
        match member.assign(&places) {
            Err(KafkaError::Refused(text)) => assert!(text.contains(why), "{text}"),
            other => panic!("{other:?}"),
        }
    };
    wrong(&|p| drop(p.pop()), "answers/1 was assigned and has no place", &mut member);
    wrong(&|p| p[0].partition = tp("answers", 7), "answers/", &mut member);
    wrong(&|p| p[0].worker = 2, "worker 2", &mut member);
    wrong(&|p| p[0].start = -1, "from offset -1", &mut member);
    wrong(&|p| (p[1].worker, p[1].tag) = (p[0].worker, p[0].tag), "calls both", &mut member);
    wrong(&|p| p.push(p[0].clone()), "several places", &mut member);
    assert!(member.assign(&right).expect("assign").is_some());
}
