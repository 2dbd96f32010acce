//! What the tests of this crate share: a registry, components, batches, and one door to a call. No tests.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use millstream_core::function::{Answer, Context, Functions, Groups, Interface, Kept, Output, Prepared, Records};
use millstream_core::record::{BytesColumn, Timestamp};
use millstream_wasm::{Compiler, Config, Limits, LogLine, Refusal, Registry, WORKER_STACK_BYTES, WorkerFunctions};

/// The compiling child of these tests.
pub fn compiler() -> Compiler {
    Compiler { program: PathBuf::from(env!("CARGO_BIN_EXE_compile-function")), args: Vec::new() }
}

/// Settings of a host with one worker and a temporary cache.
pub fn config() -> Config {
    Config::new(compiler(), 1)
}

/// A host with one worker.
pub fn registry() -> Arc<Registry> {
    Arc::new(Registry::new(config()).unwrap())
}

/// A host whose functions log into a list: number of the version, level, text (or its length), lines dropped before.
pub fn listening() -> (Arc<Registry>, Arc<Mutex<Vec<String>>>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let heard = lines.clone();
    let mut config = config();
    config.log = Arc::new(move |line: &LogLine<'_>| {
        let LogLine { function, level, message, dropped, component, place: _ } = *line;
        assert_eq!(component.len(), 64);
        let shown = if message.len() > 120 { format!("{} bytes", message.len()) } else { message.to_string() };
        heard.lock().unwrap().push(format!("{:?} {level:?} {shown} {dropped}", function.map(|f| f.0)));
    });
    (Arc::new(Registry::new(config).unwrap()), lines)
}

/// A sample function that `./x guests` built.
pub fn udf(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("MILLSTREAM_UDFS").expect("MILLSTREAM_UDFS names no folder: run ./x test");
    let path = Path::new(&folder).join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}: run ./x test", path.display()))
}

/// Names of a sample in Rust and in these other languages, without those that a build of some languages has left out.
pub fn in_languages(name: &str, languages: &[&str]) -> Vec<String> {
    let folder = std::env::var_os("MILLSTREAM_UDFS").expect("MILLSTREAM_UDFS names no folder: run ./x test");
    let all_are_built = std::env::var_os("MILLSTREAM_LANGUAGES").is_none();
    let others = languages.iter().map(|language| format!("{name}-{language}"));
    let built = others.filter(|other| all_are_built || Path::new(&folder).join(format!("{other}.wasm")).exists());
    std::iter::once(name.to_owned()).chain(built).collect()
}

/// A component from its text.
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"))
}

/// A component around a core module `$m` that exports `memory`, `realloc` and the filter's `keep`, as its text.
pub fn filter_wat(module: &str) -> Vec<u8> {
    wat(&filter_text(module))
}

/// The text of that component.
pub fn filter_text(module: &str) -> String {
    include_str!("../../../../udfs/misbehaving-wat/filter.wat").replace(";; the module stands here", module)
}

/// Runs on a thread with a worker's stack.
pub fn worker<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn_scoped(scope, f).unwrap();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Columns of records that own themselves.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub keys: BytesColumn,
    pub values: BytesColumn,
    pub timestamps: Vec<Timestamp>,
}

impl Batch {
    /// Records without keys, one for each value, a second apart.
    pub fn of_values(values: &[Option<&[u8]>]) -> Self {
        Self {
            keys: BytesColumn::nulls(values.len()),
            values: values.iter().copied().collect(),
            timestamps: (0..values.len() as i64).map(|i| i * 1000).collect(),
        }
    }

    /// The same from texts.
    pub fn of(values: &[&str]) -> Self {
        let values: Vec<_> = values.iter().map(|v| Some(v.as_bytes())).collect();
        Self::of_values(&values)
    }

    /// As the core hands it over.
    pub fn records(&self) -> Records<'_> {
        Records { keys: &self.keys, values: &self.values, timestamps: &self.timestamps }
    }
}

