//! Who a consumer is to its group at one moment: what makes a commit of offsets be refused once it is somebody else's turn. When
//! it may be read, and whether it may still be used, is the ownership token's affair.

use std::ffi::c_void;

use crate::native::NativeGroup;

/// A member's identity: plain data, taken from the client in one piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    group: String,
    generation: i32,
    member: String,
    instance: Option<String>,
}

impl GroupMetadata {
    /// From its parts.
    pub fn new(group: String, generation: i32, member: String, instance: Option<String>) -> Self {
        Self { group, generation, member, instance }
    }

    /// What the client says now; `None` when it is not a consumer with a group.
    ///
    /// # Safety
    /// `client` is a client of librdkafka (`rd_kafka_t`), alive.
    pub(crate) unsafe fn of_client(client: *mut c_void) -> Option<Self> {
        // SAFETY: by the caller.
        unsafe { NativeGroup::of(client.cast()) }.map(|native| native.data())
    }

    /// Whether it stands for a member at all. Without a member's id and a generation the broker takes any offsets, unchecked,
    /// so nothing may be committed with it.
    pub fn is_member(&self) -> bool {
        self.generation >= 0 && !self.member.is_empty()
    }

    /// The group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The generation, or the member's epoch with the newer protocol; -1 when not a member.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// The member's id; empty when not a member.
    pub fn member(&self) -> &str {
        &self.member
    }

    /// The id of a static member.
    pub fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_survives_the_clients_form() {
        for instance in [None, Some("host-1".to_string())] {
            let data = GroupMetadata::new("g".into(), 3, "m-1".into(), instance);
            assert_eq!(NativeGroup::new(&data).unwrap().data(), data);
        }
        let zero = GroupMetadata::new("g\0".into(), 3, "m".into(), None);
        assert!(NativeGroup::new(&zero).is_none());
    }

    #[test]
    fn who_is_not_a_member_is_seen() {
        let member = |generation, member: &str| GroupMetadata::new("g".into(), generation, member.into(), None);
        assert!(member(0, "m").is_member());
        assert!(!member(-1, "m").is_member() && !member(1, "").is_member());
    }
}
