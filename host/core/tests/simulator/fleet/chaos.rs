//! What happens to a fleet, in which order; then all goes well until nothing moves.

use std::collections::{BTreeMap, BTreeSet};

use millstream_core::task::TaskId;
use millstream_core::worker::Input;

use super::Fleet;
use super::commit::Life;
use super::host::Host;
use super::open::RETENTION_MS;

/// Steps of chaos.
const CHAOS_STEPS: u64 = 800;

/// Rounds in which nothing may move before the end, and the most that it may take.
const QUIET_ROUNDS: u32 = 12;
const ROUNDS_MAX: u32 = 5_000;

/// Milliseconds of a quiet round.
const ROUND_MS: i64 = 50;

/// Calls that a host makes for its commit and its tasks in a quiet round, at the most.
const CALLS_A_ROUND: u32 = 1_000;

/// Turns at the control log that a host has in a quiet round, and rounds after which nothing is left to do there.
const TURNS_A_ROUND: u32 = 4;
const SWAPS_ROUNDS_MAX: u32 = 100;

/// Runs a fleet to its end.
///
/// # Errors
/// What differs from the oracle.
pub fn run(mut fleet: Fleet) -> Result<(), String> {
    let mut hosts: Vec<Host> = (0..fleet.case.workers).map(Host::new).collect();
    let first = 1 + fleet.rng.below(hosts.len() as u64) as usize;
    hosts[..first].iter_mut().for_each(|host| fleet.start(host));
    for _ in 0..CHAOS_STEPS {
        feed(&mut fleet, false);
        disturb(&mut fleet, &mut hosts)?;
        for host in &mut hosts {
            turn(&mut fleet, host)?;
        }
    }
    feed(&mut fleet, true);
    fleet.away = 0;
    let (mut quiet, mut before) = (0, (0, 0));
    for round in 0..ROUNDS_MAX {
        settle(&mut fleet, &mut hosts)?;
        if round == SWAPS_ROUNDS_MAX {
            fleet.versions_agree(&hosts)?;
        }
        let settled = |h: &Host| h.process.as_ref().is_some_and(|p| p.is_settled() && !p.is_outside());
        let swapping = !fleet.swaps_are_over(&hosts);
        let busy = swapping || fleet.broker.busy() || fleet.group.is_pending() || !hosts.iter().all(settled);
        let tasks = hosts.iter().filter_map(|h| h.process.as_ref()).flat_map(|p| p.watched.worker.tasks());
        let now = (fleet.broker.decided, tasks.flat_map(|t| t.positions()).sum::<i64>());
        quiet = if now == before && !busy { quiet + 1 } else { 0 };
        before = now;
        if quiet > QUIET_ROUNDS {
            fleet.versions_agree(&hosts)?;
            fleet.versions_at_rest()?;
            return fleet.at_rest();
        }
    }
    Err("it never comes to rest".into())
}

/// More of the input is there; `all`: everything.
fn feed(fleet: &mut Fleet, all: bool) {
    for log in fleet.broker.logs.values_mut() {
        let Some(visible) = &mut log.visible else { continue };
        let more = if all { log.entries.len() } else { fleet.rng.below(8) as usize / 6 };
        *visible = (*visible + more).min(log.entries.len());
    }
}

/// Begins a rebalance among those who are in and those who wait.
fn rebalance(fleet: &mut Fleet, hosts: &[Host]) {
    let outside = |h: &&Host| h.process.as_ref().is_some_and(|p| p.is_outside());
    let inside = hosts.iter().filter(|h| fleet.group.is_member(h.number));
    let wanted: BTreeSet<usize> = hosts.iter().filter(outside).chain(inside).map(|h| h.number).collect();
    let members: Vec<usize> = wanted.iter().copied().collect();
    if members.is_empty() {
        return;
    }
    let mut assignment: BTreeMap<TaskId, usize> = BTreeMap::new();
    for task in fleet.tasks() {
        // Mostly where it is.
        let now = members.iter().find(|host| fleet.group.tasks(**host).contains(&task)).copied();
        let anew = *fleet.rng.pick(&members);
        assignment.insert(task, now.filter(|_| !fleet.rng.one_in(3)).unwrap_or(anew));
    }
    fleet.group.begin(assignment, wanted);
}