/// A column of texts.
pub fn column(items: &[Option<&str>]) -> BytesColumn {
    items.iter().map(|i| i.map(str::as_bytes)).collect()
}

/// Prepares a component for one interface, without settings.
pub fn prepare(registry: &Registry, component: &[u8], needed: Interface) -> Prepared {
    registry.prepare(component, None, &[], &Limits::default(), &[needed]).unwrap()
}

/// Reasons against a component, one a line.
pub fn reasons(refused: Result<Prepared, Refusal>) -> String {
    match refused {
        Err(Refusal::Component(reasons)) => reasons.join("\n"),
        other => format!("{other:?}"),
    }
}

/// What to ask of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Keep,
    Apply,
    Add,
    Finish,
    Merge,
    /// From layout 0 to the current one.
    Migrate,
}

/// A function on a worker of its own, ready for calls.
pub struct Tried {
    pub registry: Arc<Registry>,
    pub functions: WorkerFunctions,
    pub prepared: Prepared,
}

impl Tried {
    /// Prepared on a host of its own.
    pub fn new(component: &[u8], ask: Ask, limits: &Limits) -> Self {
        Self::on(registry(), component, ask, limits)
    }

    /// Prepared on this host.
    pub fn on(registry: Arc<Registry>, component: &[u8], ask: Ask, limits: &Limits) -> Self {
        let needed = match ask {
            Ask::Keep => Interface::Filter,
            Ask::Apply => Interface::Mapper,
            Ask::Add | Ask::Finish => Interface::Aggregator,
            Ask::Merge => Interface::Merger,
            Ask::Migrate => Interface::Migrator,
        };
        let prepared = registry.prepare(component, None, &[], limits, &[needed]).unwrap();
        Self { functions: WorkerFunctions::new(registry.clone()), registry, prepared }
    }

    pub fn keep(&mut self, batch: &Batch) -> Answer<Kept> {
        self.functions.keep(self.prepared, Context::default(), batch.records())
    }

    pub fn apply(&mut self, batch: &Batch) -> Answer<Output> {
        self.functions.apply(self.prepared, Context::default(), batch.records())
    }

    /// Asks about the batch, whose values are also the states and keys of groups of one record each; gives the fault in
    /// its own words, or `ok`.
    pub fn fault(&mut self, ask: Ask, batch: &Batch) -> String {
        let answer = self.ask(ask, batch);
        answer.map_or_else(|fault| fault.to_string(), |()| "ok".to_string())
    }

    fn ask(&mut self, ask: Ask, batch: &Batch) -> Answer<()> {
        let (prepared, context, values) = (self.prepared, Context::default(), &batch.values);
        let functions = &mut self.functions;
        let members: Vec<u32> = (0..values.len() as u32).collect();
        let offsets: Vec<u32> = (0..=values.len() as u32).collect();
        let none = BytesColumn::nulls(values.len());
        let groups =
            |states| Groups { keys: values, starts: &[], ends: &[], states, offsets: &offsets, members: &members };
        match ask {
            Ask::Keep => functions.keep(prepared, context, batch.records()).map(drop),
            Ask::Apply => functions.apply(prepared, context, batch.records()).map(drop),
            Ask::Add => functions.add(prepared, context, groups(&none), batch.records()).map(drop),
            Ask::Finish => {
                let folded = functions.add(prepared, context, groups(&none), batch.records())?;
                let empty = vec![0; offsets.len()];
                let of = Groups { offsets: &empty, members: &[], ..groups(&folded.states) };
                functions.finish(prepared, of).map(drop)
            }
            Ask::Merge => {
                let folded = functions.add(prepared, context, groups(&none), batch.records())?;
                functions.merge(prepared, values, &folded.states, &folded.states).map(drop)
            }
            Ask::Migrate => {
                let current = functions.layout(prepared);
                functions.migrate(prepared, "", 0, current, values, values).map(drop)
            }
        }
    }
}
