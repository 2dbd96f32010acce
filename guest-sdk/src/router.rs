//! Routers: for sinks, to which topic and partition a result goes. What may be written, and what a topic takes, is the host's
//! matter.

use crate::{Batch, BytesColumn, Record, Reject, Rejection, Routed};

/// Says where results go. Any `fn(&Record) -> Result<R, Reject>` is one, with an R that is a [`Route`].
pub trait Router {
    /// What it says of a result.
    type Route: Route;
    /// Where this result goes. A window is not in its key, but in [`Record::window`].
    fn route(&self, record: &Record<'_>) -> Result<Self::Route, Reject>;
}

/// Where a result goes: an `Option` of a topic's name, or that and the number of its partition. No name: the sink's own topic.
/// Without a partition it goes by its key; a router says the partition of every result or of none.
pub trait Route {
    /// Whether it says a partition.
    const PARTITIONED: bool;
    /// A topic of the sink's list or pattern.
    fn topic(&self) -> Option<&str>;
    /// The partition, where it says one.
    fn partition(&self) -> u32;
}

impl<T: AsRef<str>> Route for Option<T> {
    const PARTITIONED: bool = false;

    fn topic(&self) -> Option<&str> {
        self.as_ref().map(AsRef::as_ref)
    }

    fn partition(&self) -> u32 {
        0
    }
}

impl<T: AsRef<str>> Route for (Option<T>, u32) {
    const PARTITIONED: bool = true;

    fn topic(&self) -> Option<&str> {
        self.0.as_ref().map(AsRef::as_ref)
    }

    fn partition(&self) -> u32 {
        self.1
    }
}

impl<F, R> Router for F
where
    F: for<'a, 'b> Fn(&'a Record<'b>) -> Result<R, Reject>,
    R: Route,
{
    type Route = R;

    #[inline]
    fn route(&self, record: &Record<'_>) -> Result<R, Reject> {
        self(record)
    }
}

/// Asks `router` about every result.
pub fn route<R: Router + ?Sized>(router: &R, records: &Batch) -> Routed {
    let mut topics: Vec<Option<String>> = Vec::with_capacity(records.len());
    let mut partitions = R::Route::PARTITIONED.then(|| Vec::with_capacity(records.len()));
    let mut rejected = Vec::new();
    for index in 0..records.len() {
        let found = router.route(&records.record(index)).map_err(|reject| {
            rejected.push(Rejection { index: index as u32, reason: reject.into_reason() });
        });
        // Of a result that is refused nothing counts, but there is an item for it.
        topics.push(found.as_ref().ok().and_then(Route::topic).map(str::to_owned));
        partitions.iter_mut().for_each(|all| all.push(found.as_ref().map_or(0, Route::partition)));
    }
    let topics: BytesColumn = topics.iter().map(|topic| topic.as_deref().map(str::as_bytes)).collect();
    Routed { topics, partitions, rejected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(given: &[&str]) -> Batch {
        given.iter().map(|value| Record { value: Some(value.as_bytes()), ..Record::default() }).collect()
    }

    #[test]
    fn each_result_has_a_topic_the_sinks_own_or_a_reason() {
        fn by_level(record: &Record) -> Result<Option<String>, Reject> {
            match record.text()? {
                "" => Err("an empty line".into()),
                "debug" => Ok(None),
                level => Ok(Some(format!("lines-{level}"))),
            }
        }
        let routed = route(&by_level, &values(&["error", "debug", "", "warn"]));
        let topics = [Some(&b"lines-error"[..]), None, None, Some(b"lines-warn")];
        assert_eq!((routed.topics, routed.partitions), (topics.into_iter().collect(), None));
        assert_eq!(routed.rejected, [Rejection { index: 2, reason: "an empty line".into() }]);
    }

    #[test]
    fn who_says_partitions_says_them_of_all() {
        fn by_length(record: &Record) -> Result<(Option<&'static str>, u32), Reject> {
            match record.text()? {
                "" => Err("an empty line".into()),
                text => Ok((None, text.len() as u32)),
            }
        }
        let routed = route(&by_length, &values(&["abc", "", "a"]));
        assert_eq!((routed.topics.len(), routed.partitions), (3, Some(vec![3, 0, 1])));
        assert_eq!(route(&by_length, &values(&[])).partitions, Some(vec![]), "whatever is in the batch");
    }
}
