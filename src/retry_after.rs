//! Waits in the form in which clients are told them: whole seconds, rounded up.

use std::time::Duration;

/// `wait` in whole seconds: rounded up, so that whoever waits this long has waited long enough, and
/// never 0, which reads as "at once".
pub(crate) const fn whole_seconds_up(wait: Duration) -> u64 {
    let seconds = wait.as_secs().saturating_add((wait.subsec_nanos() > 0) as u64);
    if seconds == 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_up_and_never_to_nothing() {
        for (wait, seconds) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_nanos(1_000_000_001), 2),
            (Duration::from_millis(2_999), 3),
            (Duration::from_secs(3), 3),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(whole_seconds_up(wait), seconds, "{wait:?}");
        }
    }
}
