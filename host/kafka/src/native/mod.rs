//! The calls into librdkafka that its Rust wrapper does not have, for producer and administration: each as a small safe
//! function. All of their `unsafe` is in this module; nothing here decides anything.

pub(crate) mod admin;
mod group;
mod handle;
mod producer;

use std::ffi::CStr;

use rdkafka::bindings as sys;

pub(crate) use group::NativeGroup;
pub(crate) use handle::Failure;
pub(crate) use producer::{NotTaken, Producer};

/// The names of all properties that librdkafka lists; other names of the same property are not among them.
pub(crate) fn property_names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: both configurations are new, dumped, and destroyed; the lists are ours until freed, and hold name and value in turn.
    unsafe {
        let (conf, topic) = (sys::rd_kafka_conf_new(), sys::rd_kafka_topic_conf_new());
        let (mut globals, mut topics) = (0, 0);
        let lists = [
            (sys::rd_kafka_conf_dump(conf, &mut globals), globals),
            (sys::rd_kafka_topic_conf_dump(topic, &mut topics), topics),
        ];
        for (list, count) in lists {
            for i in (0..count).step_by(2) {
                names.push(CStr::from_ptr(*list.add(i)).to_string_lossy().into_owned());
            }
            sys::rd_kafka_conf_dump_free(list, count);
        }
        sys::rd_kafka_conf_destroy(conf);
        sys::rd_kafka_topic_conf_destroy(topic);
    }
    names
}
