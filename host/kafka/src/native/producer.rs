//! A producer's calls: records from columns, delivery reports, the transaction. What their outcomes mean is [`crate::producer`]'s.

use std::cell::UnsafeCell;
use std::ffi::{CString, c_int, c_void};
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use millstream_core::record::{Batch, HeaderColumns, Timestamp};
use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaType;
use sys::rd_kafka_vtype_t as Kind;

use super::group::NativeGroup;
use super::handle::{Failure, Handle, millis};
use crate::error::KafkaError;
use crate::fetch::TopicPartition;

/// Failed records that are remembered one by one; beyond, they are counted.
pub(crate) const FAILED_RECORDS_MAX: usize = 1_000;
/// A batch hands in so many records before it looks for reports of earlier ones, whose room is free only then.
const POLL_EVERY_RECORDS: usize = 1_024;

/// How much longer than it was given a call may take that librdkafka bounds by itself, mostly.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// A record that was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub call: u32,
    pub row: u32,
    pub code: RDKafkaErrorCode,
}

/// What became of the records of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    /// Highest offset by place, as told; -1 before the first.
    places: Vec<Place>,
    /// Where the last report was: reports come in runs.
    last: usize,
    pub failed: Vec<Failed>,
    pub failed_count: u64,
}

#[derive(Debug)]
struct Place {
    topic: *const sys::rd_kafka_topic_t,
    partition: i32,
    offset: i64,
}

impl Reports {
    fn delivered(&mut self, topic: *const sys::rd_kafka_topic_t, partition: i32, offset: i64) {
        let here = |place: &Place| place.topic == topic && place.partition == partition;
        if !self.places.get(self.last).is_some_and(here) {
            self.last = self.places.iter().position(here).unwrap_or_else(|| {
                self.places.push(Place { topic, partition, offset: -1 });
                self.places.len() - 1
            });
        }
        let highest = &mut self.places[self.last].offset;
        *highest = offset.max(*highest);
    }

    fn failed(&mut self, tag: usize, code: RDKafkaErrorCode) {
        self.failed_count += 1;
        if self.failed.len() < FAILED_RECORDS_MAX {
            self.failed.push(Failed { call: (tag >> 32) as u32, row: tag as u32, code });
        }
    }

    fn clear(&mut self) {
        *self = Self { places: mem::take(&mut self.places), ..Self::default() };
        self.places.clear();
    }
}

/// Called by librdkafka for each record, from within `rd_kafka_poll` and what polls.
unsafe extern "C" fn delivered(_: *mut sys::rd_kafka_t, message: *const sys::rd_kafka_message_t, opaque: *mut c_void) {
    // SAFETY: the message lives as long as this call. `opaque` is the producer's `reports`, which live as long as the client; nobody
    // else holds a reference to them now: the producer's methods take one only between calls into librdkafka, and all of those are
    // made by methods that have the producer for themselves (`&mut self`).
    let (message, reports) = unsafe { (&*message, &mut *opaque.cast::<Reports>()) };
    if message.err == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        reports.delivered(message.rkt, message.partition, message.offset);
    } else {
        reports.failed(message._private as usize, message.err.into());
    }
}

/// A topic as the client knows it.
struct Topic(NonNull<sys::rd_kafka_topic_t>);

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: ours, and the client is alive: topics stand before it in the producer.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// Why a batch was not taken as a whole. The rows before `row` were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotTaken {
    pub row: usize,
    pub failure: Failure,
}

/// The client, and what its callback writes to.
struct Client {
    handle: Handle,
    /// After the client.
    reports: Box<UnsafeCell<Reports>>,
}

// SAFETY: the client may be used by any thread; reports are touched by who has the producer, and by a thread that was left to itself
// when it destroys the client, which nobody else has then.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// The client of a producer.
pub(crate) struct Producer {
    topics: Vec<(Box<str>, Topic)>,
    /// Also of a call that was left to itself, see [`Producer::send_offsets`].
    client: Arc<Client>,
}

// SAFETY: topics are counted references with a lock of their own.
unsafe impl Send for Producer {}

