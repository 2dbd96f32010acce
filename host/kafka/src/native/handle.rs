//! A client of librdkafka's producer kind, which also serves for administration: made, polled, destroyed. And its errors, taken
//! over into plain data.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaType;

use crate::error::KafkaError;

/// Called for each record whose fate is known, from within a call on the same client.
pub(super) type Delivered =
    unsafe extern "C" fn(*mut sys::rd_kafka_t, *const sys::rd_kafka_message_t, opaque: *mut c_void);

/// A client.
#[derive(Debug)]
pub(crate) struct Handle(NonNull<sys::rd_kafka_t>);

// SAFETY: librdkafka: "The library is completely thread safe".
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Handle {
    /// A client for administration.
    pub fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        // SAFETY: no callback, so no opaque value to be kept alive.
        unsafe { Self::with(RDKafkaType::RD_KAFKA_PRODUCER, config, None) }
    }

    /// As [`Handle::new`], for questions about this group's offsets, without being a member. Where a broker says that it is not the
    /// group's coordinator, librdkafka (2.12.1, `rd_kafka_handle_OffsetFetch`) turns to the group of the client that asks, and crashes
    /// where that has none; and it goes on asking the same broker. So a client that
    /// got an error is not asked again.
    pub fn of_group(config: &ClientConfig, group: &str) -> Result<Self, KafkaError> {
        let mut config = config.clone();
        config.set("group.id", group);
        // SAFETY: as above.
        unsafe { Self::with(RDKafkaType::RD_KAFKA_CONSUMER, &config, None) }
    }

    /// # Safety
    /// The opaque value must be what `delivered` expects, for as long as the client lives.
    pub(super) unsafe fn with(
        kind: RDKafkaType,
        config: &ClientConfig,
        delivered: Option<(Delivered, *mut c_void)>,
    ) -> Result<Self, KafkaError> {
        let conf = config.create_native_config().map_err(|e| KafkaError::Refused(e.to_string()))?;
        let mut why = [0 as c_char; 512];
        // SAFETY: the configuration is ours; a client that comes to be takes it over, else it is dropped below.
        unsafe {
            sys::rd_kafka_conf_set_log_cb(conf.ptr(), Some(log));
            if let Some((delivered, opaque)) = delivered {
                sys::rd_kafka_conf_set_dr_msg_cb(conf.ptr(), Some(delivered));
                sys::rd_kafka_conf_set_opaque(conf.ptr(), opaque);
            } else {
                // For `trouble`.
                sys::rd_kafka_conf_set_events(conf.ptr(), sys::RD_KAFKA_EVENT_ERROR);
            }
            let made = sys::rd_kafka_new(kind, conf.ptr(), why.as_mut_ptr(), why.len());
            match NonNull::new(made) {
                Some(handle) => {
                    let _taken_over = ManuallyDrop::new(conf);
                    Ok(Self(handle))
                }
                None => Err(KafkaError::Refused(text(why.as_ptr()))),
            }
        }
    }

    pub fn ptr(&self) -> *mut sys::rd_kafka_t {
        self.0.as_ptr()
    }

    /// What went wrong between the client and brokers since this was asked last, the latest of it. Of a client for administration; a
    /// producer logs it.
    pub fn trouble(&self) -> Option<Failure> {
        let mut latest = None;
        // SAFETY: the client lives; the reference to its queue and the events are ours until destroyed.
        unsafe {
            let queue = sys::rd_kafka_queue_get_main(self.ptr());
            while let Some(event) = NonNull::new(sys::rd_kafka_queue_poll(queue, 0)) {
                let code: RDKafkaErrorCode = sys::rd_kafka_event_error(event.as_ptr()).into();
                // That says only that something else was said of each.
                if code != RDKafkaErrorCode::AllBrokersDown {
                    latest = Some(Failure::of(code, text(sys::rd_kafka_event_error_string(event.as_ptr()))));
                }
                sys::rd_kafka_event_destroy(event.as_ptr());
            }
            sys::rd_kafka_queue_destroy(queue);
        }
        latest
    }

    /// Why the client can do nothing more, if so.
    pub fn fatal(&self) -> Option<Failure> {
        let mut why = [0 as c_char; 512];
        // SAFETY: the client lives, and there is room for the text.
        let (code, text) = unsafe {
            let code = sys::rd_kafka_fatal_error(self.ptr(), why.as_mut_ptr(), why.len());
            (code, text(why.as_ptr()))
        };
        let none = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        (code != none).then(|| Failure { fatal: true, ..Failure::of(code.into(), text) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: ours, and nobody uses it any more. It is a member of no group.
        unsafe { sys::rd_kafka_destroy_flags(self.ptr(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE) }
    }
}

/// What a call came to instead of success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: RDKafkaErrorCode,
    pub text: String,
    /// The same call may be made again.
    pub retriable: bool,
    /// The client can do nothing more.
    pub fatal: bool,
    /// The open transaction must be aborted.
    pub abort: bool,
}

impl Failure {
    pub fn of(code: RDKafkaErrorCode, text: String) -> Self {
        let text = if text.is_empty() { code.to_string() } else { text };
        Self { code, text, retriable: false, fatal: false, abort: false }
    }

    /// Takes over an error that is the caller's to free; null is success.
    ///
    /// # Safety
    /// `error` is null or owned by the caller, who does not use it afterwards.
    pub(super) unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), Failure> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: by the caller.
        unsafe {
            let failure = Failure {
                code: sys::rd_kafka_error_code(error).into(),
                text: text(sys::rd_kafka_error_string(error)),
                retriable: sys::rd_kafka_error_is_retriable(error) != 0,
                fatal: sys::rd_kafka_error_is_fatal(error) != 0,
                abort: sys::rd_kafka_error_txn_requires_abort(error) != 0,
            };
            sys::rd_kafka_error_destroy(error);
            Err(failure)
        }
    }
}

/// # Safety
/// `text` is null or a C string.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by the caller.
    unsafe { CStr::from_ptr(text).to_string_lossy().into_owned() }
}

unsafe extern "C" fn log(_: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: librdkafka gives two C strings that live as long as this call.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    log_line(level, &facility, &line);
}

/// A line that the client wants to tell, to the log. `level` is syslog's.
fn log_line(level: i32, facility: &str, line: &str) {
    let line = line.trim_end();
    if facility == "CONFWARN" && is_known(line) {
        return;
    }
    match as_told(level, facility) {
        ..=3 => tracing::error!(target: "librdkafka", facility, "{line}"),
        4 => tracing::warn!(target: "librdkafka", facility, "{line}"),
        5..=6 => tracing::info!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// Everything that goes wrong anywhere in the client comes once more under this facility, twice a second while brokers are away: the
/// connection has told it by then, or the call that failed does.
fn as_told(level: i32, facility: &str) -> i32 {
    if facility == "ERROR" { 7 } else { level }
}

/// What need not be told about properties: they are given to all kinds of client, and each finds those of the others useless; and one
/// that only the host sets ([`crate::producer::plain`]) is called experimental.
fn is_known(line: &str) -> bool {
    line.contains("will be ignored by this") || line.contains("enable.gapless.guarantee is experimental")
}

/// Milliseconds as librdkafka takes them: never "for ever", which is -1.
pub(super) fn millis(timeout: std::time::Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_elsewhere_is_no_error_twice() {
        assert_eq!((as_told(3, "ERROR"), as_told(3, "FAIL"), as_told(4, "GETPID")), (7, 3, 4));
    }
}
