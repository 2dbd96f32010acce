//! Which partitions this member owns, and since when: the token without which nothing is committed. It asks the client and
//! the group nothing but who this member is.
//!
//! The broker accepts offsets from whoever names a member and a generation that are in force. A member that lost its
//! partitions and joined again is in force again, so metadata read *after* that would let it commit what others own by
//! now. Here the token is bumped before the client is told to assign or unassign, which it waits for before it joins again;
//! and the check of the token and the reading of the metadata are one critical section. So metadata handed out for a token
//! is from before: from then on it can only grow stale, and the broker refuses it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fetch::TopicPartition;
use crate::group_metadata::GroupMetadata;

/// A stretch of time in which the same partitions are owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

/// A member of a group as the client sees it now.
pub(crate) trait Membership {
    /// Who it is, in one piece.
    fn read(&self) -> Option<GroupMetadata>;

    /// Whether what is assigned was lost. Once true it stays so until the client is told to assign or unassign.
    fn is_lost(&self) -> bool;
}

#[derive(Debug, Default)]
struct Book {
    token: u64,
    /// The token with which each partition came.
    since: BTreeMap<TopicPartition, u64>,
    /// Where the group hands out everything anew in each generation: the only one in which the token is good.
    bound: Option<GroupMetadata>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Ownership<M> {
    member: M,
    book: Mutex<Book>,
}

impl<M: Membership> Ownership<M> {
    /// Nothing is owned.
    pub fn new(member: M) -> Self {
        Self { member, book: Mutex::default() }
    }

    /// The token of now.
    pub fn token(&self) -> Token {
        Token(self.book().token)
    }

    /// Metadata to commit with, while `token` is the one of now and this is a member of the group.
    pub fn metadata_if(&self, token: Token) -> Option<GroupMetadata> {
        self.metadata_in(&self.book(), token)
    }

    /// Does something in the name of the member while [`Ownership::metadata_if`] would give its metadata: the client is not told to
    /// assign or unassign before that has returned, so it should be short.
    pub fn act_if<R>(&self, token: Token, act: impl FnOnce(&M) -> R) -> Option<R> {
        let book = self.book();
        self.metadata_in(&book, token)?;
        Some(act(&self.member))
    }

    fn metadata_in(&self, book: &Book, token: Token) -> Option<GroupMetadata> {
        if book.token != token.0 || book.since.is_empty() {
            return None;
        }
        let metadata = self.member.read()?;
        // Generations begin with 1; with 0 a member is about to join, less it is none.
        let is_member = metadata.is_member() && metadata.generation() > 0;
        let is_bound = book.bound.as_ref().is_none_or(|bound| *bound == metadata);
        // Asked after reading: what is lost by then was lost when it was read, or the metadata is from before.
        (is_member && is_bound && !self.member.is_lost()).then_some(metadata)
    }

    /// The token of now, if these partitions have been owned without a break since `held`.
    pub fn renew(&self, held: Token, partitions: &[TopicPartition]) -> Option<Token> {
        let book = self.book();
        let kept = |p: &TopicPartition| book.since.get(p).is_some_and(|since| *since <= held.0);
        partitions.iter().all(kept).then_some(Token(book.token))
    }

    /// Before partitions are assigned: a new token. `bound`: see [`Book::bound`].
    pub fn gain(&self, partitions: impl IntoIterator<Item = TopicPartition>, bound: Option<GroupMetadata>) -> Token {
        let mut book = self.book();
        book.token += 1;
        let token = book.token;
        book.since.extend(partitions.into_iter().map(|p| (p, token)));
        book.bound = bound;
        Token(token)
    }

    /// Before partitions are unassigned: a new token.
    pub fn lose<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Token {
        let mut book = self.book();
        book.token += 1;
        for partition in partitions {
            book.since.remove(partition);
        }
        Token(book.token)
    }

    /// Nothing is owned from here on. Gives whether anything was.
    pub fn lose_all(&self) -> bool {
        let mut book = self.book();
        book.token += 1;
        !std::mem::take(&mut book.since).is_empty()
    }

    /// Who the member is now; `None` where it is none.
    pub fn identity(&self) -> Option<GroupMetadata> {
        self.member.read()
    }

