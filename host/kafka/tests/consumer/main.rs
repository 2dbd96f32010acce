//! The consumer against a real broker: membership, reading, replay. What a host does with it is not here.

mod life;
mod reading;
mod replaying;
mod sharing;
mod support;
