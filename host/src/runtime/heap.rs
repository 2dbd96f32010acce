//! How the C library's allocator treats this program: it keeps what a batch has freed for the next one.

/// Free bytes at the end of a thread's heap that are kept. A batch's results come and go with each call; by glibc's default of 128 KiB
/// they go back to the system each time and are faulted in again, page by page: up to 40 % of a map's time.
pub const KEPT_BYTES: i32 = 16 << 20;

/// Larger pieces are the system's own mappings, and go back to it at once.
pub const MAPPED_BYTES_MIN: i32 = 4 << 20;

/// Sets it up, once, before there are other threads. Nothing where the C library is not glibc.
pub fn keep() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `mallopt` takes numbers alone, and is called before other threads allocate. One that it does not take changes nothing.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Page faults of this process that needed no disk.
    fn faults() -> u64 {
        let text = std::fs::read_to_string("/proc/self/stat").unwrap();
        text.rsplit(')').next().unwrap().split_whitespace().nth(7).unwrap().parse().unwrap()
    }

    /// Takes and frees what a batch does, on a thread with nothing else on its heap.
    fn batches() -> u64 {
        let run = || {
            let before = faults();
            for _ in 0..100 {
                // Pieces below glibc's own bound for mappings: those move its other bounds.
                std::hint::black_box([(); 20].map(|()| vec![1u8; 100 << 10]));
            }
            faults() - before
        };
        std::thread::spawn(run).join().unwrap()
    }

    #[test]
    fn what_a_batch_frees_is_kept_for_the_next() {
        keep();
        let faults = batches();
        assert!(faults < 5_000, "{faults} pages were faulted in for 100 times 500 pages");
    }
}
