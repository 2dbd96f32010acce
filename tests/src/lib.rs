//! What the tests from outside share: the program as a child process, the access-log example with its oracle, waiting.

pub mod access;
pub mod host;
pub mod kafka;
pub mod padding;
pub mod peers;
pub mod process;
pub mod wait;
