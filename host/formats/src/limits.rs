//! How large, how deep and how long anything here may be. What passes a limit in a record is a bad record.

/// Levels of arrays and objects, records, lists and maps within each other, in a value or a schema.
pub const NESTING_MAX: usize = 64;

/// Bytes of a JSON text that is read.
pub const JSON_BYTES_MAX: usize = 16 << 20;

/// Bytes of JSON that a value may be decoded to: a few bytes of Avro can stand for very many.
pub const DECODED_BYTES_MAX: usize = 16 << 20;

/// Items of a value's lists that take no bytes (nulls, records without fields): any number of these is a few bytes.
pub const EMPTY_ITEMS_MAX: u64 = 10_000;

/// Bytes that the values of one batch may come to; those beyond are refused. A column of a batch ends at 2 GiB.
pub const BATCH_BYTES_MAX: usize = 512 << 20;

/// Bytes that a value may be encoded to.
pub const ENCODED_BYTES_MAX: usize = 16 << 20;

/// Values within one that is encoded, defaults of missing fields included: these can multiply.
pub const ENCODED_VALUES_MAX: usize = 4 << 20;

/// Bytes of a schema's text, each of those that it refers to by itself.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;

/// Types within an Avro schema, with those that it refers to.
pub const SCHEMA_TYPES_MAX: usize = 10_000;

/// Bytes of an Avro decimal.
pub const DECIMAL_BYTES_MAX: usize = 256;

/// Schemas that one may refer to, and these again, all together.
pub const REFERENCES_MAX: usize = 100;

/// Schemas by id that are kept; the one that was not needed for longest makes room.
pub const CACHED_SCHEMAS_MAX: usize = 1_000;

/// Ids without a schema that are kept in mind.
pub const CACHED_UNKNOWN_MAX: usize = 10_000;

/// How long an id without a schema is taken to have none, milliseconds.
pub const UNKNOWN_MS: u64 = 30_000;

/// How often a registry that does not answer, or answers with an error of its own, is asked.
pub const ATTEMPTS_MAX: u32 = 5;

/// How long one answer may take, milliseconds.
pub const ANSWER_MS_MAX: u64 = 2_000;

/// How long asking may take with all attempts, milliseconds: well below what a broker waits for a transaction.
pub const ASKING_MS_MAX: u64 = 5_000;

/// The pause before the second attempt, milliseconds; doubled before each that follows.
pub const BACKOFF_MS: u64 = 50;

/// How long a registry that was given up is not asked again, milliseconds, so that each task does not wait for it anew.
pub const REST_MS: u64 = 1_000;

/// Bytes of an answer: a schema in JSON, where each byte may be escaped.
pub const ANSWER_BYTES_MAX: usize = 2 * SCHEMA_BYTES_MAX;

/// Message indexes that a Protobuf record may begin with: levels of messages within each other.
pub const MESSAGE_INDEXES_MAX: usize = 32;
