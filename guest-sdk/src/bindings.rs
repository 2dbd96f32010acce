//! Generated from the contract, one world for each export, so that a guest exports what it has and nothing else. Only in
//! guests: native tests do without.
#![allow(missing_docs, unsafe_code, clippy::all)]

use crate::columns;

#[doc(hidden)]
pub use wit_bindgen::rt;

/// Exports `filter`.
pub mod filter {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-filter; world sdk-filter { export millstream:udf/filter@0.1.0; }",
        path: "wit", pub_export_macro: true, generate_all,
    });
}

/// Exports `mapper`.
pub mod mapper {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-mapper; world sdk-mapper { export millstream:udf/mapper@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `router`.
pub mod router {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-router; world sdk-router { export millstream:udf/router@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `aggregator`.
pub mod aggregator {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-aggregator; world sdk-aggregator { export millstream:udf/aggregator@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `merger`.
pub mod merger {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-merger; world sdk-merger { export millstream:udf/merger@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `retractor`.
pub mod retractor {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-retractor; world sdk-retractor { export millstream:udf/retractor@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `scanner`.
pub mod scanner {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-scanner; world sdk-scanner { export millstream:udf/scanner@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `migrator`.
pub mod migrator {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-migrator; world sdk-migrator { export millstream:udf/migrator@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `joiner`.
pub mod joiner {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-joiner; world sdk-joiner { export millstream:udf/joiner@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `processor`.
pub mod processor {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-processor; world sdk-processor { export millstream:udf/processor@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// Exports `on-timer`.
pub mod on_timer {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-on-timer; world sdk-on-timer { export millstream:udf/on-timer@0.1.0; }",
        path: "wit", pub_export_macro: true,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// A processor's stores. Only what it calls ends up in the component, here as below.
pub mod stores {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-stores; world sdk-stores { import millstream:udf/state@0.1.0; }",
        path: "wit",
        with: {
            "millstream:udf/types@0.1.0": super::filter::millstream::udf::types,
            "millstream:udf/state@0.1.0": generate,
        },
    });
}

/// A processor's timers.
pub mod timers {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-timers; world sdk-timers { import millstream:udf/timers@0.1.0; }",
        path: "wit",
        with: {
            "millstream:udf/types@0.1.0": super::filter::millstream::udf::types,
            "millstream:udf/timers@0.1.0": generate,
        },
    });
}

/// Exports `lifecycle`.
pub mod lifecycle {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-lifecycle; world sdk-lifecycle { export millstream:udf/lifecycle@0.1.0; }",
        path: "wit", pub_export_macro: true,
    });
}

/// What a function may import. Only what it calls ends up in the component.
pub mod imports {
    wit_bindgen::generate!({
        inline: "package millstream:sdk-imports;
            world sdk-imports { import millstream:udf/context@0.1.0; import millstream:udf/log@0.1.0; }",
        path: "wit", generate_all,
        with: { "millstream:udf/types@0.1.0": super::filter::millstream::udf::types },
    });
}

/// The contract's types, shared by all exports.
pub use filter::millstream::udf::types;

impl From<types::BytesColumn> for columns::BytesColumn {
    fn from(column: types::BytesColumn) -> Self {
        Self { offsets: column.offsets, data: column.data, validity: column.validity }
    }
}

impl From<columns::BytesColumn> for types::BytesColumn {
    fn from(column: columns::BytesColumn) -> Self {
        Self { offsets: column.offsets, data: column.data, validity: column.validity }
    }
}

impl From<types::Batch> for columns::Batch {
    fn from(batch: types::Batch) -> Self {
        Self {
            keys: batch.keys.into(),
            values: batch.values.into(),
            timestamps: batch.timestamps,
            context: Default::default(),
        }
    }
}

impl From<types::HeaderColumns> for columns::HeaderColumns {
    fn from(headers: types::HeaderColumns) -> Self {
        Self { offsets: headers.offsets, names: headers.names.into(), values: headers.values.into() }
    }
}

impl From<columns::HeaderColumns> for types::HeaderColumns {
    fn from(headers: columns::HeaderColumns) -> Self {
        Self { offsets: headers.offsets, names: headers.names.into(), values: headers.values.into() }
    }
}

impl From<types::Groups> for columns::Groups {
    fn from(groups: types::Groups) -> Self {
        Self {
            keys: groups.keys.into(),
            starts: groups.starts,
            ends: groups.ends,
            states: groups.states.into(),
            offsets: groups.offsets,
            members: groups.members,
        }
    }
}

fn rejections(rejected: Vec<columns::Rejection>) -> Vec<types::Rejection> {
    rejected.into_iter().map(|one| types::Rejection { index: one.index, reason: one.reason }).collect()
}

impl From<columns::Kept> for filter::exports::millstream::udf::filter::Kept {
    fn from(kept: columns::Kept) -> Self {
        Self { bits: kept.bits, rejected: rejections(kept.rejected) }
    }
}

impl From<columns::Folded> for types::Folded {
    fn from(folded: columns::Folded) -> Self {
        Self { states: folded.states.into(), rejected: rejections(folded.rejected) }
    }
}

impl From<columns::Scanned> for scanner::exports::millstream::udf::scanner::Scanned {
    fn from(scanned: columns::Scanned) -> Self {
        Self { states: scanned.states.into(), values: scanned.values.into(), rejected: rejections(scanned.rejected) }
    }
}

impl From<columns::Joined> for joiner::exports::millstream::udf::joiner::Joined {
    fn from(joined: columns::Joined) -> Self {
        Self { values: joined.values.into(), rejected: rejections(joined.rejected) }
    }
}

impl From<columns::Routed> for router::exports::millstream::udf::router::Routed {
    fn from(routed: columns::Routed) -> Self {
        let (topics, rejected) = (routed.topics.into(), rejections(routed.rejected));
        Self { topics, partitions: routed.partitions, rejected }
    }
}

impl From<crate::Layouts> for migrator::exports::millstream::udf::migrator::Layouts {
    fn from(layouts: crate::Layouts) -> Self {
        Self { current: layouts.current, reads: layouts.reads, writes: layouts.writes }
    }
}

impl From<&crate::Function> for lifecycle::exports::millstream::udf::lifecycle::Function {
    fn from(function: &crate::Function) -> Self {
        Self {
            name: function.name.to_owned(),
            interfaces: function.interfaces.iter().map(|&name| name.to_owned()).collect(),
            details: function.details(),
        }
    }
}

impl From<columns::OutputColumns> for types::Output {
    fn from(output: columns::OutputColumns) -> Self {
        Self {
            taken: output.taken,
            sources: output.sources,
            ports: output.ports,
            keys: output.keys.map(Into::into),
            values: output.values.map(Into::into),
            timestamps: output.timestamps,
            headers: output.headers.map(Into::into),
            rejected: rejections(output.rejected),
        }
    }
}
