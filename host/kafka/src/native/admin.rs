//! Requests to brokers that are no records, each with its own queue for the one answer, which becomes plain data here.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sys::rd_kafka_admin_op_t as Op;

use super::handle::{Failure, Handle, millis, text};
use crate::admin::GroupMember;
use crate::error::KafkaError;
use crate::fetch::TopicPartition;

/// The client answers by then, also that it had no answer.
const GRACE: Duration = Duration::from_secs(1);
/// A client that no broker has let in yet is told so after this; another broker may do it meanwhile.
const REFUSED_AFTER: Duration = Duration::from_secs(3);
/// How often a question that waits for its answer looks whether something is wrong.
const LOOK: Duration = Duration::from_millis(100);
/// Of the offset of a partition that has none.
pub(crate) const NO_OFFSET: i64 = -1001;

type Answer<T> = Result<T, Failure>;
/// An answer that has one for each topic.
type ByTopic<T> = Answer<Vec<(String, Answer<T>)>>;

/// A partition of a described topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    pub number: i32,
    pub replicas: usize,
    pub in_sync: usize,
    pub has_leader: bool,
}

/// A topic as it is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    /// Empty where brokers give none.
    pub id: String,
    pub partitions: Vec<Partition>,
}

/// A topic to be made.
pub(crate) struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    /// -1 for the broker's default.
    pub replication_factor: i32,
    pub settings: &'a BTreeMap<String, String>,
}

/// What a partition's offset is asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    Earliest,
    Latest,
    /// First record of this time or later.
    Time(i64),
}

/// A partition as an answer lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub partition: TopicPartition,
    pub offset: i64,
    /// `None` also where it is not UTF-8.
    pub metadata: Option<String>,
    pub error: Option<Code>,
}

/// How long a question to a coordinator lives in the client, at the most that librdkafka takes: longer than anybody waits for it.
const OUTLASTING: Duration = Duration::from_secs(3_600);

/// What went wrong with a client of the library's own.
fn failure_of(error: &ClientError) -> Failure {
    Failure::of(error.rdkafka_error_code().unwrap_or(Code::Fail), error.to_string())
}

/// A client for administration.
#[derive(Debug)]
pub(crate) struct Admin {
    client: Handle,
    config: ClientConfig,
    /// Who asked a group's coordinator last, and was answered: the group and a client of its own.
    asker: Mutex<Option<(String, Handle)>>,
    standing: Mutex<Standing>,
}

/// How the client stands with the brokers.
#[derive(Debug, Default)]
struct Standing {
    /// Whether one has ever answered.
    let_in: bool,
    /// What went wrong last, until one answers: the client tells the same trouble only twice a minute.
    trouble: Option<Failure>,
}

/// The one answer to a request.
struct Event(NonNull<sys::rd_kafka_event_t>);

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: ours.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// What a request is asked with: destroyed after it.
struct Asking<'a> {
    client: &'a Handle,
    standing: &'a Mutex<Standing>,
    options: NonNull<sys::rd_kafka_AdminOptions_t>,
    queue: NonNull<sys::rd_kafka_queue_t>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // SAFETY: both ours; an answer that is still to come finds the queue gone and is dropped by librdkafka.
        unsafe {
            sys::rd_kafka_AdminOptions_destroy(self.options.as_ptr());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Said where brokers and client do not let each other in.
const NOT_LET_IN: &str = "; look at `security.protocol`, `sasl.…` and `ssl.…` under `kafka:` of the manifest";

impl Standing {
    /// Why client and broker did not come to terms on who they are, if no other broker let it in.
    fn refused(&self) -> Option<Failure> {
        use Code::{Authentication, SSL, SaslAuthenticationFailed, UnsupportedSASLMechanism};
        let trouble = self.trouble.as_ref().filter(|_| !self.let_in)?;
        let is_it = matches!(trouble.code, Authentication | SSL | SaslAuthenticationFailed | UnsupportedSASLMechanism);
        // With TLS 1.3 a broker refuses a client's certificate when the handshake is over, which the client counts as a lost connection.
        let is_it = is_it || trouble.text.contains("SSL alert number");
        is_it.then(|| Failure::of(Code::Authentication, format!("{}{NOT_LET_IN}", trouble.text)))
    }
}

impl Asking<'_> {
    /// Looks how the client stands with the brokers by now.
    fn with_standing<T>(&self, look: impl FnOnce(&mut Standing) -> T) -> T {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trouble) = self.client.trouble() {
            standing.trouble = Some(trouble);
        }
        look(&mut standing)
    }
}

