//! Stored states that outlive the version that wrote them: which layouts a function reads, and how one becomes another.
//! When states are migrated is the host's matter.

use crate::BytesColumn;

/// What is to be brought into another layout: one state of an aggregate or a scan, or one entry of a processor's store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The name of the store, as the manifest has it; empty for the state of an aggregate or a scan.
    pub store: &'a str,
    /// The key of the group, or of the entry. A host has one for all that it stores; `None` where it was asked without.
    pub key: Option<&'a [u8]>,
    /// What is stored: the state, or the entry's value.
    pub state: &'a [u8],
}

/// A function that stores something, an aggregator, a scanner or a processor, and changed its layout in some version.
/// Without this a function has layout 0, for ever. A function has one layout, of all its stores.
pub trait Migrate {
    /// The layout it writes.
    const CURRENT: u32;
    /// Other layouts that [`migrate`](Migrate::migrate) can turn into [`CURRENT`](Migrate::CURRENT).
    const READS: &'static [u32];
    /// Older layouts that it can turn `CURRENT` back into, which makes a rollback possible.
    const WRITES: &'static [u32];

    /// Appends `stored.state`, which is in the layout `old`, in the layout `new`. One of the two is `CURRENT`, the other in
    /// `READS` or in `WRITES`. The key stays as it is. An error fails the call.
    fn migrate(&self, stored: &Stored<'_>, old: u32, new: u32, into: &mut Vec<u8>) -> Result<(), String>;
}

/// Which layouts a function knows, as the contract's `layouts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layouts {
    /// The layout it writes.
    pub current: u32,
    /// Layouts it can turn into that.
    pub reads: Vec<u32>,
    /// Layouts it can turn that into.
    pub writes: Vec<u32>,
}

/// What the trait's constants say.
pub fn layouts<M: Migrate>(_: &M) -> Layouts {
    Layouts { current: M::CURRENT, reads: M::READS.to_vec(), writes: M::WRITES.to_vec() }
}

/// Brings each state from the layout `old` to `new`; null stays null. `keys` has one for each of `states`; `store` is empty
/// for an aggregate's.
pub fn migrate<M: Migrate>(
    migrator: &M,
    store: &str,
    old: u32,
    new: u32,
    keys: &BytesColumn,
    states: &BytesColumn,
) -> Result<BytesColumn, String> {
    let known = new == M::CURRENT && M::READS.contains(&old) || old == M::CURRENT && M::WRITES.contains(&new);
    if !known {
        let Layouts { current, reads, writes } = layouts(migrator);
        return Err(format!(
            "no way from layout {old} to {new}: layout {current} is made of {reads:?}, and turned back into {writes:?}"
        ));
    }
    let mut migrated = BytesColumn::with_capacity(states.len(), states.data.len());
    for (index, state) in states.iter().enumerate() {
        let Some(state) = state else {
            migrated.push(None);
            continue;
        };
        let stored = Stored { store, key: keys.get(index), state };
        let mut outcome = Ok(());
        migrated.push_with(|into| outcome = migrator.migrate(&stored, old, new, into));
        outcome?;
    }
    Ok(migrated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layout 2 has a byte more than layout 1.
    struct Longer;

    impl Migrate for Longer {
        const CURRENT: u32 = 2;
        const READS: &'static [u32] = &[1];
        const WRITES: &'static [u32] = &[1];

        fn migrate(&self, stored: &Stored<'_>, old: u32, _: u32, into: &mut Vec<u8>) -> Result<(), String> {
            let state = stored.state;
            let bytes = if old == 1 { [state, b"+"].concat() } else { state[..state.len() - 1].to_vec() };
            into.extend_from_slice(&bytes);
            if state == b"bad" { Err("it is bad".into()) } else { Ok(()) }
        }
    }

    fn column(items: &[Option<&[u8]>]) -> BytesColumn {
        items.iter().copied().collect()
    }

    #[test]
    fn states_go_there_and_back_and_nulls_stay() {
        let old = column(&[Some(b"a"), None, Some(b"")]);
        let keys = column(&[Some(b"k"), Some(b"l"), Some(b"m")]);
        let new = migrate(&Longer, "", 1, 2, &keys, &old).unwrap();
        assert_eq!(new, column(&[Some(b"a+"), None, Some(b"+")]));
        assert_eq!(migrate(&Longer, "", 2, 1, &keys, &new), Ok(old));
    }

    #[test]
    fn a_way_that_was_not_promised_is_refused() {
        for (old, new) in [(0, 2), (2, 0), (1, 1), (2, 2)] {
            let none = BytesColumn::default();
            let error = migrate(&Longer, "", old, new, &none, &none).unwrap_err();
            assert!(
                error.starts_with(&format!("no way from layout {old} to {new}: layout 2 is made of [1]")),
                "{error}"
            );
        }
        let (key, bad) = (column(&[Some(b"k")]), column(&[Some(b"bad")]));
        assert_eq!(migrate(&Longer, "", 1, 2, &key, &bad), Err("it is bad".into()));
    }

    /// Layout 1 of the store `names` has the key before what layout 0 has; of all else it has a byte more.
    struct Several;

    impl Migrate for Several {
        const CURRENT: u32 = 1;
        const READS: &'static [u32] = &[0];
        const WRITES: &'static [u32] = &[];

        fn migrate(&self, stored: &Stored<'_>, _: u32, _: u32, into: &mut Vec<u8>) -> Result<(), String> {
            match stored.store {
                "names" => into.extend_from_slice(stored.key.unwrap_or(b"nobody")),
                store => into.push(b'0' + u8::try_from(store.len()).expect("a short name")),
            }
            into.extend_from_slice(stored.state);
            Ok(())
        }
    }

    #[test]
    fn stores_and_keys_are_told_apart() {
        let keys = column(&[Some(b"a"), Some(b"gone"), Some(b""), None]);
        let states = column(&[Some(b"x"), None, Some(b"y"), Some(b"")]);
        let of = |store| migrate(&Several, store, 0, 1, &keys, &states);
        assert_eq!(of("names"), Ok(column(&[Some(b"ax"), None, Some(b"y"), Some(b"nobody")])));
        assert_eq!(of("last"), Ok(column(&[Some(b"4x"), None, Some(b"4y"), Some(b"4")])));
        assert_eq!(of(""), Ok(column(&[Some(b"0x"), None, Some(b"0y"), Some(b"0")])));
    }
}
