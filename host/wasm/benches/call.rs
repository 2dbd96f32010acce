//! What a call costs, nanoseconds a record, by how many records a call has. Placeholder until its functions are there.
fn main() {}
