//! Errors as RFC 9457 problem documents. One table of kinds; what is not in it cannot be answered.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Where kinds are described; a problem's type is this and its name.
pub const TYPES: &str = "/v1/problems/";

macro_rules! kinds {
    ($($kind:ident $status:literal $name:literal $title:literal $act:literal;)*) => {
        /// What kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $(#[doc = $title] $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// HTTP status, name, title, and what its receiver should do.
            pub fn row(self) -> (u16, &'static str, &'static str, &'static str) {
                match self { $(Kind::$kind => ($status, $name, $title, $act),)* }
            }
        }
    };
}

kinds! {
    Elsewhere 307 "elsewhere" "Another host has it" "Ask the host given, also in `location`.";
    BadParameter 400 "bad-parameter" "A parameter of the request is wrong" "Correct it.";
    BadBody 400 "bad-body" "The body is not what is expected here" "Correct it.";
    BadRecord 400 "bad-record" "A record cannot be written" "Correct the record named; nothing of the request was written.";
    TokenMissing 401 "token-missing" "The call needs the token" "Send `Authorization: Bearer` and what the file `token` in the host's state directory holds.";
    TokenWrong 401 "token-wrong" "The token is not this host's" "Send what the file `token` in this host's state directory holds.";
    HostRefused 403 "host-refused" "The name by which the host was called is not one of its own" "Call it by its address; names other than `localhost` must be allowed when it starts.";
    OriginRefused 403 "origin-refused" "A page from elsewhere may not call" "Call from a program, or from a page that the host itself serves.";
    InternalTopic 403 "internal-topic" "The topic belongs to the pipeline alone" "Write to a topic of your own.";
    StoreClosed 403 "store-closed" "The store is not to be asked" "Ask one of the stores that answer, see /v1/stores.";
    UnknownPath 404 "unknown-path" "There is nothing here" "See /v1/openapi.json for what there is.";
    UnknownFunction 404 "unknown-function" "The pipeline has no such function" "Use one of the names given.";
    UnknownVersion 404 "unknown-version" "The function has no such version" "Use one of those in its history.";
    NotOnTrial 404 "not-on-trial" "No version of the function is on trial" "Deploy one; `probation=hold` keeps it on trial until it is promoted.";
    UnknownTopic 404 "unknown-topic" "There is no such topic" "Use one of the names given.";
    UnknownStore 404 "unknown-store" "The pipeline has no such store" "Use one of the names given.";
    UnknownKey 404 "unknown-key" "The store has nothing of the key" "It may come; the detail says which partition was read.";
    UnknownPartition 404 "unknown-partition" "There is no such partition" "Use a smaller number; partitions count from 0.";
    MethodNotAllowed 405 "method-not-allowed" "The method does not fit the path" "See the header `allow`.";
    BodySlow 408 "body-slow" "The body did not come in time" "Send it again, in smaller pieces.";
    OtherPipeline 409 "other-pipeline" "Another pipeline runs here" "Use the name given, or another host.";
    DeployUnderWay 409 "deploy-under-way" "Another deploy of the function came first" "Look at the function's history, then try again.";
    AlreadyInForce 409 "already-in-force" "The version is in force already" "Nothing needs to be done.";
    OutOfStep 409 "out-of-step" "The producer's count does not fit" "Begin again under a new producer name.";
    Collected 410 "collected" "The component of the version is kept no longer" "Deploy its file again.";
    BodyTooLarge 413 "body-too-large" "The body is too large" "Send less at a time.";
    TooManyRecords 413 "too-many-records" "The request holds too many records" "Send fewer at a time.";
    RecordTooLarge 413 "record-too-large" "A record is too large" "Make it smaller; nothing of the request was written.";
    MediaType 415 "media-type" "The body's type is not taken here" "Send one of the types given.";
    OffsetOutOfRange 416 "offset-out-of-range" "There are no records at this offset" "Read from an offset between `start` and `end`.";
    ComponentRefused 422 "component-refused" "The component was not taken" "Correct what the reasons say; the version before runs on.";
    FunctionFailed 500 "function-failed" "A function failed on what is stored" "See the detail; `values=stored` gives states as they are.";
    Internal 500 "internal" "The host failed" "See its log.";
    NotOnKafka 501 "not-on-kafka" "The pipeline runs on Kafka, where this is not there" "Do as the detail says.";
    NotReady 503 "not-ready" "The pipeline is not doing its work" "See the reasons; try again.";
    Restoring 503 "restoring" "The partition's state is not up to date yet" "Try again.";
    OwnerUnknown 503 "owner-unknown" "Which host has the partition is not known" "Try again; where hosts do not say where they are, see `--advertise`.";
    StorageUnavailable 503 "storage-unavailable" "The storage takes nothing now" "Look at the disk's free space; try again.";
    Busy 503 "busy" "Too much is asked at one time" "Try again.";
    Stopping 503 "stopping" "The host is stopping" "Try again when it has been started.";
}

