//! Several functions in one file, and settings: what `functions!` makes, and what answers when an instance starts. Not
//! the functions themselves, and no state that lives longer than an instance.

use std::{cell::OnceCell, rc::Rc};

use crate::{
    Aggregator, Batch, BytesColumn, Clock, Filter, Folded, Groups, Host, Joined, Joiner, Kept, Layouts, Mapper, Merge,
    Migrate, OnTimer, OutputColumns, Processor, Retract, Routed, Router, Scanned, Settings,
};

/// One function of a file, as `functions!` describes it.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name, by which a manifest picks it.
    pub name: &'static str,
    /// The exported interfaces that answer for it.
    pub interfaces: &'static [&'static str],
    /// A line for people.
    pub summary: &'static str,
    /// JSON Schema of its settings; empty: it takes none.
    pub settings_schema: &'static str,
    /// Makes it from its settings.
    pub start: fn(&Settings) -> Result<Parts, String>,
}

impl Function {
    /// What is known about it beyond name and interfaces, as the contract's `details`.
    pub fn details(&self) -> Vec<(String, String)> {
        let details = [("summary", self.summary.trim()), ("settings-schema", self.settings_schema)];
        let given = details.into_iter().filter(|(_, text)| !text.is_empty());
        given.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }
}

/// Starts the function `name` of a file; an empty name is the only function of a file with one.
///
/// # Errors
/// In words for people: no such function, or what its settings lack.
pub fn start(functions: &[Function], name: &str, settings: &Settings) -> Result<Parts, String> {
    let function = match functions {
        [only] if name.is_empty() => only,
        _ => functions.iter().find(|function| function.name == name).ok_or_else(|| {
            let known: Vec<_> = functions.iter().map(|function| format!("`{}`", function.name)).collect();
            match name {
                "" => format!("which of its functions is meant: {}?", known.join(", ")),
                _ => format!("there is no function `{name}` in this file; there are {}", known.join(", ")),
            }
        })?,
    };
    let parts = (function.start)(settings)?;
    settings.all_known()?;
    Ok(parts)
}

