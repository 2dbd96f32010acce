//! Producer and administration against a real broker. One broker serves all tests that do no harm to it; those that freeze or kill
//! one have their own.

mod administration;
mod coordinator;
mod leaders;
mod outcomes;
mod plain;
mod refusals;
mod speed;
mod support;
mod transactions;
