//! Waiting for a condition, with a deadline; never for luck.

use std::time::{Duration, Instant};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Panics
/// When there is none within `seconds`: with `what` and the last thing that was seen.
pub fn eventually<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) => assert!(Instant::now() < deadline, "{what}: not within {seconds} s; last seen: {seen}"),
        }
        std::thread::sleep(PAUSE);
    }
}
