//! A file that says it holds 100,000 functions.

use millstream_sdk::{Function, Parts, Record};

pub fn keep(_record: &Record) -> bool {
    true
}

pub fn functions() -> &'static [Function] {
    let one = Function {
        name: "bad",
        interfaces: &["filter"],
        summary: "One of many.",
        settings_schema: "",
        start: |_| Ok(Parts::default().filter(&std::rc::Rc::new(keep as fn(&Record) -> bool))),
    };
    Box::leak(vec![one; 100_000].into_boxed_slice())
}

millstream_sdk::columns!(lifecycle, functions());
millstream_sdk::filter!(keep);
