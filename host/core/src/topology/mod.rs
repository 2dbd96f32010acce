//! The plan of a pipeline: what was asked for, what is wrong with it, how it is cut into sub-topologies, how it is drawn.

pub mod check;
pub mod describe;
pub mod graph;
pub mod spec;
