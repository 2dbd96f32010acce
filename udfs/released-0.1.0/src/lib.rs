//! The function by which every later host shows that it still runs contract 0.1.0: a filter that keeps records with a
//! value, and a map that leaves records as they are. Built from the frozen contract, once; `released.wasm` is kept.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    inline: "package millstream:released; world released { export millstream:udf/filter@0.1.0; export millstream:udf/mapper@0.1.0; }",
    path: "../../wit/released/0.1.0", generate_all,
});

use exports::millstream::udf::{filter, mapper};
use millstream::udf::types::{Batch, Output};

struct Released;

impl filter::Guest for Released {
    fn keep(records: Batch) -> Result<filter::Kept, String> {
        let count = records.timestamps.len();
        let all = records.values.validity.is_empty();
        let bits = if all { vec![0xff; count.div_ceil(8)] } else { records.values.validity };
        // Bits behind the last record are 0, as in the host's own bitmaps.
        let mut bits = bits;
        if let (Some(last), false) = (bits.last_mut(), count.is_multiple_of(8)) {
            *last &= (1 << (count % 8)) - 1;
        }
        Ok(filter::Kept { bits, rejected: Vec::new() })
    }
}

impl mapper::Guest for Released {
    fn apply(records: Batch) -> Result<Output, String> {
        Ok(Output {
            taken: records.timestamps.len() as u32,
            sources: None,
            ports: None,
            keys: None,
            values: None,
            timestamps: None,
            headers: None,
            rejected: Vec::new(),
        })
    }
}

export!(Released);
