//! Where in an ordered list something changes, for lists of which one end is what is mostly looked for: steps that double from that
//! end, then halves ("galloping", Bentley and Yao 1976). So no part of a long list is touched that is far from it.

/// How many items in front `holds` is true of, looked for from the front. It is true of none behind the first of which it is not.
pub(crate) fn from_front<T>(items: &[T], mut holds: impl FnMut(&T) -> bool) -> usize {
    let (mut known, mut step) = (0, 1);
    while known + step <= items.len() && holds(&items[known + step - 1]) {
        known += step;
        step *= 2;
    }
    let until = items.len().min(known + step);
    known + items[known..until].partition_point(holds)
}

/// The same, looked for from the back.
pub(crate) fn from_back<T>(items: &[T], mut holds: impl FnMut(&T) -> bool) -> usize {
    let (mut until, mut step) = (items.len(), 1);
    while step <= until && !holds(&items[until - step]) {
        until -= step;
        step *= 2;
    }
    let known = until.saturating_sub(step);
    known + items[known..until].partition_point(holds)
}

/// The same, looked for from a place in the list.
pub(crate) fn from_guess<T>(items: &[T], guess: usize, mut holds: impl FnMut(&T) -> bool) -> usize {
    match items.get(guess) {
        Some(item) if holds(item) => guess + from_front(&items[guess..], holds),
        _ => from_back(&items[..guess.min(items.len())], holds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_find_what_halving_finds(items in proptest::collection::vec(0u8..40, 0..60), limit in 0u8..41, guess in 0usize..70) {
            let mut items = items;
            items.sort_unstable();
            let expected = items.partition_point(|item| *item < limit);
            prop_assert_eq!(from_front(&items, |item| *item < limit), expected);
            prop_assert_eq!(from_back(&items, |item| *item < limit), expected);
            prop_assert_eq!(from_guess(&items, guess, |item| *item < limit), expected);
        }
    }
}
