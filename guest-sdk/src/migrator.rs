//! Stored states that outlive the version that wrote them: which layouts a function reads, and how one becomes another.
//! When states are migrated is the host's matter.

use crate::BytesColumn;

/// A function whose stored states changed their layout in some version. Without this a function has layout 0, for ever.
pub trait Migrate {
    /// The layout it writes.
    const CURRENT: u32;
    /// Other layouts that [`migrate`](Migrate::migrate) can turn into [`CURRENT`](Migrate::CURRENT).
    const READS: &'static [u32];
    /// Older layouts that it can turn `CURRENT` back into, which makes a rollback possible.
    const WRITES: &'static [u32];

    /// Appends `state`, which is in the layout `old`, in the layout `new`. One of the two is `CURRENT`, the other in
    /// `READS` or in `WRITES`. An error fails the call.
    fn migrate(&self, state: &[u8], old: u32, new: u32, into: &mut Vec<u8>) -> Result<(), String>;
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

/// Brings each state from the layout `old` to `new`; null stays null.
pub fn migrate<M: Migrate>(migrator: &M, old: u32, new: u32, states: &BytesColumn) -> Result<BytesColumn, String> {
    let known = new == M::CURRENT && M::READS.contains(&old) || old == M::CURRENT && M::WRITES.contains(&new);
    if !known {
        let Layouts { current, reads, writes } = layouts(migrator);
        return Err(format!(
            "no way from layout {old} to {new}: layout {current} is made of {reads:?}, and turned back into {writes:?}"
        ));
    }
    let mut migrated = BytesColumn::with_capacity(states.len(), states.data.len());
    for state in states.iter() {
        let Some(state) = state else {
            migrated.push(None);
            continue;
        };
        let mut outcome = Ok(());
        migrated.push_with(|into| outcome = migrator.migrate(state, old, new, into));
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

        fn migrate(&self, state: &[u8], old: u32, _: u32, into: &mut Vec<u8>) -> Result<(), String> {
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
        let new = migrate(&Longer, 1, 2, &old).unwrap();
        assert_eq!(new, column(&[Some(b"a+"), None, Some(b"+")]));
        assert_eq!(migrate(&Longer, 2, 1, &new), Ok(old));
    }

    #[test]
    fn a_way_that_was_not_promised_is_refused() {
        for (old, new) in [(0, 2), (2, 0), (1, 1), (2, 2)] {
            let error = migrate(&Longer, old, new, &BytesColumn::default()).unwrap_err();
            assert!(
                error.starts_with(&format!("no way from layout {old} to {new}: layout 2 is made of [1]")),
                "{error}"
            );
        }
        assert_eq!(migrate(&Longer, 1, 2, &column(&[Some(b"bad")])), Err("it is bad".into()));
    }
}
