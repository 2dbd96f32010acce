//! The calls into librdkafka that its Rust wrapper does not have: batches from a queue, forwarding, waking, positions.
//! All of the consumer's `unsafe` is here; nothing here decides anything.

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use millstream_core::record::{Header, Timestamp};
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::context::Context;
use crate::fetch::TopicPartition;
use crate::group_metadata::GroupMetadata;

/// The client.
pub(crate) type Client = BaseConsumer<Context>;

/// A queue that partitions are forwarded to and that one reader reads.
pub(crate) struct Queue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Dropped after the queue, which must not outlive it.
    client: Arc<Client>,
}

// SAFETY: librdkafka's queues have their own lock and belong to no thread; `rdkafka` says the same of its own.
unsafe impl Send for Queue {}
// SAFETY: as above; `Queue::consume` from several threads at once would be against librdkafka's documentation of batch calls, and is
// kept from happening by the one `Reader` of each queue.
unsafe impl Sync for Queue {}

impl Queue {
    /// A new queue, empty.
    pub fn new(client: &Arc<Client>) -> Self {
        // SAFETY: the client's handle is alive as long as the client.
        let queue = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        let queue = NonNull::new(queue).expect("rd_kafka_queue_new allocates or aborts");
        Self { queue, client: client.clone() }
    }

    /// Sends what is fetched of a partition here. To be called before the partition is assigned: what was fetched
    /// by then is elsewhere.
    pub fn forward(&self, partition: &TopicPartition) {
        let topic = name(&partition.topic);
        // SAFETY: handle and queue are alive, the name is a C string; the reference to the partition's own queue is given back
        // below, forwarding itself holds references to both.
        unsafe {
            let handle = self.client.client().native_ptr();
            let own = sys::rd_kafka_queue_get_partition(handle, topic.as_ptr(), partition.partition);
            // Null only for a client that is not a consumer.
            if !own.is_null() {
                sys::rd_kafka_queue_forward(own, self.queue.as_ptr());
                sys::rd_kafka_queue_destroy(own);
            }
        }
    }

    /// Makes a blocked [`Queue::consume`] return, or the next one that would block.
    pub fn wake(&self) {
        // SAFETY: the queue is alive.
        unsafe { sys::rd_kafka_queue_yield(self.queue.as_ptr()) }
    }