type FilterCall = Box<dyn Fn(&Batch) -> Kept>;
type MapperCall = Box<dyn Fn(&Batch) -> OutputColumns>;
type FoldCall<T> = Box<dyn Fn(&Groups, &Batch) -> Result<T, String>>;
type FinishCall = Box<dyn Fn(&Groups) -> Result<BytesColumn, String>>;
type MergeCall = Box<dyn Fn(&BytesColumn, &BytesColumn) -> Result<BytesColumn, String>>;
type JoinCall = Box<dyn Fn(&BytesColumn, &BytesColumn, &BytesColumn) -> Joined>;
type RouteCall = Box<dyn Fn(&Batch) -> Routed>;
type ProcessCall = Box<dyn Fn(&Batch, Host<'_>) -> OutputColumns>;
type FireCall = Box<dyn Fn(Clock, &Batch, Host<'_>) -> OutputColumns>;
type MigrateCall = Box<dyn Fn(&str, u32, u32, &BytesColumn, &BytesColumn) -> Result<BytesColumn, String>>;

/// A function that was started: the calls it answers, a batch each.
#[derive(Default)]
pub struct Parts {
    filter: Option<FilterCall>,
    mapper: Option<MapperCall>,
    add: Option<FoldCall<Folded>>,
    finish: Option<FinishCall>,
    remove: Option<FoldCall<Folded>>,
    scan: Option<FoldCall<Scanned>>,
    merge: Option<MergeCall>,
    layouts: Option<Layouts>,
    migrate: Option<MigrateCall>,
    join: Option<JoinCall>,
    route: Option<RouteCall>,
    process: Option<ProcessCall>,
    fire: Option<FireCall>,
}

/// The parts a function has, added by `functions!`.
impl Parts {
    /// It answers `filter`.
    pub fn filter(self, function: &Rc<impl Filter + 'static>) -> Self {
        let function = function.clone();
        Self { filter: Some(Box::new(move |records| crate::keep(&*function, records))), ..self }
    }

    /// It answers `mapper`.
    pub fn mapper(self, function: &Rc<impl Mapper + 'static>) -> Self {
        let function = function.clone();
        Self { mapper: Some(Box::new(move |records| crate::apply(&*function, records))), ..self }
    }

    /// It answers `aggregator`.
    pub fn aggregator(self, function: &Rc<impl Aggregator + 'static>) -> Self {
        let (adds, finishes) = (function.clone(), function.clone());
        Self {
            add: Some(Box::new(move |into, records| crate::add(&*adds, into, records))),
            finish: Some(Box::new(move |of| crate::finish(&*finishes, of))),
            ..self
        }
    }

    /// It answers `scanner`.
    pub fn scanner(self, function: &Rc<impl Aggregator + 'static>) -> Self {
        let function = function.clone();
        Self { scan: Some(Box::new(move |into, records| crate::scan(&*function, into, records))), ..self }
    }

    /// It answers `retractor`.
    pub fn retractor(self, function: &Rc<impl Retract + 'static>) -> Self {
        let function = function.clone();
        Self { remove: Some(Box::new(move |from, records| crate::remove(&*function, from, records))), ..self }
    }

    /// It answers `merger`.
    pub fn merger(self, function: &Rc<impl Merge + 'static>) -> Self {
        let function = function.clone();
        Self { merge: Some(Box::new(move |left, right| crate::merge(&*function, left, right))), ..self }
    }

    /// It answers `migrator`.
    pub fn migrator(self, function: &Rc<impl Migrate + 'static>) -> Self {
        let layouts = Some(crate::layouts(&**function));
        let function = function.clone();
        let migrate: MigrateCall =
            Box::new(move |store, old, new, keys, states| crate::migrate(&*function, store, old, new, keys, states));
        Self { layouts, migrate: Some(migrate), ..self }
    }

    /// It answers `joiner`.
    pub fn joiner(self, function: &Rc<impl Joiner + 'static>) -> Self {
        let function = function.clone();
        Self { join: Some(Box::new(move |keys, left, right| crate::join(&*function, keys, left, right))), ..self }
    }
}

/// The same, of sinks and processors.
impl Parts {
    /// It answers `router`.
    pub fn router(self, function: &Rc<impl Router + 'static>) -> Self {
        let function = function.clone();
        Self { route: Some(Box::new(move |records| crate::route(&*function, records))), ..self }
    }

    /// It answers `processor`.
    pub fn processor(self, function: &Rc<impl Processor + 'static>) -> Self {
        let function = function.clone();
        Self { process: Some(Box::new(move |records, host| crate::process(&*function, records, host))), ..self }
    }

    /// It answers `on-timer`.
    pub fn on_timer(self, function: &Rc<impl OnTimer + 'static>) -> Self {
        let function = function.clone();
        Self { fire: Some(Box::new(move |clock, due, host| crate::fire(&*function, clock, due, host))), ..self }
    }
}

/// The contract's calls. Each is an error where the function does not answer that interface.
impl Parts {
    /// `filter.keep`.
    pub fn keep(&self, records: &Batch) -> Result<Kept, String> {
        Ok(part(&self.filter, "filter")?(records))
    }

    /// `mapper.apply`.
    pub fn apply(&self, records: &Batch) -> Result<OutputColumns, String> {
        Ok(part(&self.mapper, "mapper")?(records))
    }

    /// `aggregator.add`.
    pub fn add(&self, into: &Groups, records: &Batch) -> Result<Folded, String> {
        part(&self.add, "aggregator")?(into, records)
    }

    /// `aggregator.finish`.
    pub fn finish(&self, of: &Groups) -> Result<BytesColumn, String> {
        part(&self.finish, "aggregator")?(of)
    }

    /// `scanner.scan`.
    pub fn scan(&self, into: &Groups, records: &Batch) -> Result<Scanned, String> {
        part(&self.scan, "scanner")?(into, records)
    }

    /// `retractor.remove`.
    pub fn remove(&self, from: &Groups, records: &Batch) -> Result<Folded, String> {
        part(&self.remove, "retractor")?(from, records)
    }

    /// `merger.merge`.
    pub fn merge(&self, left: &BytesColumn, right: &BytesColumn) -> Result<BytesColumn, String> {
        part(&self.merge, "merger")?(left, right)
    }

    /// `migrator.describe`; a function without it writes layout 0 and knows no other.
    pub fn layouts(&self) -> Layouts {
        self.layouts.clone().unwrap_or(Layouts { current: 0, reads: vec![], writes: vec![] })
    }

    /// `migrator.migrate`.
    pub fn migrate(
        &self,
        store: &str,
        old: u32,
        new: u32,
        keys: &BytesColumn,
        states: &BytesColumn,
    ) -> Result<BytesColumn, String> {
        part(&self.migrate, "migrator")?(store, old, new, keys, states)
    }

    /// `joiner.join`.
    pub fn join(&self, keys: &BytesColumn, left: &BytesColumn, right: &BytesColumn) -> Result<Joined, String> {
        Ok(part(&self.join, "joiner")?(keys, left, right))
    }

    /// `router.route`.
    pub fn route(&self, records: &Batch) -> Result<Routed, String> {
        Ok(part(&self.route, "router")?(records))
    }

    /// `processor.process`.
    pub fn process(&self, records: &Batch, host: Host<'_>) -> Result<OutputColumns, String> {
        Ok(part(&self.process, "processor")?(records, host))
    }

    /// `on-timer.fire`.
    pub fn fire(&self, clock: Clock, due: &Batch, host: Host<'_>) -> Result<OutputColumns, String> {
        Ok(part(&self.fire, "on-timer")?(clock, due, host))
    }
}

fn part<'a, T: ?Sized>(part: &'a Option<Box<T>>, interface: &str) -> Result<&'a T, String> {
    part.as_deref().ok_or_else(|| format!("this function has no {interface}; another function of its file may"))
}

