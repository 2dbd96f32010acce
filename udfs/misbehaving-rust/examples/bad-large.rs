//! A mapper whose answer is 200 MiB.

#[cfg(target_arch = "wasm32")]
mod guest {
    use millstream_sdk::bindings::{mapper, types};

    struct Bad;

    impl mapper::exports::millstream::udf::mapper::Guest for Bad {
        fn apply(records: types::Batch) -> Result<types::Output, String> {
            let n = records.timestamps.len();
            let values = types::BytesColumn {
                offsets: (0..n as u32).chain([200 << 20]).collect(),
                data: vec![0; 200 << 20],
                validity: vec![],
            };
            Ok(types::Output {
                taken: n as u32,
                sources: None,
                ports: None,
                keys: None,
                values: Some(values),
                timestamps: None,
                headers: None,
                rejected: vec![],
            })
        }
    }

    mapper::export!(Bad with_types_in mapper);
}
