//! How many may be in flight.

use std::num::NonZeroU32;

/// What one of `instances` instances admits by itself: the limit divided, rounded down, at least 1.
pub(super) fn share(limit: NonZeroU32, instances: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(limit.get() / instances).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).expect("not zero")
    }

    proptest! {
        #[test]
        fn all_shares_together_are_the_limit_or_one_each(limit in 1..=u32::MAX, instances in 1..=u32::MAX) {
            let all = u64::from(share(of(limit), of(instances)).get()) * u64::from(instances);
            prop_assert!(all <= u64::from(limit.max(instances)));
            prop_assert!(all + u64::from(instances) > u64::from(limit), "none is given away");
        }
    }

    #[test]
    fn one_alone_has_it_all() {
        assert_eq!(share(of(10), of(1)), of(10));
        assert_eq!([share(of(10), of(3)), share(of(2), of(4))], [of(3), of(1)]);
    }
}
