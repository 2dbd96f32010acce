//! What reading costs: CPU time of the whole process, client's threads included, for each record that comes out in columns.
//! A test of its own, since others in its process would be counted too. Nothing is done with the records.

#[path = "consumer/support.rs"]
#[allow(dead_code)]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer as _;
use rustix::time::{ClockId, clock_gettime};

use support::{LONG, create, join, producer, properties, send, settings};

/// Measured: 0.5 on the machine that this was written on. More than four times that is not noise of others.
const CPU_US_MAX: f64 = 2.0;

const PARTITIONS: i32 = 4;

/// Records a call; what the host asks for.
const MESSAGES_MAX: usize = 4_096;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// `MILLSTREAM_COST_RECORDS`: how many of 100 bytes each, for each partition.
#[test]
fn a_record_costs_little() {
    let count: usize = std::env::var("MILLSTREAM_COST_RECORDS").ok().and_then(|v| v.parse().ok()).unwrap_or(200_000);
    create("cost", PARTITIONS, &[]);
    let (producer, value) = (producer(None), "v".repeat(100));
    for _ in 0..count {
        (0..PARTITIONS).for_each(|p| send(&producer, "cost", p, &value));
    }
    producer.flush(LONG).expect("flush");
    drop(producer);
    let all = count * PARTITIONS as usize;
    for workers in [1, 2] {
        let mut settings = settings(&format!("cost-{workers}"), None, &["cost"], workers);
        settings.fetch_bytes_max = 32 << 20;
        let (_member, readers, _) = join(&properties(&[]), &settings, PARTITIONS as usize);
        let (began, cpu_before) = (Instant::now(), cpu());
        let threads: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                thread::spawn(move || {
                    let (mut read, mut calls) = (0, 0);
                    while read < all / workers {
                        calls += 1;
                        let got = reader.read(MESSAGES_MAX, Duration::from_millis(100)).expect("open");
                        read += got.fetched.iter().map(|f| f.batch.len()).sum::<usize>();
                        assert!(began.elapsed() < LONG, "{read} of {} records came", all / workers);
                    }
                    calls
                })
            })
            .collect();
        let calls: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
        let (cpu, seconds) = (cpu() - cpu_before, began.elapsed().as_secs_f64());
        let each = cpu.as_secs_f64() * 1e6 / all as f64;
        println!(
            "{workers} worker(s): {each:.3} µs CPU a record, {:.0} records/s, {} records a call",
            all as f64 / seconds,
            all / calls
        );
        assert!(each < CPU_US_MAX, "{each} µs a record");
    }
}
