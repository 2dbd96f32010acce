//! Avro: schemas, and values between their binary form and JSON.
//!
//! The schema that wrote a value reads it; there is no resolution of one schema against another. How each type stands in
//! JSON is in `docs/formats.md`.

mod decimal;
mod decode;
mod encode;
mod schema;

pub use decode::decode;
pub use encode::encode;
pub use schema::Schema;