impl Kind {
    /// HTTP status.
    pub fn status(self) -> u16 {
        self.row().0
    }

    /// The last part of its type.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|k| k.name() == name)
    }

    /// Whether the same request may go well later, and surely had no effect now.
    pub fn passes(self) -> bool {
        use Kind::{Busy, NotReady, OwnerUnknown, Restoring, Stopping, StorageUnavailable};
        matches!(self, NotReady | Busy | Stopping | StorageUnavailable | Restoring | OwnerUnknown)
    }
}

/// A problem: its document, behind a pointer since it goes up with every result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Problem(Box<Document>);

impl std::ops::Deref for Problem {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.0
    }
}

/// What a problem document says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// `/v1/problems/` and the kind's name; the host describes it there.
    #[serde(rename = "type")]
    pub type_: String,
    /// The kind, in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong here, and what would be right.
    pub detail: String,
    /// Path of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Line of the record that is wrong, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Each reason, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// First offset there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// The offset that the next record will have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<i64>,
    /// The partition it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Address of the host to ask instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

impl Problem {
    /// A problem of a kind; `detail` says what is wrong and what would be right.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, name, title, _) = kind.row();
        Self(Box::new(Document {
            type_: format!("{TYPES}{name}"),
            title: title.into(),
            status,
            detail: detail.into(),
            instance: None,
            line: None,
            reasons: Vec::new(),
            start: None,
            end: None,
            partition: None,
            host: None,
        }))
    }

    /// With the path of its request.
    #[must_use]
    pub fn at(mut self, path: String) -> Self {
        self.0.instance = Some(path);
        self
    }

    /// With the line of the record it is about.
    #[must_use]
    pub fn at_line(mut self, line: u32) -> Self {
        self.0.line = Some(line);
        self
    }

    /// With each reason.
    #[must_use]
    pub fn because(mut self, reasons: Vec<String>) -> Self {
        self.0.reasons = reasons;
        self
    }

    /// With the offsets there are.
    #[must_use]
    pub fn between(mut self, start: i64, end: i64) -> Self {
        (self.0.start, self.0.end) = (Some(start), Some(end));
        self
    }

    /// With the partition it is about.
    #[must_use]
    pub fn of_partition(mut self, partition: u32) -> Self {
        self.0.partition = Some(partition);
        self
    }

    /// With the address of the host to ask instead.
    #[must_use]
    pub fn ask(mut self, host: String) -> Self {
        self.0.host = Some(host);
        self
    }

    /// Its kind; none where a later version of the host knows one more.
    pub fn kind(&self) -> Option<Kind> {
        Kind::named(self.type_.strip_prefix(TYPES)?)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.detail)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n  {reason}"))
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, serde_json::to_vec(&self).unwrap_or_default()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self.kind() {
            Some(Kind::TokenMissing | Kind::TokenWrong) => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Some(kind) if kind.passes() => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        // So that what stands in front can add where it was.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_of_their_own_that_come_back() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(*kind));
            assert_eq!(Problem::new(*kind, "x").kind(), Some(*kind));
        }
        assert_eq!(Kind::named("new-kind"), None);
    }

    #[test]
    fn a_problem_reads_back_and_keeps_what_it_says() {
        let problem = Problem::new(Kind::ComponentRefused, "no").because(vec!["a".into(), "b".into()]);
        let text = serde_json::to_string(&problem).unwrap();
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
        assert_eq!(problem.to_string(), "no\n  a\n  b");
    }
}