impl Producer {
    pub fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let reports = Box::new(UnsafeCell::new(Reports::default()));
        // SAFETY: the reports stay where they are and outlive the client.
        let handle =
            unsafe { Handle::with(RDKafkaType::RD_KAFKA_PRODUCER, config, Some((delivered, reports.get().cast())))? };
        Ok(Self { topics: Vec::new(), client: Arc::new(Client { handle, reports }) })
    }

    pub fn fatal(&self) -> Option<Failure> {
        self.client.handle.fatal()
    }

    pub fn reports(&mut self) -> &mut Reports {
        // SAFETY: nobody writes while this borrows the producer.
        unsafe { &mut *self.client.reports.get() }
    }

    /// Forgets the last transaction's records.
    pub fn clear_reports(&mut self) {
        self.reports().clear();
    }

    /// The highest offset that was told of each partition.
    pub fn highest(&mut self) -> Vec<(TopicPartition, i64)> {
        let name = |topic| {
            let known = self.topics.iter().find(|(_, t)| ptr::eq(t.0.as_ptr(), topic));
            known.map(|(name, _)| name.as_ref()).expect("reports are of topics that were produced to")
        };
        // SAFETY: nobody writes while this borrows the producer.
        let reports = unsafe { &*self.client.reports.get() };
        let known = reports.places.iter().filter(|place| place.offset >= 0);
        let mut all: Vec<_> = known.map(|p| (TopicPartition::new(name(p.topic), p.partition), p.offset)).collect();
        all.sort();
        all
    }

    /// Takes delivery reports that are there, waiting for one at most `timeout`.
    pub fn poll(&mut self, timeout: Duration) {
        // SAFETY: the client lives; callbacks may write to the reports, see [`delivered`].
        unsafe { sys::rd_kafka_poll(self.client.handle.ptr(), millis(timeout)) };
    }

    /// Records of this topic are given up when they cannot be written for so long, instead of the client's own time. Before the first
    /// of them is handed in.
    pub fn give_up_after(&mut self, topic: &str, time: Duration) -> Result<(), Failure> {
        let (name, value) = (c"message.timeout.ms", CString::new(millis(time).to_string()).unwrap_or_default());
        // SAFETY: a new configuration with a property whose name and value are C strings; the topic takes it over.
        let conf = unsafe {
            let conf = sys::rd_kafka_default_topic_conf_dup(self.client.handle.ptr());
            sys::rd_kafka_topic_conf_set(conf, name.as_ptr(), value.as_ptr(), ptr::null_mut(), 0);
            conf
        };
        self.topic_with(topic, conf).map(drop)
    }

    fn topic(&mut self, name: &str) -> Result<NonNull<sys::rd_kafka_topic_t>, Failure> {
        match self.topics.iter().find(|(known, _)| **known == *name) {
            Some((_, topic)) => Ok(topic.0),
            None => self.topic_with(name, ptr::null_mut()),
        }
    }

    fn topic_with(
        &mut self,
        name: &str,
        conf: *mut sys::rd_kafka_topic_conf_t,
    ) -> Result<NonNull<sys::rd_kafka_topic_t>, Failure> {
        let wrong = |why| Failure::of(RDKafkaErrorCode::InvalidTopic, why);
        let c_name = CString::new(name).map_err(|_| wrong("a topic's name has no zero byte".into()))?;
        // SAFETY: the client lives, the name is a C string, the configuration is ours to give, and none means the client's.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client.handle.ptr(), c_name.as_ptr(), conf) };
        let topic = NonNull::new(topic).ok_or_else(|| wrong(format!("`{name}` is not a topic's name")))?;
        self.topics.push((name.into(), Topic(topic)));
        Ok(topic)
    }

    /// Hands in the rows from `from` on; their payloads are copied once, into the client's own message. Reports name a record by
    /// `call` and row.
    pub fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &Batch,
        from: usize,
        call: u32,
    ) -> Result<(), NotTaken> {
        let topic = self.topic(topic).map_err(|failure| NotTaken { row: from, failure })?;
        let mut record = Record::new(topic, partition);
        for row in from..batch.len() {
            if (row - from) % POLL_EVERY_RECORDS == POLL_EVERY_RECORDS - 1 {
                self.poll(Duration::ZERO);
            }
            record.key(batch.keys.get(row));
            record.value(batch.values.get(row));
            record.timestamp(match batch.timestamps[row] {
                // librdkafka takes 0 as "now", which would be nowhere near.
                0 => 1,
                timestamp => timestamp,
            });
            record.tag((call as usize) << 32 | row);
            let headers = batch.headers.as_deref().and_then(|all| Headers::new(all, row));
            // SAFETY: the record's pointers are into `batch` and `topic`, which live through the call, and the payload is copied.
            let result = unsafe { Failure::take(record.produce(&self.client.handle, headers.as_ref())) };
            if let Err(failure) = result {
                return Err(NotTaken { row, failure });
            }
            // The message has them now.
            mem::forget(headers);
        }
        Ok(())
    }

    pub fn init(&mut self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: the client lives; the error is ours.
        unsafe { Failure::take(sys::rd_kafka_init_transactions(self.client.handle.ptr(), millis(timeout))) }
    }

    pub fn begin(&mut self) -> Result<(), Failure> {
        // SAFETY: as for `init`.
        unsafe { Failure::take(sys::rd_kafka_begin_transaction(self.client.handle.ptr())) }
    }

    /// `None`: there was no answer, which librdkafka can wait for without an end (see [`crate::config::PRODUCER_IDLE_MS`]). The call is
    /// left to a thread of its own, which destroys the client when it comes back; nothing may be done with this producer any more.
    pub fn send_offsets(
        &mut self,
        offsets: TopicPartitionList,
        group: NativeGroup,
        timeout: Duration,
    ) -> Option<Result<(), Failure>> {
        let (client, (answer, answered)) = (self.client.clone(), mpsc::sync_channel(1));
        let send = move || {
            // SAFETY: client, list and group live; librdkafka copies the latter two.
            let sent = unsafe {
                let (list, group) = (offsets.ptr(), group.ptr());
                let client = client.handle.ptr();
                Failure::take(sys::rd_kafka_send_offsets_to_transaction(client, list, group, millis(timeout)))
            };
            drop(client);
            // Nobody may wait any more.
            let _ = answer.send(sent);
        };
        let thread = std::thread::Builder::new().name("send-offsets".into()).spawn(send);
        if let Err(why) = thread {
            return Some(Err(Failure::of(RDKafkaErrorCode::Fail, format!("start a thread: {why}"))));
        }
        answered.recv_timeout(timeout + ANSWER_MARGIN).ok()
    }

    /// Waits until the fate of all records is known; false when time is up first.
    pub fn flush(&mut self, timeout: Duration) -> bool {
        // SAFETY: the client lives; callbacks may write to the reports, see [`delivered`].
        let code = unsafe { sys::rd_kafka_flush(self.client.handle.ptr(), millis(timeout)) };
        code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    pub fn commit(&mut self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as for `init` and `flush`.
        unsafe { Failure::take(sys::rd_kafka_commit_transaction(self.client.handle.ptr(), millis(timeout))) }
    }

    pub fn abort(&mut self, timeout: Duration) -> Result<(), Failure> {
        // SAFETY: as for `init` and `flush`.
        unsafe { Failure::take(sys::rd_kafka_abort_transaction(self.client.handle.ptr(), millis(timeout))) }
    }
}