/// What comes from outside: deaths, stalls, rebalances, brokers that are away, versions, compaction, time.
fn disturb(fleet: &mut Fleet, hosts: &mut [Host]) -> Result<(), String> {
    let (faults, case) = (fleet.case.faults, fleet.case.clone());
    let host = fleet.rng.below(hosts.len() as u64) as usize;
    if faults && fleet.rng.one_in(200) {
        die(fleet, &mut hosts[host]);
    }
    if faults && fleet.rng.one_in(100) {
        hosts[host].stalled = 10 + fleet.rng.below(60);
    }
    fleet.away = fleet.away.saturating_sub(1);
    if faults && fleet.rng.one_in(150) {
        fleet.away = 10 + fleet.rng.below(120);
    }
    if hosts[host].process.is_none() && fleet.away == 0 && fleet.rng.one_in(10) {
        fleet.start(&mut hosts[host]);
    }
    let moves = fleet.group.generation == 0 || fleet.rng.one_in(60);
    if moves && !fleet.group.is_pending() {
        rebalance(fleet, hosts);
    }
    let late = faults && fleet.rng.one_in(15);
    fleet.group.end(late);
    if faults && fleet.rng.one_in(120) {
        fleet.broker.time_out(&hosts[host].id());
    }
    if case.swaps && fleet.rng.one_in(60) {
        let dies = fleet.propose(&mut hosts[host])?;
        if dies {
            die(fleet, &mut hosts[host]);
        }
    }
    // Markers come at once, or late.
    let marks = if fleet.slow { u64::from(fleet.rng.one_in(6)) } else { fleet.rng.below(3) };
    for _ in 0..marks {
        let nth = fleet.rng.next();
        fleet.broker.mark(nth);
    }
    if fleet.rng.one_in(4) {
        compact(fleet);
    }
    if fleet.rng.one_in(6) {
        let nth = fleet.rng.next();
        hosts[host].directory.flush(nth);
    }
    let passed = fleet.rng.below(10) as i64;
    fleet.clock += passed;
    fleet.now += match fleet.rng.below(30) {
        0 if case.jumps => fleet.rng.below(2_000) as i64,
        1 if case.jumps => -(fleet.rng.below(2_000) as i64),
        _ => passed,
    };
    if case.swaps {
        fleet.wait_for_proposals();
    }
    Ok(())
}

fn compact(fleet: &mut Fleet) {
    let places: Vec<_> = fleet.broker.logs.keys().filter(|(topic, _)| topic.ends_with("-changelog")).cloned().collect();
    if !places.is_empty() {
        let place = fleet.rng.pick(&places).clone();
        let below = fleet.rng.below(fleet.broker.logs[&place].end() as u64 + 1) as i64;
        fleet.broker.compact(&place, below, fleet.clock, RETENTION_MS);
    }
}

fn die(fleet: &mut Fleet, host: &mut Host) {
    host.process = None;
    let dice = fleet.rng.next();
    host.directory.crash(|task| (dice >> (task.partition % 60)) & 1 == 1);
    // Its session may end at once or only when it does not answer.
    if fleet.rng.one_in(2) {
        fleet.group.leave(host.number);
    }
}

/// A process reads the control log beside all else that it does, each at its own pace.
fn follow(fleet: &mut Fleet, host: &mut Host) -> Result<(), String> {
    let Some(process) = &host.process else { return Ok(()) };
    if fleet.case.swaps && fleet.control.rng.one_in(process.follower.pace) {
        fleet.hear(host, fleet.case.faults)?;
    }
    Ok(())
}

/// One thing happens in one host.
fn turn(fleet: &mut Fleet, host: &mut Host) -> Result<(), String> {
    if host.stalled > 0 {
        host.stalled -= 1;
        return Ok(());
    }
    follow(fleet, host)?;
    let Some(process) = &host.process else { return Ok(()) };
    let refusing = fleet.case.flaky && fleet.rng.one_in(50);
    if fleet.rng.one_in(3) {
        return fleet.poll(host);
    }
    let opening: Vec<TaskId> = process.opening.keys().copied().collect();
    let drain = fleet.rng.one_in(4);
    match fleet.rng.below(12) {
        0..=2 => fleet.fetch(host, true)?,
        3..=5 => {
            host.directory.refuse(refusing);
            let stepped = fleet.step(host, if drain { Input::Drain } else { Input::Tick });
            host.directory.refuse(false);
            stepped?;
        }
        6 => fleet.hear(host, fleet.case.faults)?,
        7 | 8 => {
            for _ in 0..if fleet.slow { 1 } else { 3 } * opening.len() {
                let task = *fleet.rng.pick(&opening);
                fleet.advance_opening(host, task)?;
            }
        }
        _ => {
            // One call at a time, or several before anybody else has a turn.
            for _ in 0..1 + fleet.rng.below(4) {
                let faults = fleet.case.faults;
                if fleet.advance_commit(host, faults)? == Life::Dead {
                    die(fleet, host);
                }
            }
        }
    }
    Ok(())
}

/// A round without faults, in which everybody is there.
fn settle(fleet: &mut Fleet, hosts: &mut [Host]) -> Result<(), String> {
    for host in hosts.iter_mut() {
        if host.process.is_none() {
            fleet.start(host);
        }
        host.stalled = 0;
        for _ in 0..TURNS_A_ROUND {
            fleet.hear(host, false)?;
        }
        fleet.poll(host)?;
        for _ in 0..CALLS_A_ROUND {
            if host.process.as_ref().is_none_or(|p| p.is_settled()) {
                break;
            }
            let opening: Vec<TaskId> = host.process.iter().flat_map(|p| p.opening.keys().copied()).collect();
            opening.into_iter().try_for_each(|task| fleet.advance_opening(host, task))?;
            fleet.advance_commit(host, false)?;
            while fleet.broker.mark(0) {}
        }
        while fleet.broker.mark(0) {}
        fleet.fetch(host, false)?;
        fleet.step(host, Input::Tick)?;
    }
    let outside = hosts.iter().any(|h| h.process.as_ref().is_some_and(|p| p.is_outside()));
    if outside && !fleet.group.is_pending() && !hosts.iter().all(|h| fleet.group.is_member(h.number)) {
        rebalance(fleet, hosts);
    }
    fleet.group.end(false);
    fleet.clock += ROUND_MS;
    fleet.now += ROUND_MS;
    Ok(())
}