    /// The group that a test made up.
    #[cfg(test)]
    fn member(&self) -> &M {
        &self.member
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    /// A group that gives a new generation each time it is joined.
    #[derive(Default)]
    struct Group {
        generation: Mutex<i32>,
        lost: AtomicBool,
    }

    impl Membership for Group {
        fn read(&self) -> Option<GroupMetadata> {
            let generation = *self.generation.lock().unwrap();
            Some(GroupMetadata::new("g".into(), generation, "m".into(), None))
        }

        fn is_lost(&self) -> bool {
            self.lost.load(Ordering::SeqCst)
        }
    }

    impl Group {
        fn join(&self) {
            *self.generation.lock().unwrap() += 1;
        }
    }

    fn generation(own: &Ownership<Group>, token: Token) -> Option<i32> {
        own.metadata_if(token).map(|metadata| metadata.generation())
    }

    fn partition(n: i32) -> TopicPartition {
        TopicPartition::new("t", n)
    }

    #[test]
    fn metadata_needs_the_token_the_membership_and_the_ownership() {
        let own = Ownership::new(Group::default());
        assert_eq!(generation(&own, own.token()), None, "owns nothing");
        let first = own.gain([partition(0)], None);
        assert_eq!(generation(&own, first), None, "generation 0 is no member");
        own.member().join();
        assert_eq!(generation(&own, first), Some(1));
        own.member().lost.store(true, Ordering::SeqCst);
        assert_eq!(generation(&own, first), None, "lost");
        own.member().lost.store(false, Ordering::SeqCst);
        let second = own.lose(&[partition(0)]);
        assert_eq!((generation(&own, first), generation(&own, second)), (None, None));
    }

    #[test]
    fn what_is_done_under_a_token_is_done_before_it_ends() {
        let own = Ownership::new(Group::default());
        own.member().join();
        let token = own.gain([partition(0)], None);
        let done = &AtomicBool::new(false);
        thread::scope(|scope| {
            let (began, has_begun) = std::sync::mpsc::channel();
            let own = &own;
            scope.spawn(move || {
                let acted = own.act_if(token, move |_| {
                    began.send(()).unwrap();
                    thread::sleep(std::time::Duration::from_millis(50));
                    done.store(true, Ordering::SeqCst);
                });
                assert_eq!(acted, Some(()));
            });
            has_begun.recv().unwrap();
            own.lose_all();
            assert!(done.load(Ordering::SeqCst), "the token ended meanwhile");
        });
        assert_eq!(own.act_if(token, |_| ()), None);
    }

    #[test]
    fn a_token_bound_to_a_generation_ends_with_it() {
        let own = Ownership::new(Group::default());
        own.member().join();
        let token = own.gain([partition(0)], own.identity());
        assert_eq!(generation(&own, token), Some(1));
        own.member().join();
        assert_eq!(generation(&own, token), None);
    }

    #[test]
    fn what_stays_owned_renews_its_token() {
        let own = Ownership::new(Group::default());
        own.member().join();
        let held = own.gain([partition(0), partition(1)], None);
        let now = own.lose(&[partition(1)]);
        assert_eq!(own.renew(held, &[partition(0)]), Some(now));
        assert_eq!(own.renew(held, &[partition(0), partition(1)]), None);
        let now = own.gain([partition(1)], None);
        assert_eq!(own.renew(held, &[partition(1)]), None, "it came back, which is not the same");
        assert_eq!(own.renew(now, &[partition(0), partition(1)]), Some(now));
        own.lose_all();
        assert_eq!(own.renew(now, &[partition(0)]), None);
    }

    /// Lost and joined again while others ask: for an old token nobody ever gets the metadata of a new membership.
    #[test]
    fn metadata_from_after_joining_again_is_never_given_for_an_old_token() {
        let own = Ownership::new(Group::default());
        own.member().join();
        own.gain([partition(0)], None);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let token = own.token();
                        if let Some(generation) = generation(&own, token) {
                            // Each round bumps the token twice and joins once in between.
                            assert_eq!(i64::from(generation), (token.0 as i64 + 1) / 2, "token {token:?}");
                        }
                    }
                });
            }
            for _ in 0..2_000 {
                own.lose(&[partition(0)]);
                own.member().join();
                own.gain([partition(0)], None);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
