//! Topics and records on the tests' broker, and a small host: a coordinating thread and workers that write down what they
//! read. No test is here.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker as TaskWaker};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use millstream_kafka::config::Properties;
use millstream_kafka::consumer::{Event, Leave, Member, Placement, Reader, Settings, Token, Waker};
use millstream_kafka::fetch::TopicPartition;
use millstream_test_broker::{Cluster, Options};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::TopicPartitionList;

/// Longer than anything takes on a machine that builds at the same time.
pub const LONG: Duration = Duration::from_secs(60);

/// One poll or read.
pub const STEP: Duration = Duration::from_millis(50);

/// One broker for all tests here; it compacts at once, and can be told who may do what.
pub fn broker() -> &'static Cluster {
    static BROKER: OnceLock<Cluster> = OnceLock::new();
    let settings = [
        ("log.cleaner.backoff.ms", "200"),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("allow.everyone.if.no.acl.found", "true"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    BROKER.get_or_init(|| Cluster::with(&Options { settings, ..Options::default() }))
}

pub fn bootstrap() -> String {
    broker().bootstrap()
}

pub fn properties(more: &[(&str, &str)]) -> Properties {
    let own = [("bootstrap.servers".to_owned(), bootstrap())];
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Properties::new(own.into_iter().chain(more).collect()).expect("properties")
}

pub fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap());
    config
}

pub fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Waits for a condition.
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < deadline, "not within {} s: {what}", LONG.as_secs());
        thread::sleep(Duration::from_millis(10));
    }
}

/// The administrator's client is asynchronous, and the tests are not.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = TaskWaker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().expect("administrator")
}

/// A new topic.
pub fn create(name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let created = wait(admin().create_topics([&topic], &AdminOptions::new())).expect("create a topic");
    assert_eq!(created, [Ok(name.to_owned())]);
}

/// Deletes the records of a partition that lie before an offset.
pub fn delete_before(topic: &str, partition: i32, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(offset)).expect("offset");
    wait(admin().delete_records(&list, &AdminOptions::new())).expect("delete records");
}

/// A producer, transactional if it has an id.
pub fn producer(transactional_id: Option<&str>) -> BaseProducer {
    let mut config = client();
    config.set("linger.ms", "5").set("compression.type", "lz4").set("queue.buffering.max.messages", "2000000");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id).set("transaction.timeout.ms", "10000");
    }
    let producer: BaseProducer = config.create().expect("producer");
    if transactional_id.is_some() {
        producer.init_transactions(LONG).expect("init transactions");
    }
    producer
}

/// Puts a record into the producer's queue.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &str) {
    let mut record = BaseRecord::<str, str>::to(topic).partition(partition).key("k").payload(value);
    while let Err((error, again)) = producer.send(record) {
        assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
        producer.poll(Duration::from_millis(10));
        record = again;
    }
}

/// Writes so many records into each partition, their values counted up from `first`.
pub fn fill(topic: &str, partitions: i32, first: usize, count: usize) {
    let producer = producer(None);
    for i in first..first + count {
        (0..partitions).for_each(|p| send(&producer, topic, p, &i.to_string()));
    }
    producer.flush(LONG).expect("flush");
}

/// Joins alone and waits until it is given so many partitions; they are read from the beginning.
pub fn join(properties: &Properties, settings: &Settings, partitions: usize) -> (Member, Vec<Reader>, Token) {
    let (mut member, readers) = Member::join(properties, settings).expect("join");
    let assigned = expect_assigned(&mut member);
    assert_eq!(assigned.len(), partitions);
    let token = member.assign(&places(&assigned, readers.len(), 0)).expect("assign").expect("not void");
    (member, readers, token)
}

/// The next event that is not an error.
pub fn next_event(member: &mut Member) -> Event {
    let deadline = Instant::now() + LONG;
    loop {
        match member.poll(STEP) {
            Some(Event::Error(error)) => eprintln!("{error}"),
            Some(event) => return event,
            None => assert!(Instant::now() < deadline, "no event"),
        }
    }
}

pub fn expect_assigned(member: &mut Member) -> Vec<TopicPartition> {
    match next_event(member) {
        Event::Assigned(partitions) => partitions,
        other => panic!("{other:?}"),
    }
}

/// A place for each partition, read from `start` on; tags in order of topic and number.
pub fn places(partitions: &[TopicPartition], workers: usize, start: i64) -> Vec<Placement> {
    let mut partitions = partitions.to_vec();
    partitions.sort();
    let place = |(tag, partition): (usize, TopicPartition)| {
        let worker = partition.partition as usize % workers;
        Placement { partition, worker, tag, start }
    };
    partitions.into_iter().enumerate().map(place).collect()
}

/// What all hosts of a test have read, and up to where.
#[derive(Default)]
pub struct Ledger {
    pub positions: Mutex<BTreeMap<TopicPartition, i64>>,
    pub reads: Mutex<BTreeMap<TopicPartition, Vec<i64>>>,
}

impl Ledger {
    pub fn position(&self, partition: &TopicPartition) -> i64 {
        self.positions.lock().unwrap().get(partition).copied().unwrap_or(0)
    }

    /// Waits until everything up to `end` was read of each partition, and checks that each record was, once, in order.
    pub fn complete(&self, topic: &str, partitions: i32, end: i64) {
        until("everything is read", || (0..partitions).all(|p| self.position(&tp(topic, p)) >= end));
        let reads = self.reads.lock().unwrap();
        for p in 0..partitions {
            let (read, all) = (&reads[&tp(topic, p)], (0..end).collect::<Vec<_>>());
            let at = read.iter().zip(&all).position(|(r, a)| r != a).unwrap_or(read.len().min(all.len()));
            assert_eq!(read.len(), all.len(), "{topic}/{p}: differs at {at}: {:?}", &read[at..read.len().min(at + 3)]);
            assert_eq!(read, &all, "{topic}/{p}: differs at {at}");
        }
    }
}