/// The arguments of one record, most of which stay from one to the next.
struct Record([sys::rd_kafka_vu_t; 8]);

/// Places of the arguments that change.
const KEY: usize = 3;
const VALUE: usize = 4;
const TIMESTAMP: usize = 5;
const TAG: usize = 6;
const HEADERS: usize = 7;

impl Record {
    fn new(topic: NonNull<sys::rd_kafka_topic_t>, partition: i32) -> Self {
        // SAFETY: all zero is a value of each member of the union, and of the kinds (RD_KAFKA_VTYPE_END).
        let mut all: [sys::rd_kafka_vu_t; 8] = unsafe { mem::zeroed() };
        let kinds = [
            Kind::RD_KAFKA_VTYPE_RKT,
            Kind::RD_KAFKA_VTYPE_PARTITION,
            Kind::RD_KAFKA_VTYPE_MSGFLAGS,
            Kind::RD_KAFKA_VTYPE_KEY,
            Kind::RD_KAFKA_VTYPE_VALUE,
            Kind::RD_KAFKA_VTYPE_TIMESTAMP,
            Kind::RD_KAFKA_VTYPE_OPAQUE,
            Kind::RD_KAFKA_VTYPE_HEADERS,
        ];
        all.iter_mut().zip(kinds).for_each(|(one, kind)| one.vtype = kind);
        all[0].u.rkt = topic.as_ptr();
        all[1].u.i32_ = partition;
        all[2].u.i = sys::RD_KAFKA_MSG_F_COPY as c_int;
        Self(all)
    }

