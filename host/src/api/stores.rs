//! Questions to stores, answered of a plan and of wherever its tasks can be read, in both modes: which partitions a question is about,
//! what is told of each, and what of those that are not here.

use millstream_core::function::Fault;
use millstream_core::meta::Meta;
use millstream_core::partition::partition_for_key;
use millstream_core::state::query::kinds::{self, Asked, Kind as Holds, Maker, Values};
use millstream_core::state::query::{
    Budget, Calls, Form, Ground, Page, QueryError, Row as Found, Span, What as Ask, results,
};
use millstream_core::task::TaskId;
use millstream_core::time::NEVER;
use millstream_core::topology::graph::{SubTopology, Topology};
use millstream_wasm::WORKER_STACK_BYTES;
use millstream_web::api::{Place, Question, What};
use millstream_web::record::Window;
use millstream_web::types::{AsOf, At, Bytes, NotRead, Row, Rows, Store, StoredValue};
use millstream_web::{ANSWER_BYTES_MAX, Kind, Problem, place_text};

use super::{storage, unknown};
use crate::runtime::query::{Away, Callable, Committed, Holder, Stores};

/// Entries that are looked at for one answer, whether they are in it or not. A look costs a microsecond or few: tens of milliseconds.
pub const LOOKS_MAX: usize = 10_000;

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::BadParameter, detail)
}

fn kind(of: Holds) -> &'static str {
    match of {
        Holds::Rows => "rows",
        Holds::Aggregates => "aggregates",
        Holds::Windows => "windows",
        Holds::Sessions => "sessions",
        Holds::Entries => "entries",
        Holds::Timers => "timers",
        Holds::Ids => "ids",
        Holds::Waiting => "waiting",
        Holds::Sent => "sent",
    }
}

/// The stores of a plan.
pub(super) fn list(topology: &Topology) -> Vec<Store> {
    let mut all = Vec::new();
    for (sub, plan) in topology.subs.iter().enumerate() {
        for (planned, asked) in plan.stores.iter().zip(kinds::stores(plan)) {
            let suits = |what: Ask<'_>| asked.form.is_some_and(|form| what.suits(form));
            let questions = [
                ("key", Ask::Key(&[], Span::ALL)),
                ("keys", Ask::Range(&[], None, Span::ALL)),
                ("windows", Ask::Windows(Span::ALL)),
            ];
            all.push(Store {
                name: planned.name.clone(),
                step: asked.step.clone(),
                sub_topology: sub as u32,
                partitions: plan.tasks,
                kind: kind(asked.kind).into(),
                values: match asked.values {
                    Values::Bytes => "bytes".into(),
                    Values::States => "states".into(),
                    Values::Counts => "counts".into(),
                },
                windowed: matches!(asked.kind, Holds::Windows | Holds::Sessions)
                    || asked.form == Some(Form::WindowedKeys),
                answers: questions.iter().filter(|(_, what)| suits(*what)).map(|(name, _)| name.to_string()).collect(),
                results: asked.function.is_some_and(|maker| maker.finishes),
                reason: asked.kind.refusal().map(str::to_string),
            });
        }
    }
    all
}

/// A store that was found by its name.
struct Named {
    sub: usize,
    asked: Asked,
    form: Form,
}

fn find(topology: &Topology, name: &str) -> Result<Named, Problem> {
    let names: Vec<String> = topology.subs.iter().flat_map(|sub| &sub.stores).map(|store| store.name.clone()).collect();
    let place = |(sub, plan): (usize, &SubTopology)| {
        plan.stores.iter().position(|store| store.name == name).map(|number| (sub, number))
    };
    let found = topology.subs.iter().enumerate().find_map(place);
    let (sub, number) = found.ok_or_else(|| unknown(Kind::UnknownStore, "store", name, &names))?;
    let asked = kinds::stores(&topology.subs[sub]).swap_remove(number);
    let why = asked.kind.refusal().unwrap_or_default();
    let closed = || Problem::new(Kind::StoreClosed, format!("store `{name}` is not to be asked: {why}"));
    let form = asked.form.ok_or_else(closed)?;
    Ok(Named { sub, asked, form })
}

/// What is asked in the core's words.
fn ask<'q>(question: &'q Question, form: Form) -> Result<Ask<'q>, Problem> {
    let (store, spans) = (&question.store, |from: Option<i64>, to: Option<i64>| Span {
        from: from.unwrap_or(i64::MIN),
        to: to.unwrap_or(i64::MAX),
    });
    let what = match &question.what {
        What::Key { from, to, .. } if form == Form::Keys && (from.is_some() || to.is_some()) => {
            return Err(bad(format!("from, to: the keys of store `{store}` have no windows; leave them out")));
        }
        What::Key { key, from, to } => Ask::Key(key, spans(*from, *to)),
        What::Keys { windows: (from, to), .. } if form == Form::Keys && (from.is_some() || to.is_some()) => {
            return Err(bad(format!(
                "window-from, window-to: the keys of store `{store}` have no windows; leave them out"
            )));
        }
        What::Keys { from, to, windows } => Ask::Range(from, to.as_deref(), spans(windows.0, windows.1)),
        What::Windows { from, to } => Ask::Windows(spans(*from, *to)),
    };
    if what.suits(form) {
        return Ok(what);
    }
    Err(bad(format!("the keys of store `{store}` have no windows; ask /v1/stores/{store}/keys")))
}

