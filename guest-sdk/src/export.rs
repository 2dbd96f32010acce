//! The macros by which a guest exports what it has. Natively they make no exports, so that tests need no component.

/// Exports a [`Filter`](crate::Filter): `filter!(only_ip);`
#[macro_export]
macro_rules! filter {
    ($filter:expr) => {
        $crate::columns!(filter, |records: &$crate::Batch| Ok($crate::keep(&$filter, records)));
    };
}

/// Exports a [`Mapper`](crate::Mapper): `mapper!(extract_ip);`
#[macro_export]
macro_rules! mapper {
    ($mapper:expr) => {
        $crate::columns!(mapper, |records: &$crate::Batch| Ok($crate::apply(&$mapper, records)));
    };
}

/// Exports a [`Router`](crate::Router): `router!(by_region);`
#[macro_export]
macro_rules! router {
    ($router:expr) => {
        $crate::columns!(router, |records: &$crate::Batch| Ok($crate::route(&$router, records)));
    };
}

/// Exports an [`Aggregator`](crate::Aggregator): `aggregator!(Count);`
#[macro_export]
macro_rules! aggregator {
    ($aggregator:expr) => {
        $crate::columns!(
            aggregator,
            |into: &$crate::Groups, records: &$crate::Batch| $crate::add(&$aggregator, into, records),
            |of: &$crate::Groups| $crate::finish(&$aggregator, of)
        );
    };
}

/// Exports an [`Aggregator`](crate::Aggregator) for steps that send every intermediate result: `scanner!(Count);`
#[macro_export]
macro_rules! scanner {
    ($aggregator:expr) => {
        $crate::columns!(scanner, |into: &$crate::Groups, records: &$crate::Batch| $crate::scan(
            &$aggregator,
            into,
            records
        ));
    };
}

/// Exports a [`Merge`](crate::Merge) beside its aggregator: `merger!(Count);`
#[macro_export]
macro_rules! merger {
    ($aggregator:expr) => {
        $crate::columns!(merger, |left: &$crate::BytesColumn, right: &$crate::BytesColumn| $crate::merge(
            &$aggregator,
            left,
            right
        ));
    };
}

/// Exports a [`Retract`](crate::Retract) beside its aggregator, for aggregates over tables: `retractor!(Sum);`
#[macro_export]
macro_rules! retractor {
    ($aggregator:expr) => {
        $crate::columns!(retractor, |from: &$crate::Groups, records: &$crate::Batch| $crate::remove(
            &$aggregator,
            from,
            records
        ));
    };
}

/// Exports a [`Processor`](crate::Processor): `processor!(count);`
#[macro_export]
macro_rules! processor {
    ($processor:expr) => {
        $crate::columns!(processor, |records: &$crate::Batch, host| Ok($crate::process(&$processor, records, host)));
    };
}

/// Exports an [`OnTimer`](crate::OnTimer) beside its processor, which may then set timers: `on_timer!(ring);`
#[macro_export]
macro_rules! on_timer {
    ($on_timer:expr) => {
        $crate::columns!(on_timer, |clock, due: &$crate::Batch, host| Ok($crate::fire(&$on_timer, clock, due, host)));
    };
}

/// Exports a [`Migrate`](crate::Migrate) beside its aggregator, scanner or processor: `migrator!(Count);`
#[macro_export]
macro_rules! migrator {
    ($migrator:expr) => {
        $crate::columns!(
            migrator,
            || Ok($crate::layouts(&$migrator)),
            |store: &str, old, new, keys: &$crate::BytesColumn, states: &$crate::BytesColumn| {
                $crate::migrate(&$migrator, store, old, new, keys, states)
            }
        );
    };
}

/// Exports a [`Joiner`](crate::Joiner): `joiner!(beside);`
#[macro_export]
macro_rules! joiner {
    ($joiner:expr) => {
        $crate::columns!(joiner, |keys: &$crate::BytesColumn,
                                  left: &$crate::BytesColumn,
                                  right: &$crate::BytesColumn| Ok($crate::join(
            &$joiner, keys, left, right
        )));
    };
}