    #[inline]
    fn bytes(&mut self, place: usize, bytes: Option<&[u8]>) {
        // An empty slice has an address too, which tells it from null.
        let (data, size) = bytes.map_or((ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()));
        self.0[place].u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: data.cast_mut().cast(), size };
    }

    #[inline]
    fn key(&mut self, key: Option<&[u8]>) {
        self.bytes(KEY, key);
    }

    #[inline]
    fn value(&mut self, value: Option<&[u8]>) {
        self.bytes(VALUE, value);
    }

    #[inline]
    fn timestamp(&mut self, timestamp: Timestamp) {
        self.0[TIMESTAMP].u.i64_ = timestamp;
    }

    #[inline]
    fn tag(&mut self, tag: usize) {
        self.0[TAG].u.ptr = tag as *mut c_void;
    }

    /// Gives the record to the client, and `headers` where that succeeds.
    ///
    /// # Safety
    /// Topic, key and value are alive.
    #[inline]
    unsafe fn produce(&mut self, handle: &Handle, headers: Option<&Headers>) -> *mut sys::rd_kafka_error_t {
        self.0[HEADERS].u.headers = headers.map_or(ptr::null_mut(), |headers| headers.0.as_ptr());
        let count = if headers.is_some() { self.0.len() } else { HEADERS };
        // SAFETY: by the caller; `count` arguments are set.
        unsafe { sys::rd_kafka_produceva(handle.ptr(), self.0.as_ptr(), count) }
    }
}

/// Headers of one record, until a message has them.
struct Headers(NonNull<sys::rd_kafka_headers_t>);

impl Headers {
    fn new(all: &HeaderColumns, row: usize) -> Option<Self> {
        let count = (all.offsets[row + 1] - all.offsets[row]) as usize;
        if count == 0 {
            return None;
        }
        // SAFETY: new headers, which copy the names and values given with their lengths; a null value is null.
        unsafe {
            let headers = Self(NonNull::new(sys::rd_kafka_headers_new(count))?);
            for (name, value) in all.of(row) {
                let (data, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
                let (name, len) = (name.as_ptr().cast(), name.len() as isize);
                sys::rd_kafka_header_add(headers.0.as_ptr(), name, len, data.cast(), size as isize);
            }
            Some(headers)
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: no message took them.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_keep_the_highest_offset_and_the_first_failures() {
        let mut reports = Reports::default();
        let (a, b) = (8 as *const sys::rd_kafka_topic_t, 16 as *const sys::rd_kafka_topic_t);
        for (topic, partition, offset) in [(a, 0, 5), (a, 0, 6), (b, 0, 1), (a, 1, 9), (a, 0, 4)] {
            reports.delivered(topic, partition, offset);
        }
        let told: Vec<_> = reports.places.iter().map(|p| (p.topic, p.partition, p.offset)).collect();
        assert_eq!(told, [(a, 0, 6), (b, 0, 1), (a, 1, 9)]);
        for row in 0..FAILED_RECORDS_MAX + 2 {
            reports.failed(7 << 32 | row, RDKafkaErrorCode::MessageSizeTooLarge);
        }
        assert_eq!((reports.failed.len(), reports.failed_count), (FAILED_RECORDS_MAX, FAILED_RECORDS_MAX as u64 + 2));
        assert_eq!((reports.failed[3].call, reports.failed[3].row), (7, 3));
        reports.clear();
        assert!(reports.places.is_empty() && reports.failed.is_empty() && reports.failed_count == 0);
    }
}
