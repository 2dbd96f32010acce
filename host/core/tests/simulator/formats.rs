//! Formats that leave bytes as they are and now and then cannot say anything: what is then taken again must be as if nothing
//! had been. What formats make of bytes is the transcripts' matter.

use std::cell::{Cell, RefCell};

use millstream_core::formats::{Assigned, Converted, Formats, Pair, Unavailable};
use millstream_core::record::BytesColumn;
use millstream_core::topology::spec::Spec;

use super::rng::Rng;

/// How often a worker's formats cannot be had, at the most: a case must come to its end.
const OUTAGES_MAX: u32 = 3;

/// One call in so many, until then.
const CALLS: u64 = 40;

/// See the module.
pub struct Flaky {
    rng: RefCell<Rng>,
    left: Cell<u32>,
}

impl Flaky {
    pub fn new(is_flaky: bool, rng: Rng) -> Self {
        Self { rng: RefCell::new(rng), left: Cell::new(if is_flaky { OUTAGES_MAX } else { 0 }) }
    }
}

impl Formats for Flaky {
    fn decode(&self, _: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        if self.left.get() > 0 && self.rng.borrow_mut().one_in(CALLS) {
            self.left.set(self.left.get() - 1);
            return Err(Unavailable("an outage".into()));
        }
        Ok(Converted { items: items.clone(), rejected: Vec::new() })
    }

    fn encode(&self, format: usize, items: &BytesColumn) -> Result<Converted, Unavailable> {
        self.decode(format, items)
    }
}

/// Formats for everything: sources values, sinks keys and values.
pub fn assigned(spec: &Spec) -> Assigned {
    let (value, both) = (Pair { key: None, value: Some(0) }, Pair { key: Some(0), value: Some(0) });
    Assigned {
        sources: spec.sources.iter().map(|s| (s.name.clone(), value)).collect(),
        sinks: spec.sinks.iter().map(|s| (s.name.clone(), both)).collect(),
    }
}