thread_local! {
    /// The function this instance was started as. An instance has one thread, and is started once.
    static STARTED: OnceCell<Parts> = const { OnceCell::new() };
}

/// Makes this instance the function `name`.
#[doc(hidden)]
pub fn start_instance(functions: &[Function], name: &str, settings: &Settings) -> Result<(), String> {
    let parts = start(functions, name, settings)?;
    STARTED.with(|started| started.set(parts).map_err(|_| "this instance was started before".to_owned()))
}

/// Calls the function that this instance is.
#[doc(hidden)]
pub fn with_instance<T>(call: impl FnOnce(&Parts) -> Result<T, String>) -> Result<T, String> {
    STARTED.with(|started| match started.get() {
        Some(parts) => call(parts),
        None => Err("`lifecycle.start` was not called on this instance".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Output, Record};

    struct Longer {
        least: usize,
    }

    impl Longer {
        fn new(settings: &Settings) -> Result<Self, String> {
            Ok(Self { least: settings.parsed("least")?.unwrap_or(1) })
        }
    }

    impl Filter for Longer {
        fn keep(&self, record: &Record<'_>) -> Result<bool, crate::Reject> {
            Ok(record.value_or_empty().len() >= self.least)
        }
    }

    fn twice(_: &Record, out: &mut Output) {
        out.emit_same();
        out.emit_same();
    }

    crate::functions! {
        /// Keeps values that are long
        /// enough.
        "longer": filter = Longer::new, settings = r#"{"type":"object"}"#;
        /// Every record twice.
        "twice": mapper = |_| Ok(twice);
        /// Rings after a while.
        "bell": processor + on_timer + migrator = Bell::new;
        /// To the topic that the value names.
        "named": router = |_| Ok(named);
    }

    struct Bell {
        after_ms: i64,
    }

    impl Bell {
        fn new(settings: &Settings) -> Result<Self, String> {
            Ok(Self { after_ms: settings.parsed("after-ms")?.unwrap_or(1_000) })
        }
    }

    impl Processor for Bell {
        fn process(
            &self,
            record: &Record<'_>,
            _: &mut Output<'_>,
            call: &mut crate::Call<'_>,
        ) -> Result<(), crate::Reject> {
            call.store("last").put(b"k", record.value_or_empty());
            call.timers().set(Clock::EventTime, None, "bell", record.timestamp + self.after_ms);
            Ok(())
        }
    }

    impl OnTimer for Bell {
        fn fire(
            &self,
            _: &crate::Timer<'_>,
            out: &mut Output<'_>,
            call: &mut crate::Call<'_>,
        ) -> Result<(), crate::Reject> {
            let last = call.store("last").get(b"k").map(<[u8]>::to_vec);
            out.emit_value(last.as_deref());
            Ok(())
        }
    }

    /// Layout 1 has the store and the key before what layout 0 has.
    impl Migrate for Bell {
        const CURRENT: u32 = 1;
        const READS: &'static [u32] = &[0];
        const WRITES: &'static [u32] = &[];

        fn migrate(&self, stored: &crate::Stored<'_>, _: u32, _: u32, into: &mut Vec<u8>) -> Result<(), String> {
            into.extend([stored.store.as_bytes(), stored.key.unwrap_or_default(), stored.state].concat());
            Ok(())
        }
    }

    fn named(record: &Record) -> Result<Option<String>, crate::Reject> {
        Ok(Some(record.text()?.to_string()))
    }

    #[test]
    fn processors_and_routers_are_started_as_the_others() {
        let bell = start(FUNCTIONS, "bell", &Settings::from([("after-ms", "5")])).unwrap();
        let mut host = crate::TestHost::default();
        bell.process(&batch(), host.lend()).unwrap();
        let (id, due) = host.timers.pop_first().unwrap();
        assert_eq!((id, due), ((Clock::EventTime, None, "bell".into()), 5));
        let due: Batch = [Record { timestamp: due, ..Record::of(b"bell") }].into_iter().collect();
        let rung = bell.fire(Clock::EventTime, &due, host.lend()).unwrap();
        assert_eq!(rung.values.unwrap().get(0), Some(&b"abc"[..]));
        let named = start(FUNCTIONS, "named", &Settings::default()).unwrap();
        assert_eq!(named.route(&batch()).unwrap().topics.get(1), Some(&b"ab"[..]));
        let why = named.process(&batch(), host.lend()).unwrap_err();
        assert_eq!(why, "this function has no processor; another function of its file may");
        assert_eq!(FUNCTIONS[2].interfaces, ["processor", "on-timer", "migrator"]);
    }

    #[test]
    fn a_processor_may_have_a_migrator_of_its_own() {
        let of = |bytes: &'static [u8]| [Some(bytes)].into_iter().collect::<BytesColumn>();
        let bell = start(FUNCTIONS, "bell", &Settings::default()).unwrap();
        assert_eq!(bell.layouts(), Layouts { current: 1, reads: vec![0], writes: vec![] });
        assert_eq!(bell.migrate("last", 0, 1, &of(b":k:"), &of(b"v")), Ok(of(b"last:k:v")));
        // Another function of the file has another layout, or none.
        let named = start(FUNCTIONS, "named", &Settings::default()).unwrap();
        assert_eq!(named.layouts().current, 0);
        let why = named.migrate("last", 0, 1, &of(b"k"), &of(b"v")).unwrap_err();
        assert!(why.starts_with("this function has no migrator"), "{why}");
    }

    fn batch() -> Batch {
        [Record::of(b""), Record::of(b"ab"), Record::of(b"abc")].into_iter().collect()
    }

    #[test]
    fn a_function_is_started_by_its_name_and_settings() {
        let bits = |settings| start(FUNCTIONS, "longer", &settings).unwrap().keep(&batch()).unwrap().bits;
        assert_eq!(bits(Settings::default()), [0b110]);
        assert_eq!(bits(Settings::from([("least", "3")])), [0b100]);
        let twice = start(FUNCTIONS, "twice", &Settings::default()).unwrap();
        assert_eq!(twice.apply(&batch()).unwrap().sources, Some(vec![0, 0, 1, 1, 2, 2]));
        assert!(twice.keep(&batch()).unwrap_err().starts_with("this function has no filter"));
    }

    #[test]
    fn what_cannot_start_says_why() {
        let error = |functions, name, settings| start(functions, name, &settings).err().unwrap();
        let longer = |settings| error(FUNCTIONS, "longer", settings);
        assert_eq!(longer(Settings::from([("last", "3")])), "there is no setting `last`; there are `least`");
        assert!(longer(Settings::from([("least", "x")])).contains("`least` is `x`"));
        let none = Settings::default();
        let known = "there is no function `shorter` in this file; there are `longer`, `twice`, `bell`, `named`";
        assert_eq!(error(FUNCTIONS, "shorter", none.clone()), known);
        assert_eq!(
            error(FUNCTIONS, "", none.clone()),
            "which of its functions is meant: `longer`, `twice`, `bell`, `named`?"
        );
        assert!(start(&FUNCTIONS[..1], "", &none).is_ok());
    }

    #[test]
    fn functions_describe_themselves() {
        assert_eq!(FUNCTIONS[0].interfaces, ["filter"]);
        let detail = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let schema = detail("settings-schema", r#"{"type":"object"}"#);
        assert_eq!(FUNCTIONS[0].details(), [detail("summary", "Keeps values that are long enough."), schema]);
        assert_eq!(FUNCTIONS[1].details(), [detail("summary", "Every record twice.")]);
    }

    #[test]
    fn an_instance_is_started_once_and_before_anything_else() {
        let keep = || with_instance(|parts| parts.keep(&batch()));
        assert_eq!(keep(), Err("`lifecycle.start` was not called on this instance".into()));
        let start = || start_instance(FUNCTIONS, "longer", &Settings::default());
        assert_eq!(start(), Ok(()));
        assert_eq!(keep().unwrap().bits, [0b110]);
        assert_eq!(start(), Err("this instance was started before".into()));
    }
}