impl Admin {
    pub fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        Ok(Self {
            client: Handle::new(config)?,
            config: config.clone(),
            asker: Mutex::default(),
            standing: Mutex::default(),
        })
    }

    fn asking(&self, op: Op, timeout: Duration) -> Asking<'_> {
        self.asking_by(&self.client, op, timeout, timeout)
    }

    /// Asks a group's coordinator, with a client that is let go of when it was not answered. The client's own time-out must not come
    /// before that: librdkafka (2.12.1, `rd_kafka_admin_coord_request`) frees a question that has timed out, and uses it once the
    /// coordinator is there, which ends the process (confluentinc/librdkafka#4605). What is not answered when its client ends is safe.
    fn of_group<T>(
        &self,
        group: &str,
        op: Op,
        timeout: Duration,
        ask: impl FnOnce(&Handle, &Asking<'_>) -> Answer<T>,
    ) -> Answer<T> {
        let held = self.asker.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|(of, _)| of == group);
        let client = match held {
            Some((_, client)) => client,
            None => Handle::of_group(&self.config, group)
                .map_err(|why| Failure::of(Code::InvalidArgument, why.to_string()))?,
        };
        let answer = ask(&client, &self.asking_by(&client, op, timeout, OUTLASTING));
        if answer.is_ok() {
            *self.asker.lock().unwrap_or_else(PoisonError::into_inner) = Some((group.into(), client));
        }
        answer
    }

    fn asking_by<'a>(&'a self, client: &'a Handle, op: Op, timeout: Duration, request: Duration) -> Asking<'a> {
        let standing = &self.standing;
        let (ms, request_ms) = (millis(timeout).max(1), millis(request).max(1));
        // SAFETY: the client lives; both are ours. The timeouts are in range, and an operation without one leaves it be.
        unsafe {
            let options = NonNull::new(sys::rd_kafka_AdminOptions_new(client.ptr(), op)).expect("a known operation");
            let queue = NonNull::new(sys::rd_kafka_queue_new(client.ptr())).expect("a queue is allocated");
            let mut why = [0 as c_char; 256];
            sys::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), request_ms, why.as_mut_ptr(), why.len());
            sys::rd_kafka_AdminOptions_set_operation_timeout(options.as_ptr(), ms, why.as_mut_ptr(), why.len());
            Asking { client, standing, options, queue }
        }
    }

    /// Waits for the answer.
    fn answer(asking: &Asking, timeout: Duration) -> Answer<Event> {
        let begin = Instant::now();
        // SAFETY: the queue lives; the event is ours.
        unsafe {
            let event = loop {
                let left = (timeout + GRACE).saturating_sub(begin.elapsed());
                let event = NonNull::new(sys::rd_kafka_queue_poll(asking.queue.as_ptr(), millis(left.min(LOOK))));
                if event.is_some() || left.is_zero() {
                    break event.map(Event);
                }
                let refused = asking.with_standing(|standing| standing.refused());
                if let Some(refused) = refused.filter(|_| begin.elapsed() > REFUSED_AFTER) {
                    return Err(refused);
                }
            };
            let said =
                || asking.with_standing(|s| s.trouble.as_ref().map(|t| format!("; {}", t.text)).unwrap_or_default());
            let text_none = || format!("no broker answered{}", said());
            let none = || Failure { retriable: true, ..Failure::of(Code::OperationTimedOut, text_none()) };
            let event = event.ok_or_else(none)?;
            let code: Code = sys::rd_kafka_event_error(event.0.as_ptr()).into();
            if code == Code::NoError {
                asking.with_standing(|standing| *standing = Standing { let_in: true, trouble: None });
                return Ok(event);
            }
            let text = text(sys::rd_kafka_event_error_string(event.0.as_ptr()));
            Err(Failure::of(code, if code == Code::OperationTimedOut { text + &said() } else { text }))
        }
    }

    /// Names of all topics that there are, as far as the principal may see them.
    pub fn list_topics(&self, timeout: Duration) -> Answer<Vec<String>> {
        // By a client of its own: the library asks for metadata of all topics through a consumer or a producer only.
        let consumer: BaseConsumer = self.config.create().map_err(|e| failure_of(&e))?;
        let metadata = consumer.fetch_metadata(None, timeout).map_err(|e| failure_of(&e))?;
        Ok(metadata.topics().iter().map(|topic| topic.name().to_string()).collect())
    }

    /// Partitions by topic.
    pub fn describe_topics(&self, names: &[&str], timeout: Duration) -> ByTopic<Described> {
        let names = c_names(names)?;
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let asking = self.asking(Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout);
        // SAFETY: all arguments live through the calls; lists in the answer live as long as the event.
        unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            sys::rd_kafka_DescribeTopics(self.client.ptr(), topics, asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_TopicCollection_destroy(topics);
            let event = Self::answer(&asking, timeout)?;
            let result = sys::rd_kafka_event_DescribeTopics_result(event.0.as_ptr());
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            Ok(items(topics, count)
                .map(|topic| (text(sys::rd_kafka_TopicDescription_name(topic)), described(topic)))
                .collect())
        }
    }

    /// Settings by topic.
    pub fn describe_configs(&self, names: &[&str], timeout: Duration) -> ByTopic<BTreeMap<String, String>> {
        let names = c_names(names)?;
        let asking = self.asking(Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout);
        // SAFETY: as for `describe_topics`; the resources are ours and copied by the request.
        unsafe {
            let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
            let mut all: Vec<_> = names.iter().map(|n| sys::rd_kafka_ConfigResource_new(kind, n.as_ptr())).collect();
            let (options, queue) = (asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_DescribeConfigs(self.client.ptr(), all.as_mut_ptr(), all.len(), options, queue);
            sys::rd_kafka_ConfigResource_destroy_array(all.as_mut_ptr(), all.len());
            let event = Self::answer(&asking, timeout)?;
            let result = sys::rd_kafka_event_DescribeConfigs_result(event.0.as_ptr());
            let mut count = 0;
            let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            let one = |resource| (text(sys::rd_kafka_ConfigResource_name(resource)), settings(resource));
            Ok(items(resources, count).map(one).collect())
        }
    }

    /// What became of each topic.
    pub fn create_topics(&self, topics: &[NewTopic<'_>], timeout: Duration) -> ByTopic<()> {
        let asking = self.asking(Op::RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout);
        let made = NewTopics::new(topics)?;
        // SAFETY: as for `describe_topics`.
        unsafe {
            let (all, options, queue) = (&made.0, asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_CreateTopics(self.client.ptr(), all.as_ptr().cast_mut(), all.len(), options, queue);
            let event = Self::answer(&asking, timeout)?;
            let result = sys::rd_kafka_event_CreateTopics_result(event.0.as_ptr());
            let mut count = 0;
            let results = sys::rd_kafka_CreateTopics_result_topics(result, &mut count);
            Ok(items(results, count).map(|one| topic_result(one)).collect())
        }
    }

    /// What became of each topic.
    pub fn delete_topics(&self, names: &[&str], timeout: Duration) -> ByTopic<()> {
        let names = c_names(names)?;
        let asking = self.asking(Op::RD_KAFKA_ADMIN_OP_DELETETOPICS, timeout);
        // SAFETY: as for `describe_configs`.
        unsafe {
            let mut all: Vec<_> = names.iter().map(|name| sys::rd_kafka_DeleteTopic_new(name.as_ptr())).collect();
            let (options, queue) = (asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_DeleteTopics(self.client.ptr(), all.as_mut_ptr(), all.len(), options, queue);
            sys::rd_kafka_DeleteTopic_destroy_array(all.as_mut_ptr(), all.len());
            let event = Self::answer(&asking, timeout)?;
            let result = sys::rd_kafka_event_DeleteTopics_result(event.0.as_ptr());
            let mut count = 0;
            let results = sys::rd_kafka_DeleteTopics_result_topics(result, &mut count);
            Ok(items(results, count).map(|one| topic_result(one)).collect())
        }
    }

    /// Deletes what lies before each offset; the offsets in the answer are the logs' new starts.
    pub fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Answer<Vec<Listed>> {
        let list = list(before.iter().map(|(partition, offset)| (partition, *offset)))?;
        let asking = self.asking(Op::RD_KAFKA_ADMIN_OP_DELETERECORDS, timeout);
        // SAFETY: as for `describe_configs`.
        unsafe {
            let mut one = sys::rd_kafka_DeleteRecords_new(list.ptr());
            sys::rd_kafka_DeleteRecords(self.client.ptr(), &mut one, 1, asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_DeleteRecords_destroy(one);
            let event = Self::answer(&asking, timeout)?;
            let result = sys::rd_kafka_event_DeleteRecords_result(event.0.as_ptr());
            Ok(listed(sys::rd_kafka_DeleteRecords_result_offsets(result)))
        }
    }

    /// Offsets by time or place; `committed` counts only what is before the first open transaction.
    pub fn list_offsets(
        &self,
        of: &[TopicPartition],
        spec: Spec,
        committed: bool,
        timeout: Duration,
    ) -> Answer<Vec<Listed>> {
        let spec = match spec {
            Spec::Earliest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
            Spec::Latest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
            Spec::Time(time) => time,
        };
        let list = list(of.iter().map(|partition| (partition, spec)))?;
        let asking = self.asking(Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, timeout);
        let level = match committed {
            true => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            false => sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        };
        // SAFETY: as for `describe_topics`.
        unsafe {
            Failure::take(sys::rd_kafka_AdminOptions_set_isolation_level(asking.options.as_ptr(), level))?;
            sys::rd_kafka_ListOffsets(self.client.ptr(), list.ptr(), asking.options.as_ptr(), asking.queue.as_ptr());
            let event = Self::answer(&asking, timeout)?;
            let result = sys::rd_kafka_event_ListOffsets_result(event.0.as_ptr());
            let mut count = 0;
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
            Ok(items(infos, count)
                .map(|info| one_listed(&*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info)))
                .collect())
        }
    }

    /// Has the client ask anew who leads a topic's partitions. It does so by itself when it is told that a broker is not the leader, but
    /// not when the same broker was made the leader once more: librdkafka (2.12.1, `rd_kafka_admin_result_err_refresh`) keeps the old
    /// epoch then, and each question about offsets is refused until its metadata is renewed, after minutes.
    pub fn renew_leaders(&self, topic: &str, timeout: Duration) -> Answer<()> {
        let name = c_name(topic)?;
        // SAFETY: the client lives; the topic's handle and the answer are ours. A null configuration is the default one.
        unsafe {
            let topic = sys::rd_kafka_topic_new(self.client.ptr(), name.as_ptr(), ptr::null_mut());
            if topic.is_null() {
                return Err(Failure::of(sys::rd_kafka_last_error().into(), String::new()));
            }
            let mut told = ptr::null();
            let code: Code =
                sys::rd_kafka_metadata(self.client.ptr(), 0, topic, &mut told, millis(timeout).max(1)).into();
            sys::rd_kafka_topic_destroy(topic);
            if code != Code::NoError {
                return Err(Failure::of(code, String::new()));
            }
            sys::rd_kafka_metadata_destroy(told);
            Ok(())
        }
    }

    /// A group's committed offsets with their metadata. `stable` ones: none while a transaction that has sent some is open, which
    /// shows as [`Code::UnstableOffsetCommit`] of the partition.
    pub fn committed(
        &self,
        group: &str,
        of: &[TopicPartition],
        stable: bool,
        timeout: Duration,
    ) -> Answer<Vec<Listed>> {
        let name = c_name(group)?;
        let list = list(of.iter().map(|partition| (partition, NO_OFFSET)))?;
        let op = Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
        // SAFETY: as for `describe_configs`.
        self.of_group(group, op, timeout, |client, asking| unsafe {
            Failure::take(sys::rd_kafka_AdminOptions_set_require_stable_offsets(
                asking.options.as_ptr(),
                stable.into(),
            ))?;
            let mut one = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), list.ptr());
            let (options, queue) = (asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_ListConsumerGroupOffsets(client.ptr(), &mut one, 1, options, queue);
            sys::rd_kafka_ListConsumerGroupOffsets_destroy(one);
            let event = Self::answer(asking, timeout)?;
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.0.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            let mut all = Vec::new();
            for group in items(groups, count) {
                borrowed_error(sys::rd_kafka_group_result_error(group))?;
                all.extend(listed(sys::rd_kafka_group_result_partitions(group)));
            }
            Ok(all)
        })
    }

    /// A group's members; none for a group that is not there.
    pub fn members(&self, group: &str, timeout: Duration) -> Answer<Vec<GroupMember>> {
        let name = c_name(group)?;
        let op = Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        // SAFETY: as for `describe_topics`.
        self.of_group(group, op, timeout, |client, asking| unsafe {
            let mut one = name.as_ptr();
            let (options, queue) = (asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_DescribeConsumerGroups(client.ptr(), &mut one, 1, options, queue);
            let event = Self::answer(asking, timeout)?;
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.0.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
            let mut all = Vec::new();
            for group in items(groups, count) {
                match borrowed_error(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
                    Err(failure) if failure.code == Code::GroupIdNotFound => continue,
                    other => other?,
                }
                for i in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
                    all.push(member(sys::rd_kafka_ConsumerGroupDescription_member(group, i)));
                }
            }
            Ok(all)
        })
    }

    /// Deletes a group with its offsets; it must have no member.
    pub fn delete_group(&self, group: &str, timeout: Duration) -> Answer<()> {
        let name = c_name(group)?;
        // SAFETY: as for `describe_configs`.
        self.of_group(group, Op::RD_KAFKA_ADMIN_OP_DELETEGROUPS, timeout, |client, asking| unsafe {
            let mut one = sys::rd_kafka_DeleteGroup_new(name.as_ptr());
            sys::rd_kafka_DeleteGroups(client.ptr(), &mut one, 1, asking.options.as_ptr(), asking.queue.as_ptr());
            sys::rd_kafka_DeleteGroup_destroy(one);
            let event = Self::answer(asking, timeout)?;
            let result = sys::rd_kafka_event_DeleteGroups_result(event.0.as_ptr());
            let mut count = 0;
            let groups = sys::rd_kafka_DeleteGroups_result_groups(result, &mut count);
            items(groups, count).try_for_each(|group| borrowed_error(sys::rd_kafka_group_result_error(group)))
        })
    }
}

/// Topics to be made; destroyed after the request.
struct NewTopics(Vec<*mut sys::rd_kafka_NewTopic_t>);

impl NewTopics {
    fn new(topics: &[NewTopic<'_>]) -> Answer<Self> {
        let mut all = Self(Vec::new());
        for topic in topics {
            let name = c_name(topic.name)?;
            let mut why = [0 as c_char; 256];
            // SAFETY: C strings that live through the calls, which copy them; there is room for a text.
            unsafe {
                let (count, factor) = (topic.partitions as c_int, topic.replication_factor as c_int);
                let made = sys::rd_kafka_NewTopic_new(name.as_ptr(), count, factor, why.as_mut_ptr(), why.len());
                if made.is_null() {
                    return Err(Failure::of(Code::InvalidArgument, text(why.as_ptr())));
                }
                all.0.push(made);
                for (name, value) in topic.settings {
                    let (name, value) = (c_name(name)?, c_name(value)?);
                    let code = sys::rd_kafka_NewTopic_set_config(made, name.as_ptr(), value.as_ptr());
                    as_code(code).map_or(Ok(()), |code| Err(Failure::of(code, String::new())))?;
                }
            }
        }
        Ok(all)
    }
}

impl Drop for NewTopics {
    fn drop(&mut self) {
        // SAFETY: ours, each once.
        unsafe { sys::rd_kafka_NewTopic_destroy_array(self.0.as_mut_ptr(), self.0.len()) }
    }
}

fn c_name(name: &str) -> Answer<CString> {
    CString::new(name).map_err(|_| Failure::of(Code::InvalidArgument, format!("{name:?} has a zero byte")))
}

fn c_names(names: &[&str]) -> Answer<Vec<CString>> {
    names.iter().map(|name| c_name(name)).collect()
}

fn as_code(code: sys::rd_kafka_resp_err_t) -> Option<Code> {
    (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// A list in librdkafka's form; offsets as it takes them, negative ones for places.
fn list<'a>(of: impl Iterator<Item = (&'a TopicPartition, i64)>) -> Answer<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (at, offset) in of {
        c_name(&at.topic)?;
        let mut element = list.add_partition(&at.topic, at.partition);
        let offset = if offset == NO_OFFSET { Offset::Invalid } else { Offset::from_raw(offset) };
        element.set_offset(offset).map_err(|e| Failure::of(Code::InvalidArgument, e.to_string()))?;
    }
    Ok(list)
}

/// # Safety
/// `first` is null or has `count` items, alive as long as they are iterated over.
unsafe fn items<'a, T>(first: *mut *const T, count: usize) -> impl Iterator<Item = *const T> + use<'a, T>
where
    T: 'a,
{
    let count = if first.is_null() { 0 } else { count };
    // SAFETY: by the caller.
    (0..count).map(move |i| unsafe { *first.add(i) })
}

/// # Safety
/// `error` is null or alive.
unsafe fn borrowed_error(error: *const sys::rd_kafka_error_t) -> Answer<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by the caller.
    unsafe {
        match as_code(sys::rd_kafka_error_code(error)) {
            Some(code) => Err(Failure::of(code, text(sys::rd_kafka_error_string(error)))),
            None => Ok(()),
        }
    }
}

/// # Safety
/// `topic` is alive.
unsafe fn described(topic: *const sys::rd_kafka_TopicDescription_t) -> Answer<Described> {
    // SAFETY: by the caller; an id lives as long as its topic, and a text as long as its id.
    unsafe {
        borrowed_error(sys::rd_kafka_TopicDescription_error(topic))?;
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() { String::new() } else { text(sys::rd_kafka_Uuid_base64str(id)) };
        let mut count = 0;
        let all = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let one = |partition| {
            let (mut replicas, mut in_sync) = (0, 0);
            sys::rd_kafka_TopicPartitionInfo_replicas(partition, &mut replicas);
            sys::rd_kafka_TopicPartitionInfo_isr(partition, &mut in_sync);
            let leader = sys::rd_kafka_TopicPartitionInfo_leader(partition);
            let has_leader = !leader.is_null() && sys::rd_kafka_Node_id(leader) >= 0;
            let number = sys::rd_kafka_TopicPartitionInfo_partition(partition);
            Partition { number, replicas, in_sync, has_leader }
        };
        Ok(Described { id, partitions: items(all, count).map(one).collect() })
    }
}

/// # Safety
/// `resource` is alive.
unsafe fn settings(resource: *const sys::rd_kafka_ConfigResource_t) -> Answer<BTreeMap<String, String>> {
    // SAFETY: by the caller.
    unsafe {
        if let Some(code) = as_code(sys::rd_kafka_ConfigResource_error(resource)) {
            return Err(Failure::of(code, text(sys::rd_kafka_ConfigResource_error_string(resource))));
        }
        let mut count = 0;
        let entries = sys::rd_kafka_ConfigResource_configs(resource, &mut count);
        let one = |e| (text(sys::rd_kafka_ConfigEntry_name(e)), text(sys::rd_kafka_ConfigEntry_value(e)));
        Ok(items(entries, count).map(one).collect())
    }
}

/// # Safety
/// `result` is alive.
unsafe fn topic_result(result: *const sys::rd_kafka_topic_result_t) -> (String, Answer<()>) {
    // SAFETY: by the caller.
    unsafe {
        let name = text(sys::rd_kafka_topic_result_name(result));
        match as_code(sys::rd_kafka_topic_result_error(result)) {
            Some(code) => (name, Err(Failure::of(code, text(sys::rd_kafka_topic_result_error_string(result))))),
            None => (name, Ok(())),
        }
    }
}

/// # Safety
/// `member` is alive.
unsafe fn member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: by the caller.
    unsafe {
        let instance = text(sys::rd_kafka_MemberDescription_group_instance_id(member));
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let list = match assignment.is_null() {
            true => ptr::null(),
            false => sys::rd_kafka_MemberAssignment_partitions(assignment),
        };
        GroupMember {
            id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            instance: Some(instance).filter(|i| !i.is_empty()),
            client: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            partitions: listed(list).into_iter().map(|listed| listed.partition).collect(),
        }
    }
}

/// # Safety
/// `list` is null or alive.
unsafe fn listed(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Listed> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: by the caller; the list has as many elements as it says.
    unsafe { (0..(*list).cnt as usize).map(|i| one_listed(&*(*list).elems.add(i))).collect() }
}

/// # Safety
/// The element's topic is a C string, and its metadata has as many bytes as it says.
unsafe fn one_listed(element: &sys::rd_kafka_topic_partition_t) -> Listed {
    // SAFETY: by the caller.
    let (topic, metadata) = unsafe {
        let metadata = match element.metadata.is_null() {
            true => &[],
            false => std::slice::from_raw_parts(element.metadata.cast::<u8>(), element.metadata_size),
        };
        (CStr::from_ptr(element.topic).to_string_lossy(), metadata)
    };
    Listed {
        partition: TopicPartition::new(&*topic, element.partition),
        offset: element.offset,
        metadata: std::str::from_utf8(metadata).ok().map(str::to_string),
        error: as_code(element.err),
    }
}