    /// Takes messages until there are `max`, `timeout` is over or somebody calls [`Queue::wake`]. Gives how many.
    pub fn consume(&self, messages: &mut Messages, max: usize, timeout: Duration) -> usize {
        messages.pointers.reserve(max);
        let have = messages.pointers.len();
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; there is room for `max` pointers behind those that are there, and librdkafka
        // has written as many as it says.
        unsafe {
            let to = messages.pointers.as_mut_ptr().add(have);
            let count = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), timeout_ms, to, max);
            let count = usize::try_from(count).unwrap_or(0);
            messages.pointers.set_len(have + count);
            count
        }
    }

    /// The client's positions: behind the last record handed out, and behind control records that followed it. `None`
    /// where nothing was handed out yet.
    pub fn positions(&self, partitions: &[&TopicPartition]) -> Vec<Option<i64>> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for p in partitions {
            list.add_partition(&p.topic, p.partition);
        }
        // SAFETY: handle and list are alive; the call writes offsets into the list's elements.
        let code = unsafe { sys::rd_kafka_position(self.client.client().native_ptr(), list.ptr()) };
        let known = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let of = |offset: rdkafka::Offset| match offset {
            rdkafka::Offset::Offset(at) if known => Some(at),
            _ => None,
        };
        list.elements().iter().map(|e| of(e.offset())).collect()
    }

    /// The high watermark that the last answer to a fetch told; `None` before the first.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<i64> {
        let topic = name(&partition.topic);
        let (mut low, mut high) = (-1, -1);
        let handle = self.client.client().native_ptr();
        // SAFETY: the handle is alive, the name is a C string, both results have a place.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(handle, topic.as_ptr(), partition.partition, &mut low, &mut high)
        };
        (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is ours and nobody uses it any more.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// The place of one answer to a commit of offsets.
pub(crate) struct Reply {
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Dropped after the queue, which must not outlive it.
    _client: Arc<Client>,
}

// SAFETY: as for `Queue`; one thread at a time has it.
unsafe impl Send for Reply {}

impl Reply {
    /// Hands a commit of offsets to the client, behind what it was told before. It is made in the name of who the client is when it
    /// gets to it.
    pub fn to_commit(client: &Arc<Client>, offsets: &TopicPartitionList) -> Self {
        let handle = client.client().native_ptr();
        // SAFETY: handle, list and queue are alive; the client copies the list, and counts its own reference to the queue. Without a
        // callback the answer is kept in the queue.
        unsafe {
            let queue = NonNull::new(sys::rd_kafka_queue_new(handle)).expect("rd_kafka_queue_new allocates or aborts");
            // Its only error is that there is no group, and this client was made with one.
            sys::rd_kafka_commit_queue(handle, offsets.ptr(), queue.as_ptr(), None, ptr::null_mut());
            Self { queue, _client: client.clone() }
        }
    }

    /// The answer: nothing, or what went wrong; `None` when there is none after `timeout`.
    pub fn wait(&self, timeout: Duration) -> Option<Result<(), RDKafkaErrorCode>> {
        let none = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; the event is ours, its list lives as long, and an element of it is looked at within its count.
        unsafe {
            let event = NonNull::new(sys::rd_kafka_queue_poll(self.queue.as_ptr(), timeout_ms))?;
            let mut code = sys::rd_kafka_event_error(event.as_ptr());
            let list = sys::rd_kafka_event_topic_partition_list(event.as_ptr());
            if code == none && !list.is_null() {
                let elements = std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0));
                code = elements.iter().map(|element| element.err).find(|err| *err != none).unwrap_or(none);
            }
            sys::rd_kafka_event_destroy(event.as_ptr());
            Some(if code == none { Ok(()) } else { Err(code.into()) })
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // SAFETY: it is ours and nobody uses it any more; an answer that comes later finds no queue.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A topic name as C wants it.
fn name(topic: &str) -> CString {
    CString::new(topic).expect("no topic can have a name with a zero byte")
}

/// Who the client is in its group now.
pub(crate) fn group_metadata(client: &Client) -> Option<GroupMetadata> {
    // SAFETY: the handle is alive as long as the client.
    unsafe { GroupMetadata::of_client(client.client().native_ptr().cast()) }
}

/// Messages that were taken from a queue.
#[derive(Default)]
pub(crate) struct Messages {
    /// Each ours to destroy; null once that has happened.
    pointers: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: a message may be read and destroyed by any thread.
unsafe impl Send for Messages {}

impl Messages {
    /// Gives each message to `f`, in order, and frees it.
    pub fn drain(&mut self, mut f: impl FnMut(Message<'_>)) {
        struct Owned(*mut sys::rd_kafka_message_t);
        impl Drop for Owned {
            fn drop(&mut self) {
                // SAFETY: taken out of the list below, so destroyed once.
                unsafe { sys::rd_kafka_message_destroy(self.0) }
            }
        }
        for place in &mut self.pointers {
            let owned = Owned(std::mem::replace(place, ptr::null_mut()));
            f(Message { message: owned.0, life: PhantomData });
        }
        self.pointers.clear();
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.drain(|_| ());
    }
}

/// A message, or what went wrong with its partition.
#[derive(Clone, Copy)]
pub(crate) struct Message<'a> {
    /// Alive for `'a`.
    message: *const sys::rd_kafka_message_t,
    life: PhantomData<&'a sys::rd_kafka_message_t>,
}

impl<'a> Message<'a> {
    fn get(&self) -> &'a sys::rd_kafka_message_t {
        // SAFETY: alive for `'a`, and nobody writes to it.
        unsafe { &*self.message }
    }

    /// What went wrong; `None` for a record.
    #[inline]
    pub fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = self.get().err;
        (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    /// What went wrong, in words.
    pub fn error_text(&self) -> String {
        // SAFETY: the message is alive; the text is a C string inside of it, or null.
        unsafe {
            let text = sys::rd_kafka_message_errstr(self.message);
            if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
        }
    }

    /// The same for all messages of a partition that is assigned, without looking at the name.
    #[inline]
    pub fn place(&self) -> (usize, i32) {
        (self.get().rkt as usize, self.get().partition)
    }

    /// Name of the topic; empty where the message has none.
    pub fn topic(&self) -> &'a str {
        if self.get().rkt.is_null() {
            return "";
        }
        // SAFETY: the topic is alive as long as its message, and its name as long as itself.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.get().rkt)) };
        name.to_str().unwrap_or_default()
    }

    /// Offset of the record; of an end of a partition the position that was reached.
    #[inline]
    pub fn offset(&self) -> i64 {
        self.get().offset
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        // SAFETY: librdkafka's own length of its own bytes, alive as long as the message.
        unsafe { bytes(self.get().key, self.get().key_len) }
    }

    /// The value.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        // SAFETY: as for the key.
        unsafe { bytes(self.get().payload, self.get().len) }
    }

    /// Create or append time, as the topic says; -1 where the record has none.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        // SAFETY: the message is alive; the kind of time is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.message, ptr::null_mut()) }
    }

    /// Headers, in order. A name ends at its first zero byte, which is how librdkafka gives it.
    #[inline]
    pub fn headers(&self) -> Headers<'a> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive; the headers stay its own and are alive as long.
        let code = unsafe { sys::rd_kafka_message_headers(self.message, &mut headers) };
        let there = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        Headers { headers: if there { headers } else { ptr::null() }, at: 0, life: PhantomData }
    }
}

/// # Safety
/// `data` is null or has `len` bytes, alive and unchanged for `'a`.
#[inline]
unsafe fn bytes<'a>(data: *const std::ffi::c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller.
    (!data.is_null()).then(|| unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// The headers of a message.
#[derive(Clone)]
pub(crate) struct Headers<'a> {
    /// Null where there are none.
    headers: *const sys::rd_kafka_headers_t,
    at: usize,
    life: PhantomData<&'a sys::rd_kafka_headers_t>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    #[inline]
    fn next(&mut self) -> Option<Header<'a>> {
        if self.headers.is_null() {
            return None;
        }
        let (mut key, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers are alive for `'a`; all results have a place and point into the headers.
        unsafe {
            let code = sys::rd_kafka_header_get_all(self.headers, self.at, &mut key, &mut value, &mut len);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            self.at += 1;
            Some((CStr::from_ptr(key).to_bytes(), bytes(value, len)))
        }
    }
}
