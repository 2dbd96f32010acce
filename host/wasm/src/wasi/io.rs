//! WASI's streams and polling: standard output and error become lines of the function's log, standard input is at its end,
//! nothing ever waits. What becomes of lines is `voice`'s matter.

use wasmtime::component::Resource;
use wasmtime::{Result, bail};

use super::generated::wasi::io::streams::StreamError;
use super::generated::wasi::{cli, io};
use super::nothing::{Nothing, none};
use super::{HANDLES_MAX, TRANSFER_BYTES_MAX};
use crate::store::Data;
use crate::voice::Stream;

/// Standard input: nothing comes.
#[derive(Debug)]
pub struct Ended;

/// Something to wait for: a moment of the monotonic clock, nanoseconds; 0 for what is ready.
#[derive(Debug)]
pub struct Pollable {
    due_ns: u64,
}

type Streamed<T> = Result<std::result::Result<T, StreamError>>;

impl Data {
    /// A handle to something for the guest.
    pub(super) fn handle<T: Send + 'static>(&mut self, of: T) -> Result<Resource<T>> {
        match self.wasi.handles.push(of) {
            Ok(handle) => Ok(handle),
            Err(_) => bail!("it holds {HANDLES_MAX} handles of WASI, and wants another"),
        }
    }

    pub(super) fn pollable(&mut self, due_ns: u64) -> Result<Resource<Pollable>> {
        self.handle(Pollable { due_ns })
    }

    /// The guest gives a handle back.
    pub(super) fn give_back<T: 'static>(&mut self, handle: Resource<T>) -> Result<()> {
        self.wasi.handles.delete(handle)?;
        Ok(())
    }

    fn put(&mut self, to: &Resource<Stream>, bytes: &[u8]) -> Streamed<()> {
        if bytes.len() as u64 > TRANSFER_BYTES_MAX {
            bail!("wrote {} bytes at once; {TRANSFER_BYTES_MAX} are possible", bytes.len());
        }
        let stream = *self.wasi.handles.get(to)?;
        self.print(stream, bytes);
        Ok(Ok(()))
    }

    fn put_zeroes(&mut self, to: &Resource<Stream>, len: u64) -> Streamed<()> {
        // One more than may be written is refused there.
        self.put(to, &vec![0; len.min(TRANSFER_BYTES_MAX + 1) as usize])
    }
}

impl io::error::Host for Data {}

impl io::error::HostError for Data {
    fn to_debug_string(&mut self, this: Resource<Nothing>) -> Result<String> {
        none(&this)
    }

    fn drop(&mut self, this: Resource<Nothing>) -> Result<()> {
        none(&this)
    }
}

impl io::poll::Host for Data {
    /// What is due first is waited for, by moving the clock; a time-out beside something that is ready is not due.
    fn poll(&mut self, of: Vec<Resource<Pollable>>) -> Result<Vec<u32>> {
        let due = of.iter().map(|p| self.wasi.handles.get(p).map(|p| p.due_ns));
        let due = due.collect::<std::result::Result<Vec<_>, _>>()?;
        let Some(&soonest) = due.iter().min() else { bail!("polled nothing") };
        let clock = &mut self.wasi.clock;
        clock.wait(soonest);
        Ok((0..).zip(due).filter(|&(_, due)| clock.is_past(due)).map(|(at, _)| at).collect())
    }
}

impl io::poll::HostPollable for Data {
    fn ready(&mut self, this: Resource<Pollable>) -> Result<bool> {
        let due_ns = self.wasi.handles.get(&this)?.due_ns;
        Ok(self.wasi.clock.has_come(due_ns))
    }

    fn block(&mut self, this: Resource<Pollable>) -> Result<()> {
        let due_ns = self.wasi.handles.get(&this)?.due_ns;
        self.wasi.clock.wait(due_ns);
        Ok(())
    }

    fn drop(&mut self, this: Resource<Pollable>) -> Result<()> {
        self.give_back(this)
    }
}

impl io::streams::Host for Data {}

impl io::streams::HostInputStream for Data {
    fn read(&mut self, _: Resource<Ended>, _: u64) -> Streamed<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_read(&mut self, _: Resource<Ended>, _: u64) -> Streamed<Vec<u8>> {
        Ok(Err(StreamError::Closed))
    }

    fn skip(&mut self, _: Resource<Ended>, _: u64) -> Streamed<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_skip(&mut self, _: Resource<Ended>, _: u64) -> Streamed<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn subscribe(&mut self, _: Resource<Ended>) -> Result<Resource<Pollable>> {
        self.pollable(0)
    }

    fn drop(&mut self, this: Resource<Ended>) -> Result<()> {
        self.give_back(this)
    }
}

impl io::streams::HostOutputStream for Data {
    fn check_write(&mut self, _: Resource<Stream>) -> Streamed<u64> {
        Ok(Ok(TRANSFER_BYTES_MAX))
    }

    fn write(&mut self, this: Resource<Stream>, contents: Vec<u8>) -> Streamed<()> {
        self.put(&this, &contents)
    }

    fn blocking_write_and_flush(&mut self, this: Resource<Stream>, contents: Vec<u8>) -> Streamed<()> {
        self.put(&this, &contents)
    }

    /// A line is a line when it ends, or when the call does.
    fn flush(&mut self, _: Resource<Stream>) -> Streamed<()> {
        Ok(Ok(()))
    }

    fn blocking_flush(&mut self, _: Resource<Stream>) -> Streamed<()> {
        Ok(Ok(()))
    }

    fn subscribe(&mut self, _: Resource<Stream>) -> Result<Resource<Pollable>> {
        self.pollable(0)
    }

    fn write_zeroes(&mut self, this: Resource<Stream>, len: u64) -> Streamed<()> {
        self.put_zeroes(&this, len)
    }

    fn blocking_write_zeroes_and_flush(&mut self, this: Resource<Stream>, len: u64) -> Streamed<()> {
        self.put_zeroes(&this, len)
    }

    fn splice(&mut self, _: Resource<Stream>, _: Resource<Ended>, _: u64) -> Streamed<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn blocking_splice(&mut self, _: Resource<Stream>, _: Resource<Ended>, _: u64) -> Streamed<u64> {
        Ok(Err(StreamError::Closed))
    }

    fn drop(&mut self, this: Resource<Stream>) -> Result<()> {
        self.give_back(this)
    }
}

impl cli::stdin::Host for Data {
    fn get_stdin(&mut self) -> Result<Resource<Ended>> {
        self.handle(Ended)
    }
}

impl cli::stdout::Host for Data {
    fn get_stdout(&mut self) -> Result<Resource<Stream>> {
        self.handle(Stream::Out)
    }
}

impl cli::stderr::Host for Data {
    fn get_stderr(&mut self) -> Result<Resource<Stream>> {
        self.handle(Stream::Err)
    }
}
