//! The processors of transcripts. A value of `script` is commands, one behind the other with `;` between; `N` is a timer's name, `T`
//! a time, `S` a store:
//!
//! | command | what |
//! |---|---|
//! | `set:N@T`, `cancel:N` | a timer of the record's key, by event time |
//! | `task:N@T`, `untask:N` | a timer of the task |
//! | `wall:N@T`, `unwall:N` | a timer of the record's key, by the wall clock |
//! | `put:S:K:V`, `del:S:K`, `get:S:K` | an entry; what is got is emitted |
//! | `list:S`, `list:S:FROM:TO:LIMIT` | entries in their order, emitted as one value |
//! | `count:S` | how many records of this key there were, kept in the store and emitted |
//! | `emit:V`, `emit:V:OUTPUT`, `emit:V:OUTPUT:LATER` | a result, `LATER` milliseconds behind the record's or the timer's time |
//! | `drop:S` | a store that is not there is opened |
//!
//! Any other command traps where it has a `!`, is refused where it has a `?`, and else does nothing. A timer that fires does what
//! its name says, with `+` for `;`, and emits `NAME@DUE`; there `again:T` sets it again, `T` later,
//! and `stop` cancels it.

use millstream_core::function::*;
use millstream_core::record::BytesColumn;

/// A result: source, port, value, and how much later than its record or timer.
type Result4 = (u32, u32, Vec<u8>, i64);

struct Script<'h> {
    host: &'h mut dyn Hosted,
    results: Vec<Result4>,
    rejected: Vec<Rejection>,
}

fn trap<T>(message: &str) -> Answer<T> {
    Err(Fault::Trap { message: message.into() })
}

fn one(item: Option<&[u8]>) -> BytesColumn {
    [item].into_iter().collect()
}

