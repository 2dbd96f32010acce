//! The macros by which a guest exports what it has. Natively they expand to nothing, so that tests need no component.

/// Exports a [`Filter`](crate::Filter): `filter!(only_ip);`
#[macro_export]
macro_rules! filter {
    ($filter:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{filter, types};
            struct Exported;
            impl filter::exports::millstream::udf::filter::Guest for Exported {
                fn keep(
                    records: types::Batch,
                ) -> ::core::result::Result<filter::exports::millstream::udf::filter::Kept, String> {
                    Ok($crate::keep(&$filter, &records.into()).into())
                }
            }
    filter::export!(Exported with_types_in filter);
        };
    };
}

/// Exports a [`Mapper`](crate::Mapper): `mapper!(extract_ip);`
#[macro_export]
macro_rules! mapper {
    ($mapper:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{mapper, types};
            struct Exported;
            impl mapper::exports::millstream::udf::mapper::Guest for Exported {
                fn apply(records: types::Batch) -> ::core::result::Result<types::Output, String> {
                    Ok($crate::apply(&$mapper, &records.into()).into())
                }
            }
    mapper::export!(Exported with_types_in mapper);
        };
    };
}

/// Exports an [`Aggregator`](crate::Aggregator): `aggregator!(Count);`
#[macro_export]
macro_rules! aggregator {
    ($aggregator:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{aggregator, types};
            struct Exported;
            impl aggregator::exports::millstream::udf::aggregator::Guest for Exported {
                fn add(into: types::Groups, records: types::Batch) -> ::core::result::Result<types::Folded, String> {
                    Ok($crate::add(&$aggregator, &into.into(), &records.into())?.into())
                }
                fn finish(of: types::Groups) -> ::core::result::Result<types::BytesColumn, String> {
                    Ok($crate::finish(&$aggregator, &of.into())?.into())
                }
            }
    aggregator::export!(Exported with_types_in aggregator);
        };
    };
}

/// Exports a [`Merge`](crate::Merge) beside its aggregator: `merger!(Count);`
#[macro_export]
macro_rules! merger {
    ($aggregator:expr) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            use $crate::bindings::{merger, types};
            struct Exported;
            impl merger::exports::millstream::udf::merger::Guest for Exported {
                fn merge(
                    _keys: types::BytesColumn,
                    left: types::BytesColumn,
                    right: types::BytesColumn,
                ) -> ::core::result::Result<types::BytesColumn, String> {
                    Ok($crate::merge(&$aggregator, &left.into(), &right.into())?.into())
                }
            }
    merger::export!(Exported with_types_in merger);
        };
    };
}
