//! The plan of a pipeline: what was asked for, what is wrong with it, how it is cut into sub-topologies.

pub mod check;
pub mod graph;
pub mod spec;
