//! The laws of [`Keyspaces`](super::keyspace::Keyspaces), one suite for every implementation.

use alloc::vec;
use alloc::vec::Vec;

use super::keyspace::{Durability, Keyspaces, Scan, Space, SpaceKind, Write};

fn all(db: &dyn Keyspaces, space: Space, from: &[u8], to: Option<&[u8]>) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    db.scan(space, from, to, &mut |k, _| {
        keys.push(k.to_vec());
        Scan::Continue
    })
    .expect("scan");
    keys
}

/// Checks every law on an empty database.
///
/// # Panics
/// When a law is broken.
pub fn check(db: &dyn Keyspaces) {
    let a = db.open_space("laws-a", SpaceKind::State).expect("open");
    let b = db.open_space("laws-b", SpaceKind::Log).expect("open");
    assert_eq!(db.open_space("laws-a", SpaceKind::State).expect("open"), a, "a name is one space");
    assert_ne!(a, b, "two names are two spaces");
    let put = |s, k: &[u8], v: &[u8]| Write::Put(s, k.to_vec(), v.to_vec());
    db.apply(
        vec![put(a, b"k1", b"1"), put(a, b"k2", b"2"), put(a, b"\xff", b"3"), put(b, b"k1", b"other")],
        Durability::Device,
    )
    .expect("apply");
    assert_eq!(db.get(a, b"k1").expect("get").as_deref(), Some(&b"1"[..]));
    assert_eq!(db.get(b, b"k1").expect("get").as_deref(), Some(&b"other"[..]), "spaces are apart");
    assert_eq!(db.get(a, b"none").expect("get"), None);
    let values = db.get_all(a, &[&b"k1"[..], b"k1\0", b"k2", b"none", b"\xff"]).expect("get all");
    let want = [Some(&b"1"[..]), None, Some(b"2"), None, Some(b"3")];
    assert_eq!(values.iter().map(Option::as_deref).collect::<Vec<_>>(), want, "values stand as their keys do");
    assert_eq!(db.get_all(a, &[]).expect("get all"), Vec::<Option<Vec<u8>>>::new());
    assert_eq!(all(db, a, b"", None), [&b"k1"[..], b"k2", b"\xff"], "unsigned byte order");
    assert_eq!(all(db, a, b"k2", Some(b"\xff")), [&b"k2"[..]], "from is in, to is out");
    assert!(all(db, a, b"z", Some(b"a")).is_empty(), "an empty range");
    let last = |from: &[u8], before: &[u8]| db.last(a, from, before).expect("last").map(|(k, _)| k);
    assert_eq!(last(b"", b"\xff").as_deref(), Some(&b"k2"[..]), "before is out");
    assert_eq!(last(b"k1", b"k2").as_deref(), Some(&b"k1"[..]), "from is in");
    assert_eq!(last(b"k3", b"k9"), None);
    db.apply(
        vec![
            put(a, b"k3", b"gone"),
            Write::DeleteRange(a, b"k2".to_vec(), b"k9".to_vec()),
            put(a, b"k4", b"after"),
            Write::Delete(a, b"missing".to_vec()),
            Write::Delete(a, b"k1".to_vec()),
        ],
        Durability::Process,
    )
    .expect("apply");
    assert_eq!(all(db, a, b"", None), [&b"k4"[..], b"\xff"], "changes apply in order");
    let range = |from: &[u8], to: &[u8]| Write::DeleteRange(a, from.to_vec(), to.to_vec());
    db.apply(vec![range(b"z", b"a"), range(b"k4", b"k4")], Durability::Process).expect("apply");
    assert_eq!(all(db, a, b"", None), [&b"k4"[..], b"\xff"], "a range that is empty or backwards removes nothing");
    let mut seen = 0;
    db.scan(a, b"", None, &mut |_, _| {
        seen += 1;
        Scan::Stop
    })
    .expect("scan");
    assert_eq!(seen, 1, "stop stops");
    check_view(db, a);
}

fn check_view(db: &dyn Keyspaces, space: Space) {
    let put = |k: &[u8], v: &[u8]| Write::Put(space, k.to_vec(), v.to_vec());
    db.apply(vec![put(b"v1", b"old"), put(b"v2", b"old")], Durability::Process).expect("apply");
    let view = db.view().expect("a view");
    let range = Write::DeleteRange(space, b"v2".to_vec(), b"v3".to_vec());
    db.apply(vec![put(b"v1", b"new"), range, put(b"v4", b"new")], Durability::Process).expect("apply");
    assert_eq!(view.get(space, b"v1").expect("get").as_deref(), Some(&b"old"[..]), "a view is of its moment");
    assert_eq!(view.get(space, b"v4").expect("get"), None);
    let mut seen = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        seen.push((key.to_vec(), value.to_vec()));
        Scan::Continue
    };
    view.scan(space, b"v", Some(b"w"), &mut visit).expect("scan");
    let old = |key: &[u8]| (key.to_vec(), b"old".to_vec());
    assert_eq!(seen, [old(b"v1"), old(b"v2")]);
    let mut seen = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        seen += 1;
        Scan::Stop
    };
    view.scan(space, b"v", None, &mut visit).expect("scan");
    view.scan(space, b"w", Some(b"v"), &mut visit).expect("scan");
    assert_eq!(seen, 1, "stop stops, and a range that is backwards is empty");
    drop(view);
    assert_eq!(db.get(space, b"v1").expect("get").as_deref(), Some(&b"new"[..]));
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::super::memory::tests::Locked;

    #[test]
    fn memory_keeps_the_laws() {
        super::check(&Memory(Locked::default()));
    }
}