/// The partitions that a question is about, and whether that is the one where all the answer must be.
fn partitions(question: &Question, named: &Named, tasks: u32) -> Result<(Vec<u32>, bool), Problem> {
    let one = match (&question.what, question.partition) {
        (_, Some(partition)) if partition >= tasks => {
            let detail = format!("store `{}` is in {tasks} partitions, none is {partition}", question.store);
            return Err(Problem::new(Kind::UnknownPartition, detail));
        }
        (_, Some(partition)) => Some(partition),
        (What::Key { key, .. }, None) if named.asked.by_key => Some(partition_for_key(key, tasks)),
        _ => None,
    };
    let from = question.after.as_ref().map(|after| after.partition);
    let wrong = || bad("cursor: it is of an answer to another question");
    match (one, from) {
        (Some(one), Some(from)) if one != from => Err(wrong()),
        (Some(one), _) => Ok((vec![one], true)),
        (None, Some(from)) if from >= tasks => Err(wrong()),
        (None, from) => Ok(((from.unwrap_or(0)..tasks).collect(), false)),
    }
}

/// Answers a question. Where a function is to be called, it is on a thread with room for its stack.
pub(super) fn rows(topology: &Topology, stores: &dyn Stores, question: &Question) -> Result<Rows, Problem> {
    let named = find(topology, &question.store)?;
    if question.results && !named.asked.function.is_some_and(|maker| maker.finishes) {
        return Err(bad(format!(
            "values: what store `{}` has leaves its step as it is: leave it out, or say `values=stored`",
            question.store
        )));
    }
    let maker = named.asked.function.filter(|_| question.results || matches!(named.form, Form::Slices(_)));
    if maker.is_none() {
        return answer(topology, stores, question, &named, None);
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("question".into()).stack_size(WORKER_STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || answer(topology, stores, question, &named, maker));
        let thread = thread.map_err(|why| Problem::new(Kind::Busy, format!("start a thread: {why}")))?;
        thread
            .join()
            .unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "the thread that called a function panicked")))
    })
}

/// `maker`: the function that is to be called for it.
fn answer(
    topology: &Topology,
    stores: &dyn Stores,
    question: &Question,
    named: &Named,
    maker: Option<Maker>,
) -> Result<Rows, Problem> {
    let what = ask(question, named.form)?;
    let (partitions, is_one) = partitions(question, named, topology.subs[named.sub].tasks)?;
    let mut out = Rows { store: question.store.clone(), ..Rows::default() };
    let mut budget = Budget { rows: question.limit, bytes: ANSWER_BYTES_MAX, looks: LOOKS_MAX };
    let (mut after, mut away) = (question.after.as_ref().map(|after| after.at.clone()), Vec::new());
    for partition in partitions {
        let after = after.take().filter(|at| !at.is_empty());
        if budget.is_spent() {
            out.next = Some(place_text(&Place { partition, at: Vec::new() }));
            break;
        }
        // Of a thousand partitions that are empty each costs something too.
        budget.looks -= 1;
        let mut read = |committed: Committed<'_>| -> Result<(), QueryError> {
            let Committed { view, space, prefix, meta } = committed;
            let (kept, closed) = (named.asked.kept(&meta), named.asked.closed(&meta));
            let ground = Ground { view, space, prefix, form: named.form, kept, closed };
            let mut callable = maker.map(|maker| callable(stores, maker, &meta)).transpose()?;
            let reduces = maker.is_some_and(|maker| maker.reduces);
            let mut calls = callable.as_mut().map(|Callable { functions, prepared }| Calls {
                functions,
                prepared: *prepared,
                reduces,
            });
            let Page { mut rows, next } = ground.ask(what, after.as_deref(), &mut budget, calls.as_mut())?;
            let mut values = named.asked.values;
            if let Some(calls) = calls.as_mut().filter(|_| question.results) {
                (rows, values) = (results(rows, calls)?, Values::Bytes);
            }
            out.rows.extend(rows.into_iter().map(|row| told(partition, row, values)));
            out.as_of.push(as_of(partition, &meta, &named.asked.step));
            out.next = next.map(|at| place_text(&Place { partition, at }));
            Ok(())
        };
        match stores
            .look(TaskId { sub: named.sub, partition }, named.asked.number, &mut read)
            .map_err(|why| failed(&question.store, &why))?
        {
            Ok(()) if out.next.is_some() => break,
            Ok(()) => {}
            Err(why) => away.push((partition, why)),
        }
    }
    let missing = missing(stores, named.sub, away);
    // Without it there is no answer.
    if let Some(first) = missing.first()
        && (is_one || out.as_of.is_empty())
    {
        return Err(not_here(&question.store, first));
    }
    out.not_read = missing.into_iter().map(|missing| missing.told).collect();
    if let What::Key { .. } = question.what
        && out.rows.is_empty()
        && out.next.is_none()
        && question.after.is_none()
    {
        return Err(no_key(question, &out));
    }
    Ok(out)
}

