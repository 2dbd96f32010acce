//! What happens to the hosts of a world, in which order; then all goes well until nothing moves.

use millstream_core::task::TaskId;
use millstream_core::worker::Input;

use super::world::{Host, World};

/// Steps of chaos.
const CHAOS_STEPS: u64 = 150;

/// Rounds in which nothing may move before the end, and the most that it may take.
const QUIET_ROUNDS: u32 = 12;
const ROUNDS_MAX: u32 = 5_000;

/// Milliseconds of a quiet round.
const ROUND_MS: i64 = 50;

/// Runs a world to its end.
///
/// # Errors
/// What differs from the oracle.
pub fn run(mut world: World) -> Result<(), String> {
    let mut hosts = start_all(&mut world)?;
    for _ in 0..CHAOS_STEPS {
        world.feed(false);
        disturb(&mut world, &mut hosts)?;
        let at = world.rng.below(hosts.len() as u64) as usize;
        turn(&mut world, &mut hosts, at)?;
    }
    world.feed(true);
    let (mut quiet, mut size) = (0, (0, 0));
    for _ in 0..ROUNDS_MAX {
        hosts.iter_mut().try_for_each(|host| settle(&mut world, host))?;
        world.now += ROUND_MS;
        let busy = hosts.iter().any(|h| h.watched.worker.committing() || !h.stopped.is_empty());
        let taken = hosts.iter().flat_map(|h| h.watched.worker.tasks()).flat_map(|t| t.positions()).sum::<i64>();
        let now = (world.size(), taken);
        quiet = if now == size && !busy { quiet + 1 } else { 0 };
        size = now;
        if quiet > QUIET_ROUNDS {
            return world.at_rest();
        }
    }
    Err("it never comes to rest".into())
}

/// Starts every host anew, tasks spread at random.
fn start_all(world: &mut World) -> Result<Vec<Host>, String> {
    let mut shares = vec![Vec::new(); world.case.workers];
    for (sub, s) in world.topology.clone().subs.iter().enumerate() {
        for partition in 0..s.tasks {
            let worker = world.rng.below(shares.len() as u64) as usize;
            shares[worker].push(TaskId { sub, partition });
        }
    }
    shares.into_iter().map(|share| world.start(share)).collect()
}

/// What comes from outside: deaths, moves, versions, retention, the clock.
fn disturb(world: &mut World, hosts: &mut Vec<Host>) -> Result<(), String> {
    let (faults, case) = (world.case.faults, world.case.clone());
    if faults && world.rng.one_in(60) {
        *hosts = start_all(world)?;
    }
    if faults && world.rng.one_in(40) {
        let at = world.rng.below(hosts.len() as u64) as usize;
        hosts[at] = restarted(world, &hosts[at])?;
    }
    if faults && world.rng.one_in(20) {
        move_one(world, hosts)?;
    }
    if case.swaps && world.rng.one_in(40) {
        world.swap(hosts);
    }
    if case.gaps && world.rng.one_in(30) {
        world.retain();
    }
    world.now += match world.rng.below(30) {
        0 if case.jumps => world.rng.below(2_000) as i64,
        1 if case.jumps => -(world.rng.below(2_000) as i64),
        _ => world.rng.below(15) as i64,
    };
    Ok(())
}

fn restarted(world: &mut World, dead: &Host) -> Result<Host, String> {
    let tasks = dead.tasks.clone();
    world.start(tasks)
}

/// A task moves to another host, which may not have heard of all versions yet.
fn move_one(world: &mut World, hosts: &mut [Host]) -> Result<(), String> {
    let count = hosts.len() as u64;
    let (from, to) = (world.rng.below(count) as usize, world.rng.below(count) as usize);
    if from == to || hosts[from].tasks.is_empty() || hosts[from].watched.worker.committing() {
        return Ok(());
    }
    let at = world.rng.below(hosts[from].tasks.len() as u64) as usize;
    let task = hosts[from].tasks.remove(at);
    hosts[from].stopped.retain(|t| *t != task);
    world.step(&mut hosts[from], Input::Close { task })?;
    hosts[to].tasks.push(task);
    world.open(&mut hosts[to], task)
}

/// One thing happens to one host.
fn turn(world: &mut World, hosts: &mut [Host], at: usize) -> Result<(), String> {
    let host = &mut hosts[at];
    let refusing = world.case.flaky && world.rng.one_in(50);
    world.db.refuse(refusing);
    let drain = world.rng.one_in(4);
    let done = match world.rng.below(7) {
        0 | 1 => world.fetch(host, true).map(|()| true),
        2 | 3 => world.step(host, if drain { Input::Drain } else { Input::Tick }).map(|()| true),
        4 => world.hear(host).map(|()| true),
        5 => reopen(world, host).map(|()| true),
        _ => match host.effects.pop_front() {
            Some(effect) => world.perform(host, effect, world.case.faults),
            None => Ok(true),
        },
    };
    world.db.refuse(false);
    if !done? {
        hosts[at] = restarted(world, &hosts[at])?;
    }
    Ok(())
}

/// Opens what has stopped in passing. While its last interval is being committed the worker refuses, and it is tried again.
fn reopen(world: &mut World, host: &mut Host) -> Result<(), String> {
    let stopped = std::mem::take(&mut host.stopped);
    stopped.into_iter().try_for_each(|task| world.open(host, task))
}

/// A round without faults.
fn settle(world: &mut World, host: &mut Host) -> Result<(), String> {
    while !host.watched.unheard.is_empty() {
        world.hear(host)?;
    }
    reopen(world, host)?;
    world.fetch(host, false)?;
    world.step(host, Input::Tick)?;
    while let Some(effect) = host.effects.pop_front() {
        world.perform(host, effect, false)?;
    }
    Ok(())
}
