//! Hedged attempts: one that went into a black hole stays there, and a new one may get through.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Under a second, so that a network that is back is found within one.
const EVERY: Duration = Duration::from_millis(750);

/// The result of `attempt`. For as long as there is none, another attempt is begun every 750 ms
/// beside the earlier ones; the first to end speaks for all. The caller has the deadline.
pub(super) async fn hedged<F: Future>(attempt: impl Fn() -> F) -> F::Output {
    let mut attempts = FuturesUnordered::new();
    let mut again = interval_at(Instant::now() + EVERY, EVERY);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        attempts.push(attempt());
        tokio::select! {
            biased;
            Some(result) = attempts.next() => return result,
            _ = again.tick() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_lost_is_overtaken() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        let third = hedged(|| {
            tries.set(tries.get() + 1);
            let number = tries.get();
            async move { if number < 3 { pending().await } else { number } }
        });
        assert_eq!(third.await, 3);
        assert_eq!(began.elapsed(), EVERY * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_time_costs_one_attempt() {
        let tries = Cell::new(0);
        hedged(|| {
            tries.set(tries.get() + 1);
            sleep(EVERY / 2)
        })
        .await;
        assert_eq!(tries.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_to_end_is_heard_though_it_began_first() {
        let (began, tries) = (Instant::now(), Cell::new(0));
        hedged(|| {
            tries.set(tries.get() + 1);
            sleep(EVERY * 2 + EVERY / 2)
        })
        .await;
        assert_eq!((began.elapsed(), tries.get()), (EVERY * 2 + EVERY / 2, 3));
    }
}
