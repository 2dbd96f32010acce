//! A member's identity in the form in which librdkafka hands it out and takes it back.

use std::ffi::CString;
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;

use super::handle::text;
use crate::group_metadata::GroupMetadata;

/// librdkafka's own, destroyed with the value.
pub(crate) struct NativeGroup(NonNull<sys::rd_kafka_consumer_group_metadata_t>);

// SAFETY: plain data of its own.
unsafe impl Send for NativeGroup {}

impl NativeGroup {
    /// Of a consumer's client as it is now; `None` for a client that is not in a group.
    ///
    /// # Safety
    /// `client` is alive.
    pub unsafe fn of(client: *mut sys::rd_kafka_t) -> Option<Self> {
        // SAFETY: by the caller; the result is ours.
        NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(client) }).map(Self)
    }

    /// From plain data; `None` where a name holds a zero byte.
    pub fn new(data: &GroupMetadata) -> Option<Self> {
        let c = |name: &str| CString::new(name).ok();
        let (group, member) = (c(data.group())?, c(data.member())?);
        let instance = match data.instance() {
            Some(instance) => Some(c(instance)?),
            None => None,
        };
        let instance = instance.as_ref().map_or(ptr::null(), |instance| instance.as_ptr());
        // SAFETY: C strings that live through the call, which copies them.
        let made = unsafe {
            let (group, member) = (group.as_ptr(), member.as_ptr());
            sys::rd_kafka_consumer_group_metadata_new_with_genid(group, data.generation(), member, instance)
        };
        NonNull::new(made).map(Self)
    }

    /// As plain data.
    pub fn data(&self) -> GroupMetadata {
        // SAFETY: alive; its texts are C strings of its own, the instance's may be null.
        unsafe {
            let group = text(sys::rd_kafka_consumer_group_metadata_group_id(self.ptr()));
            let member = text(sys::rd_kafka_consumer_group_metadata_member_id(self.ptr()));
            let generation = sys::rd_kafka_consumer_group_metadata_generation_id(self.ptr());
            let instance = text(sys::rd_kafka_consumer_group_metadata_group_instance_id(self.ptr()));
            GroupMetadata::new(group, generation, member, Some(instance).filter(|i| !i.is_empty()))
        }
    }

    pub fn ptr(&self) -> *mut sys::rd_kafka_consumer_group_metadata_t {
        self.0.as_ptr()
    }
}

impl Drop for NativeGroup {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.ptr()) }
    }
}