/// Exports one or several functions that a manifest picks by name, with settings.
///
/// Each has a line for people (its doc comment), a name, the interfaces it answers, and what makes it from its
/// [`Settings`](crate::Settings): any `fn(&Settings) -> Result<T, String>`. `settings` is the JSON Schema of the settings
/// it takes. The macro leaves a `FUNCTIONS`, by which a native test starts a function as a host would.
///
/// ```
/// use millstream_sdk::{Batch, Filter, Record, Reject, Settings, functions, start};
///
/// struct Longer(usize);
///
/// impl Longer {
///     fn new(settings: &Settings) -> Result<Self, String> {
///         Ok(Self(settings.parsed("least")?.ok_or("the setting `least` is missing")?))
///     }
/// }
///
/// impl Filter for Longer {
///     fn keep(&self, record: &Record<'_>) -> Result<bool, Reject> {
///         Ok(record.value_or_empty().len() >= self.0)
///     }
/// }
///
/// fn has_key(record: &Record) -> bool {
///     record.key.is_some()
/// }
///
/// functions! {
///     /// Keeps values of a least length.
///     "longer": filter = Longer::new, settings = r#"{"properties":{"least":{"type":"integer"}}}"#;
///     /// Keeps records with a key.
///     "with-key": filter = |_| Ok(has_key);
/// }
///
/// let records: Batch = [Record::of(b"a"), Record::of(b"abc")].into_iter().collect();
/// let longer = start(FUNCTIONS, "longer", &Settings::from([("least", "2")])).unwrap();
/// assert_eq!(longer.keep(&records).unwrap().bits, [0b10]);
/// ```
#[macro_export]
macro_rules! functions {
    ($(
        $(#[doc = $summary:literal])+
        $name:literal : $first:ident $(+ $more:ident)* = $make:expr $(, settings = $schema:expr)?;
    )+) => {
        /// The functions of this file.
        pub static FUNCTIONS: &[$crate::Function] = &[$(
            $crate::Function {
                name: $name,
                interfaces: &[$crate::__interface!($first) $(, $crate::__interface!($more))*],
                summary: concat!($($summary),+),
                settings_schema: $crate::__or_empty!($($schema)?),
                start: |settings| {
                    let function = ::std::rc::Rc::new($crate::__made($make, settings)?);
                    Ok($crate::Parts::default().$first(&function)$(.$more(&function))*)
                },
            }
        ),+];
        $crate::columns!(lifecycle, FUNCTIONS);
        $crate::__export_each_once!([no no no no no no no no no no no] $($first $($more)*)+);
    };
}

#[doc(hidden)]
pub fn __made<T>(
    make: impl FnOnce(&crate::Settings) -> Result<T, String>,
    settings: &crate::Settings,
) -> Result<T, String> {
    make(settings)
}

#[doc(hidden)]
#[macro_export]
macro_rules! __or_empty {
    () => {
        ""
    };
    ($text:expr) => {
        $text
    };
}

/// An interface as the contract names it.
#[doc(hidden)]
#[macro_export]
macro_rules! __interface {
    (on_timer) => {
        "on-timer"
    };
    ($other:ident) => {
        stringify!($other)
    };
}

/// Exports each interface that any function has, once: the flags say which were seen.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_each_once {
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] filter $($more:ident)*) => {
        $crate::__export_each_once!([yes $m $a $s $g $i $j $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] mapper $($more:ident)*) => {
        $crate::__export_each_once!([$f yes $a $s $g $i $j $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] aggregator $($more:ident)*) => {
        $crate::__export_each_once!([$f $m yes $s $g $i $j $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] scanner $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a yes $g $i $j $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] merger $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s yes $i $j $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] migrator $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s $g yes $j $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] joiner $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s $g $i yes $r $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] retractor $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s $g $i $j yes $o $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] router $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s $g $i $j $r yes $p $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] processor $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s $g $i $j $r $o yes $t] $($more)*);
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt] on_timer $($more:ident)*) => {
        $crate::__export_each_once!([$f $m $a $s $g $i $j $r $o $p yes] $($more)*);
    };
    ([$($flags:tt)+] $other:ident $($more:ident)*) => {
        compile_error!(concat!(
            "`", stringify!($other), "` is not an interface of functions; there are filter, mapper, aggregator, scanner, \
             merger, migrator, joiner, retractor, router, processor and on_timer"
        ));
    };
    ([$f:tt $m:tt $a:tt $s:tt $g:tt $i:tt $j:tt $r:tt $o:tt $p:tt $t:tt]) => {
        $crate::__export_if!($f filter, |records: &$crate::Batch| $crate::with_instance(|it| it.keep(records)));
        $crate::__export_if!($m mapper, |records: &$crate::Batch| $crate::with_instance(|it| it.apply(records)));
        $crate::__export_if!($a aggregator,
            |into: &$crate::Groups, records: &$crate::Batch| $crate::with_instance(|it| it.add(into, records)),
            |of: &$crate::Groups| $crate::with_instance(|it| it.finish(of)));
        $crate::__export_if!($s scanner,
            |into: &$crate::Groups, records: &$crate::Batch| $crate::with_instance(|it| it.scan(into, records)));
        $crate::__export_if!($g merger,
            |left: &$crate::BytesColumn, right: &$crate::BytesColumn| $crate::with_instance(|it| it.merge(left, right)));
        $crate::__export_if!($i migrator,
            || $crate::with_instance(|it| Ok(it.layouts())),
            |store: &str, old, new, keys: &$crate::BytesColumn, states: &$crate::BytesColumn| {
                $crate::with_instance(|it| it.migrate(store, old, new, keys, states))
            });
        $crate::__export_if!($r retractor,
            |from: &$crate::Groups, records: &$crate::Batch| $crate::with_instance(|it| it.remove(from, records)));
        $crate::__export_if!($j joiner,
            |keys: &$crate::BytesColumn, left: &$crate::BytesColumn, right: &$crate::BytesColumn| {
                $crate::with_instance(|it| it.join(keys, left, right))
            });
        $crate::__export_if!($o router, |records: &$crate::Batch| $crate::with_instance(|it| it.route(records)));
        $crate::__export_if!($p processor,
            |records: &$crate::Batch, host| $crate::with_instance(|it| it.process(records, host)));
        $crate::__export_if!($t on_timer,
            |clock, due: &$crate::Batch, host| $crate::with_instance(|it| it.fire(clock, due, host)));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_if {
    (no $($rest:tt)*) => {};
    (yes $($rest:tt)*) => {
        $crate::columns!($($rest)*);
    };
}

/// Exports an interface by functions on whole columns, which is what the other macros do underneath. For those few
/// functions that are better written so; the columns given back are not checked here, but by the host.
///
/// `filter`, `mapper`, `router`, `scanner`, `merger`, `retractor`, `joiner`, `processor` and `on_timer` take one function,
/// `aggregator` (add, finish) and `migrator` (describe, migrate) take two; `lifecycle` takes the `&[Function]`.
///
/// ```
/// use millstream_sdk::{Batch, Kept, columns};
///
/// /// Keeps records at even times.
/// pub fn even(records: &Batch) -> Result<Kept, String> {
///     let bit = |(index, time): (usize, &i64)| u8::from(time % 2 == 0) << index;
///     let bits = records.timestamps.chunks(8).map(|times| times.iter().enumerate().map(bit).sum()).collect();
///     Ok(Kept { bits, rejected: vec![] })
/// }
///
/// columns!(filter, even);
/// ```
#[macro_export]
macro_rules! columns {
    (filter, $keep:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{filter, filter::exports::millstream::udf::filter::Kept, types};
            struct Exported;
            impl filter::exports::millstream::udf::filter::Guest for Exported {
                fn keep(records: types::Batch) -> ::core::result::Result<Kept, String> {
                    $crate::log::show_panics();
                    ($keep)(&records.into()).map(Into::into)
                }
            }
    filter::export!(Exported with_types_in filter);
        };
    };
    (mapper, $apply:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{mapper, types};
            struct Exported;
            impl mapper::exports::millstream::udf::mapper::Guest for Exported {
                fn apply(records: types::Batch) -> ::core::result::Result<types::Output, String> {
                    $crate::log::show_panics();
                    ($apply)(&records.into()).map(Into::into)
                }
            }
    mapper::export!(Exported with_types_in mapper);
        };
    };
    (router, $route:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{router, router::exports::millstream::udf::router::Routed, types};
            struct Exported;
            impl router::exports::millstream::udf::router::Guest for Exported {
                fn route(records: types::Batch) -> ::core::result::Result<Routed, String> {
                    $crate::log::show_panics();
                    ($route)(&records.into()).map(Into::into)
                }
            }
    router::export!(Exported with_types_in router);
        };
    };
    (aggregator, $add:expr, $finish:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{aggregator, types};
            struct Exported;
            impl aggregator::exports::millstream::udf::aggregator::Guest for Exported {
                fn add(into: types::Groups, records: types::Batch) -> ::core::result::Result<types::Folded, String> {
                    $crate::log::show_panics();
                    ($add)(&into.into(), &records.into()).map(Into::into)
                }
                fn finish(of: types::Groups) -> ::core::result::Result<types::BytesColumn, String> {
                    $crate::log::show_panics();
                    ($finish)(&of.into()).map(Into::into)
                }
            }
    aggregator::export!(Exported with_types_in aggregator);
        };
    };
    (retractor, $remove:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{retractor, types};
            struct Exported;
            impl retractor::exports::millstream::udf::retractor::Guest for Exported {
                fn remove(from: types::Groups, records: types::Batch) -> ::core::result::Result<types::Folded, String> {
                    $crate::log::show_panics();
                    ($remove)(&from.into(), &records.into()).map(Into::into)
                }
            }
    retractor::export!(Exported with_types_in retractor);
        };
    };
    (scanner, $scan:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{scanner, scanner::exports::millstream::udf::scanner::Scanned, types};
            struct Exported;
            impl scanner::exports::millstream::udf::scanner::Guest for Exported {
                fn scan(into: types::Groups, records: types::Batch) -> ::core::result::Result<Scanned, String> {
                    $crate::log::show_panics();
                    ($scan)(&into.into(), &records.into()).map(Into::into)
                }
            }
    scanner::export!(Exported with_types_in scanner);
        };
    };
    (merger, $merge:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{merger, types::BytesColumn};
            struct Exported;
            impl merger::exports::millstream::udf::merger::Guest for Exported {
                fn merge(
                    _keys: BytesColumn,
                    left: BytesColumn,
                    right: BytesColumn,
                ) -> ::core::result::Result<BytesColumn, String> {
                    $crate::log::show_panics();
                    ($merge)(&left.into(), &right.into()).map(Into::into)
                }
            }
    merger::export!(Exported with_types_in merger);
        };
    };
    (migrator, $layouts:expr, $migrate:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{
                migrator, migrator::exports::millstream::udf::migrator::Layouts, types::BytesColumn,
            };
            struct Exported;
            impl migrator::exports::millstream::udf::migrator::Guest for Exported {
                fn describe() -> Layouts {
                    $crate::log::show_panics();
                    let layouts: ::core::result::Result<$crate::Layouts, String> = ($layouts)();
                    layouts.expect("an instance that describes itself was started").into()
                }
                fn migrate(
                    store: String,
                    old: u32,
                    new: u32,
                    keys: BytesColumn,
                    states: BytesColumn,
                ) -> ::core::result::Result<BytesColumn, String> {
                    $crate::log::show_panics();
                    ($migrate)(&store, old, new, &keys.into(), &states.into()).map(Into::into)
                }
            }
    migrator::export!(Exported with_types_in migrator);
        };
    };
    (joiner, $join:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{joiner, joiner::exports::millstream::udf::joiner::Joined, types::BytesColumn};
            struct Exported;
            impl joiner::exports::millstream::udf::joiner::Guest for Exported {
                fn join(
                    keys: BytesColumn,
                    left: BytesColumn,
                    right: BytesColumn,
                ) -> ::core::result::Result<Joined, String> {
                    $crate::log::show_panics();
                    ($join)(&keys.into(), &left.into(), &right.into()).map(Into::into)
                }
            }
    joiner::export!(Exported with_types_in joiner);
        };
    };
    (processor, $process:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{processor, types};
            struct Exported;
            impl processor::exports::millstream::udf::processor::Guest for Exported {
                fn process(records: types::Batch) -> ::core::result::Result<types::Output, String> {
                    $crate::log::show_panics();
                    ($process)(&records.into(), $crate::Host::calling()).map(Into::into)
                }
            }
    processor::export!(Exported with_types_in processor);
        };
    };
    (on_timer, $fire:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{on_timer, types};
            struct Exported;
            impl on_timer::exports::millstream::udf::on_timer::Guest for Exported {
                fn fire(clock: types::Clock, due: types::Batch) -> ::core::result::Result<types::Output, String> {
                    $crate::log::show_panics();
                    let clock = match clock {
                        types::Clock::EventTime => $crate::Clock::EventTime,
                        types::Clock::WallClock => $crate::Clock::WallClock,
                    };
                    ($fire)(clock, &due.into(), $crate::Host::calling()).map(Into::into)
                }
            }
    on_timer::export!(Exported with_types_in on_timer);
        };
    };
    (lifecycle, $functions:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::lifecycle;
            struct Exported;
            impl lifecycle::exports::millstream::udf::lifecycle::Guest for Exported {
                fn functions() -> Vec<lifecycle::exports::millstream::udf::lifecycle::Function> {
                    $crate::log::show_panics();
                    $functions.iter().map(Into::into).collect()
                }
                fn start(name: String, settings: Vec<(String, String)>) -> ::core::result::Result<(), String> {
                    $crate::log::show_panics();
                    $crate::start_instance($functions, &name, &settings.into_iter().collect())
                }
            }
    lifecycle::export!(Exported with_types_in lifecycle);
        };
    };
}
