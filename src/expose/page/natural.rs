//! Names in the order in which people count: `ch2` before `ch10`.

use std::cmp::Ordering;

/// Compares two names; digits that stand together are one number.
pub(crate) fn natural(one: &str, other: &str) -> Ordering {
    let (mut left, mut right) = (one, other);
    loop {
        let (first, second) = match (left.chars().next(), right.chars().next()) {
            (Some(first), Some(second)) => (first, second),
            // Texts with the same numbers are told apart by their zeros.
            (None, None) => return one.cmp(other),
            (first, _) => return if first.is_none() { Ordering::Less } else { Ordering::Greater },
        };
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (number, rest) = number(left);
            let (against, other_rest) = self::number(right);
            (left, right) = (rest, other_rest);
            number.len().cmp(&against.len()).then_with(|| number.cmp(against))
        } else {
            (left, right) = (&left[first.len_utf8()..], &right[second.len_utf8()..]);
            first.cmp(&second)
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The digits at the beginning without leading zeros, and the rest.
fn number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (digits.trim_start_matches('0'), rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = ["ch10", "ch2", "a", "ch1-b10", "ch1-b9", "ch02", "ch", "9", "10"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["9", "10", "a", "ch", "ch1-b9", "ch1-b10", "ch02", "ch2", "ch10"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_is_total(one in "[a0-9é]{0,6}", two in "[a0-9é]{0,6}", three in "[a0-9é]{0,6}") {
            prop_assert_eq!(natural(&one, &two), natural(&two, &one).reverse());
            prop_assert_eq!(natural(&one, &two).is_eq(), one == two);
            if natural(&one, &two).is_le() && natural(&two, &three).is_le() {
                prop_assert!(natural(&one, &three).is_le());
            }
        }
    }
}
