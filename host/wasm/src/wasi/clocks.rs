//! WASI's clocks, chance, environment and exit: everything a guest could learn of its surroundings, and learns nothing but what it
//! is granted. Without a grant no clock of the machine is read here, and no random source; a call that asks the same questions gets the
//! same answers.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use wasmtime::component::Resource;
use wasmtime::{Result, bail};

use super::TRANSFER_BYTES_MAX;
use super::generated::wasi::clocks::wall_clock::Datetime;
use super::generated::wasi::{cli, clocks, random};
use super::io::Pollable;
use crate::store::Data;

/// By how much the monotonic clock moves at each reading, nanoseconds.
const READING_NS: u64 = 1_000;

/// Where the stream of random numbers begins: any number would do.
const SEED: u64 = 0x6d69_6c6c_7374_7265;

/// The monotonic clock: it moves when it is looked at, and to what is waited for. So programs that wait by the clock go on,
/// and at once.
#[derive(Debug, Default)]
pub(super) struct Counter {
    now_ns: u64,
}

impl Counter {
    /// The first is not 0, which Go's runtime takes for a broken clock.
    fn read(&mut self) -> u64 {
        self.now_ns = self.now_ns.saturating_add(READING_NS);
        self.now_ns
    }

    /// Whether a moment has come; a look is a reading.
    pub(super) fn has_come(&mut self, due_ns: u64) -> bool {
        due_ns == 0 || self.read() >= due_ns
    }

    /// Waits for a moment.
    pub(super) fn wait(&mut self, due_ns: u64) {
        self.now_ns = self.now_ns.max(due_ns);
    }

    /// Whether a moment has come, without a look at the clock.
    pub(super) fn is_past(&self, due_ns: u64) -> bool {
        self.now_ns >= due_ns
    }
}

/// Random numbers: SplitMix64 from a fixed seed.
#[derive(Debug)]
pub(super) struct Stream {
    state: u64,
}

impl Default for Stream {
    fn default() -> Self {
        Self { state: SEED }
    }
}

impl Stream {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        bounded(len)?;
        let mut out = Vec::with_capacity(len as usize + 8);
        while (out.len() as u64) < len {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(len as usize);
        Ok(out)
    }
}

/// So many random bytes may be asked for at once.
fn bounded(len: u64) -> Result<()> {
    if len > TRANSFER_BYTES_MAX {
        bail!("asked for {len} random bytes at once; {TRANSFER_BYTES_MAX} are possible");
    }
    Ok(())
}

/// Random bytes of the machine, for who is granted them.
fn granted(len: u64) -> Result<Vec<u8>> {
    bounded(len)?;
    let mut out = vec![0; len as usize];
    let mut filled = 0;
    while filled < out.len() {
        match getrandom(&mut out[filled..], GetRandomFlags::empty()) {
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            Err(why) => bail!("the machine gives no random numbers: {why}"),
        }
    }
    Ok(out)
}

impl Data {
    fn random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        if self.shared.limits.grants.random { granted(len) } else { self.wasi.random.bytes(len) }
    }

    fn random_u64(&mut self) -> Result<u64> {
        if !self.shared.limits.grants.random {
            return Ok(self.wasi.random.next());
        }
        let bytes = granted(size_of::<u64>() as u64)?;
        Ok(bytes.into_iter().fold(0, |number, byte| (number << 8) | u64::from(byte)))
    }
}

impl clocks::monotonic_clock::Host for Data {
    fn now(&mut self) -> Result<u64> {
        Ok(self.wasi.clock.read())
    }

    fn resolution(&mut self) -> Result<u64> {
        Ok(READING_NS)
    }

    fn subscribe_instant(&mut self, when: u64) -> Result<Resource<Pollable>> {
        self.pollable(when)
    }

    fn subscribe_duration(&mut self, when: u64) -> Result<Resource<Pollable>> {
        self.pollable(self.wasi.clock.now_ns.saturating_add(when))
    }
}

impl clocks::wall_clock::Host for Data {
    fn now(&mut self) -> Result<Datetime> {
        if self.shared.limits.grants.wall_clock {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            return Ok(Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() });
        }
        let ms = self.wasi.wall_ms;
        Ok(Datetime { seconds: ms / 1_000, nanoseconds: (ms % 1_000) as u32 * 1_000_000 })
    }

    fn resolution(&mut self) -> Result<Datetime> {
        Ok(Datetime { seconds: 0, nanoseconds: 1_000_000 })
    }
}

impl random::random::Host for Data {
    fn get_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl random::insecure::Host for Data {
    fn get_insecure_random_bytes(&mut self, len: u64) -> Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> Result<u64> {
        self.random_u64()
    }
}

impl random::insecure_seed::Host for Data {
    fn insecure_seed(&mut self) -> Result<(u64, u64)> {
        if self.shared.limits.grants.random {
            return Ok((self.random_u64()?, self.random_u64()?));
        }
        let mut stream = Stream::default();
        Ok((stream.next(), stream.next()))
    }
}

impl cli::environment::Host for Data {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(self.shared.limits.grants.env.clone())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(None)
    }
}

impl cli::exit::Host for Data {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        self.exit_with_code(status.is_err().into())
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        bail!("it called exit with code {code}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_moves_by_looks_and_waits_alone() {
        let mut clock = Counter::default();
        assert_eq!([clock.read(), clock.read()], [1_000, 2_000]);
        clock.wait(1_500);
        assert!(clock.is_past(2_000) && !clock.is_past(2_001), "it does not go back");
        clock.wait(10_000);
        assert!(!clock.has_come(11_001) && clock.has_come(12_000));
        clock.wait(u64::MAX);
        assert_eq!([clock.read(), clock.read()], [u64::MAX; 2]);
    }

    /// Functions may have built on these numbers: they stay.
    #[test]
    fn random_numbers_are_these() {
        let mut stream = Stream::default();
        let first = stream.bytes(12).unwrap();
        assert_eq!(first, Stream::default().bytes(12).unwrap());
        assert_eq!(first[..8], Stream::default().next().to_le_bytes());
        assert_ne!(first, stream.bytes(12).unwrap());
        assert_eq!(Stream::default().bytes(TRANSFER_BYTES_MAX).unwrap().len() as u64, TRANSFER_BYTES_MAX);
        let more = stream.bytes(TRANSFER_BYTES_MAX + 1).unwrap_err().to_string();
        assert_eq!(more, "asked for 65537 random bytes at once; 65536 are possible");
    }
}