enum Order {
    Open(TopicPartition, i64),
    Close(Vec<TopicPartition>, Sender<()>),
    Stop,
}

/// A host that runs until it is told to stop.
pub struct Host {
    stop: Arc<AtomicBool>,
    pub owns: Arc<Mutex<BTreeSet<TopicPartition>>>,
    pub events: Arc<Mutex<Vec<Event>>>,
    thread: Option<JoinHandle<Member>>,
}

pub fn settings(group: &str, instance: Option<&str>, topics: &[&str], workers: usize) -> Settings {
    Settings {
        group: group.to_owned(),
        instance: instance.map(str::to_owned),
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        workers,
        fetch_bytes_max: 16 << 20,
        buffer_bytes_max: 4 << 20,
    }
}

impl Host {
    pub fn start(properties: &Properties, settings: &Settings, ledger: &Arc<Ledger>) -> Self {
        let (member, readers) = Member::join(properties, settings).expect("join");
        let (stop, owns, events) = (Arc::default(), Arc::<Mutex<_>>::default(), Arc::<Mutex<_>>::default());
        let mut coordinator = Coordinator {
            member,
            workers: readers.into_iter().map(|reader| work(reader, ledger.clone())).collect(),
            tags: 0,
            ledger: ledger.clone(),
            owns: owns.clone(),
            events: events.clone(),
        };
        let stopped: Arc<AtomicBool> = stop;
        let stop = stopped.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                if let Some(event) = coordinator.member.poll(STEP) {
                    coordinator.answer(event);
                }
            }
            coordinator.end()
        });
        Self { stop, owns, events, thread: Some(thread) }
    }

    pub fn owns(&self) -> usize {
        self.owns.lock().unwrap().len()
    }

    /// How many answers to rebalances it gave.
    pub fn rebalances(&self) -> usize {
        self.events.lock().unwrap().iter().filter(|e| !matches!(e, Event::Error(_))).count()
    }

    pub fn stop(mut self, leave: Leave) {
        self.stop.store(true, Ordering::SeqCst);
        let member = self.thread.take().unwrap().join().expect("the host's thread");
        member.close(leave).expect("close");
    }
}

/// A host of a test that failed ends with it.
impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

struct Coordinator {
    member: Member,
    workers: Vec<(Sender<Order>, Waker, JoinHandle<()>)>,
    tags: usize,
    ledger: Arc<Ledger>,
    owns: Arc<Mutex<BTreeSet<TopicPartition>>>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Coordinator {
    fn answer(&mut self, event: Event) {
        match &event {
            Event::Assigned(partitions) => {
                let place = |(i, p): (usize, &TopicPartition)| {
                    let worker = p.partition as usize % self.workers.len();
                    let start = self.ledger.position(p);
                    self.workers[worker].0.send(Order::Open(p.clone(), start)).unwrap();
                    Placement { partition: p.clone(), worker, tag: self.tags + i, start }
                };
                let placements: Vec<_> = partitions.iter().enumerate().map(place).collect();
                self.tags += placements.len();
                if self.member.assign(&placements).expect("assign").is_some() {
                    self.owns.lock().unwrap().extend(partitions.iter().cloned());
                }
            }
            Event::Revoked(partitions) | Event::Lost(partitions) => {
                self.owns.lock().unwrap().retain(|p| !partitions.contains(p));
                self.close(partitions);
                self.member.release().expect("release");
            }
            Event::Error(error) => eprintln!("{error}"),
        }
        self.events.lock().unwrap().push(event);
    }

    /// Waits until no worker does anything with these partitions.
    fn close(&self, partitions: &[TopicPartition]) {
        let (done, all) = channel();
        for (orders, waker, _) in &self.workers {
            orders.send(Order::Close(partitions.to_vec(), done.clone())).unwrap();
            waker.wake();
        }
        self.workers.iter().for_each(|_| all.recv_timeout(LONG).expect("a worker stands still"));
    }

    fn end(self) -> Member {
        for (orders, waker, thread) in self.workers {
            let _ = orders.send(Order::Stop);
            waker.wake();
            thread.join().expect("a worker");
        }
        self.member
    }
}

/// A worker that notes what it reads, and checks that it misses nothing.
fn work(mut reader: Reader, ledger: Arc<Ledger>) -> (Sender<Order>, Waker, JoinHandle<()>) {
    let (orders, received): (Sender<Order>, Receiver<Order>) = channel();
    let waker = reader.waker();
    let thread = thread::spawn(move || {
        let mut next: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        loop {
            for order in received.try_iter() {
                match order {
                    Order::Open(partition, start) => {
                        next.insert(partition, start);
                    }
                    Order::Close(partitions, done) => {
                        next.retain(|p, _| !partitions.contains(p));
                        let _ = done.send(());
                    }
                    Order::Stop => return,
                }
            }
            let Ok(read) = reader.read(1_000, Duration::from_secs(1)) else { return };
            assert!(read.problems.is_empty(), "{:?}", read.problems);
            for fetched in read.fetched {
                let Some(at) = next.get_mut(&*fetched.partition) else { continue };
                assert_eq!(fetched.from, *at, "{}: something is missing or comes twice", fetched.partition);
                assert_eq!(fetched.offsets.len(), fetched.batch.len());
                *at = fetched.next;
                let mut reads = ledger.reads.lock().unwrap();
                reads.entry((*fetched.partition).clone()).or_default().extend(fetched.offsets.iter());
                ledger.positions.lock().unwrap().insert((*fetched.partition).clone(), fetched.next);
            }
        }
    });
    (orders, waker, thread)
}