impl Script<'_> {
    fn store(&self, name: &str) -> Answer<u32> {
        self.host.store(name).map_or_else(|| trap(&format!("no store {name}")), Ok)
    }

    fn get(&mut self, store: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        let store = self.store(store)?;
        match self.host.get(store, &one(Some(key.as_bytes()))) {
            Ok(values) => Ok(values.get(0).map(<[u8]>::to_vec)),
            Err(stop) => trap(&stop.to_string()),
        }
    }

    fn put(&mut self, store: &str, key: &str, value: Option<&str>) -> Answer<()> {
        let store = self.store(store)?;
        let done = self.host.put(store, &one(Some(key.as_bytes())), &one(value.map(str::as_bytes)));
        done.or_else(|stop| trap(&stop.to_string()))
    }

    fn list(&mut self, source: u32, words: &[&str]) -> Answer<()> {
        let store = self.store(words[0])?;
        let at = |i: usize| words.get(i).copied().unwrap_or_default();
        let limit = at(3).parse().unwrap_or(u32::MAX);
        let found = self.host.range(store, at(1).as_bytes(), at(2).as_bytes(), limit);
        let Ok((keys, values)) = found else { return trap("range") };
        let text = |b: Option<&[u8]>| String::from_utf8_lossy(b.unwrap_or(b"-")).into_owned();
        let shown: Vec<_> = (0..keys.len()).map(|i| format!("{}:{}", text(keys.get(i)), text(values.get(i)))).collect();
        self.results.push((source, 0, format!("[{}]", shown.join(",")).into_bytes(), 0));
        Ok(())
    }

    fn timer(&mut self, clock: TimerClock, key: Option<&[u8]>, name: &str, due: Option<i64>) -> Answer<()> {
        let done = match due {
            Some(due) => self.host.set(clock, &one(key), name, &[due]),
            None => self.host.cancel(clock, &one(key), name),
        };
        done.or_else(|stop| trap(&stop.to_string()))
    }

    /// Runs a command for a record or a timer.
    fn run(&mut self, source: u32, key: Option<&[u8]>, command: &str) -> Answer<()> {
        use TimerClock::{EventTime, WallClock};
        let (word, rest) = command.split_once(':').unwrap_or((command, ""));
        let (name, at) = rest.rsplit_once('@').unwrap_or((rest, ""));
        let at = at.parse().unwrap_or(0);
        let parts: Vec<&str> = rest.split(':').collect();
        let text = String::from_utf8_lossy(key.unwrap_or_default()).into_owned();
        match word {
            "set" => self.timer(EventTime, key, name, Some(at)),
            "cancel" => self.timer(EventTime, key, rest, None),
            "task" => self.timer(EventTime, None, name, Some(at)),
            "untask" => self.timer(EventTime, None, rest, None),
            "wall" => self.timer(WallClock, key, name, Some(at)),
            "unwall" => self.timer(WallClock, key, rest, None),
            "put" => self.put(parts[0], parts[1], Some(parts[2])),
            "del" => self.put(parts[0], parts[1], None),
            "get" => {
                let value = self.get(parts[0], parts[1])?.unwrap_or(b"-".to_vec());
                self.results.push((source, 0, value, 0));
                Ok(())
            }
            "count" => {
                let before = self.get(parts[0], &text)?.and_then(|v| String::from_utf8(v).ok()?.parse().ok());
                let count = (before.unwrap_or(0u64) + 1).to_string();
                self.put(parts[0], &text, Some(&count))?;
                self.results.push((source, 0, count.into_bytes(), 0));
                Ok(())
            }
            "list" => self.list(source, &parts),
            "emit" => {
                let port = parts.get(1).and_then(|p| p.parse().ok()).unwrap_or(0);
                let later = parts.get(2).and_then(|p| p.parse().ok()).unwrap_or(0);
                self.results.push((source, port, parts[0].as_bytes().to_vec(), later));
                Ok(())
            }
            "drop" => self.store(rest).map(drop),
            _ if command.contains('!') => trap("unreachable"),
            _ if command.contains('?') => {
                self.results.retain(|r| r.0 != source);
                self.rejected.push(Rejection { index: source, reason: "a question".into() });
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// `times` are those of the records, or of the timers.
    fn output(self, times: &[i64]) -> Output {
        Output {
            taken: times.len() as u32,
            sources: Some(self.results.iter().map(|r| r.0).collect()),
            ports: Some(self.results.iter().map(|r| r.1).collect()),
            values: Some(self.results.iter().map(|r| Some(&r.2[..])).collect()),
            timestamps: Some(self.results.iter().map(|r| times[r.0 as usize] + r.3).collect()),
            rejected: self.rejected,
            ..Output::default()
        }
    }
}

fn text(column: &BytesColumn, i: usize) -> String {
    String::from_utf8_lossy(column.get(i).unwrap_or_default()).into_owned()
}

/// Takes all records: where that is too many, its host finds out. `script-times` emits each value with the stream time, too.
pub fn process(name: &str, context: Context<'_>, records: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
    let mut script = Script { host, results: Vec::new(), rejected: Vec::new() };
    for i in 0..records.keys.len() {
        if name == "script-times" {
            let time = context.stream_times[i];
            script.results.push((i as u32, 0, format!("{}.{time}", text(records.values, i)).into_bytes(), 0));
        }
        for command in text(records.values, i).split(';') {
            script.run(i as u32, records.keys.get(i), command)?;
        }
    }
    Ok(script.output(records.timestamps))
}

pub fn fire(clock: TimerClock, due: Records<'_>, host: &mut dyn Hosted) -> Answer<Output> {
    let mut script = Script { host, results: Vec::new(), rejected: Vec::new() };
    for i in 0..due.keys.len() {
        let (name, at, key) = (text(due.values, i), due.timestamps[i], due.keys.get(i));
        script.results.push((i as u32, 0, format!("{name}@{at}").into_bytes(), 0));
        for command in name.split('+') {
            if let Some(later) = command.strip_prefix("again:") {
                script.timer(clock, key, &name, Some(at + later.parse::<i64>().unwrap_or(0)))?;
            }
            if command == "stop" {
                script.timer(clock, key, &name, None)?;
            }
            script.run(i as u32, key, command)?;
        }
    }
    Ok(script.output(due.timestamps))
}