/// What a function is called with.
///
/// # Errors
/// [`Fault::Unavailable`], while another version takes over.
fn callable(stores: &dyn Stores, maker: Maker, meta: &Meta) -> Result<Callable, QueryError> {
    let message = || "another version of it is taking over".to_string();
    let callable = stores.functions(maker.function, meta);
    callable.ok_or_else(|| QueryError::Function(Fault::Unavailable { message: message() }))
}

fn failed(store: &str, why: &QueryError) -> Problem {
    match why {
        QueryError::Function(Fault::Unavailable { .. }) => Problem::new(Kind::Busy, format!("store `{store}`: {why}")),
        QueryError::Function(_) | QueryError::Layout { .. } => {
            Problem::new(Kind::FunctionFailed, format!("store `{store}`: {why}"))
        }
        QueryError::Cursor => bad("cursor: it is of an answer to another question"),
        QueryError::Storage(why) => storage(why),
    }
}

fn told(partition: u32, row: Found, values: Values) -> Row {
    let eight: Option<[u8; 8]> = row.value.as_slice().try_into().ok();
    let count = eight.filter(|_| values == Values::Counts).map(i64::from_be_bytes);
    Row {
        partition,
        key: Bytes(row.key),
        window: row.window.map(|(start, end)| Window { start, end: Some(end) }),
        value: count.map_or_else(|| StoredValue::Bytes(Bytes(row.value)), StoredValue::Count),
        timestamp: (row.timestamp != NEVER).then_some(row.timestamp),
    }
}

fn as_of(partition: u32, meta: &Meta, step: &str) -> AsOf {
    let positions = meta.positions.iter().map(|(topic, offset)| At { topic: topic.clone(), offset: *offset });
    let clock = meta.clocks.iter().find(|clock| clock.node == step).map(|clock| clock.closing);
    let observed = || meta.nodes.iter().find(|(name, ..)| name == step).map(|(_, observed, _)| *observed);
    let stream_time = clock.or_else(observed).filter(|time| *time != NEVER);
    AsOf { partition, positions: positions.collect(), stream_time }
}

/// A partition that was not read.
struct Missing {
    told: NotRead,
    /// What that is, where it is all that was asked for.
    kind: Kind,
}

/// Says of partitions that were not read where they are.
fn missing(stores: &dyn Stores, sub: usize, away: Vec<(u32, Away)>) -> Vec<Missing> {
    let elsewhere = away.iter().filter(|(_, why)| *why == Away::NotHere);
    let elsewhere: Vec<TaskId> = elsewhere.map(|(partition, _)| TaskId { sub, partition: *partition }).collect();
    let mut holders = if elsewhere.is_empty() { Vec::new() } else { stores.owners(&elsewhere) }.into_iter();
    let one = |(partition, why): (u32, Away)| {
        let (kind, host, reason) = match why {
            Away::Restoring(why) => (Kind::Restoring, None, why),
            Away::NotHere => match holders.next() {
                Some(Holder::At(host)) => (Kind::Elsewhere, Some(host), "another host has it".to_string()),
                Some(Holder::Unknown(why)) => (Kind::OwnerUnknown, None, why),
                None => (Kind::OwnerUnknown, None, "who has it is not known".to_string()),
            },
        };
        Missing { told: NotRead { partition, host, reason }, kind }
    };
    away.into_iter().map(one).collect()
}

fn not_here(store: &str, missing: &Missing) -> Problem {
    let NotRead { partition, host, reason } = &missing.told;
    let detail = format!("store `{store}`, partition {partition}: {reason}");
    let problem = |detail| Problem::new(missing.kind, detail).of_partition(*partition);
    match host {
        Some(host) => problem(format!("{detail}: ask {host}")).ask(host.clone()),
        None => problem(detail),
    }
}

fn no_key(question: &Question, answer: &Rows) -> Problem {
    let read: Vec<String> = answer.as_of.iter().map(|as_of| as_of.partition.to_string()).collect();
    let windows = match &question.what {
        What::Key { from: None, to: None, .. } => "",
        _ => " in windows that start in this time",
    };
    let detail =
        format!("store `{}` has nothing of the key{windows}; read: partition {}", question.store, read.join(", "));
    let elsewhere = answer.not_read.iter().map(|missing| {
        let NotRead { partition, host, reason } = missing;
        host.as_ref()
            .map_or(format!("partition {partition}: {reason}"), |host| format!("partition {partition}: ask {host}"))
    });
    let problem = Problem::new(Kind::UnknownKey, detail).because(elsewhere.collect());
    match &answer.as_of[..] {
        [only] => problem.of_partition(only.partition),
        _ => problem,
    }
}

#[cfg(test)]
#[path = "stores/tests.rs"]
mod tests;
