//! The wait that one request may spend on Redis in all.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;

thread_local! {
    /// The budget of the request that is being polled on this thread: `None` outside of any, else whether it is spent.
    static SPENT: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The wait of the request that is being served.
///
/// A command that is not answered within its deadline spends the whole of it: whatever else the same request asks of
/// Redis is refused at once. Every layer of this crate gives the request such a budget; where layers are nested, the
/// outermost one's counts. Tasks that the request spawns are not covered.
#[derive(Debug)]
pub struct RequestBudget;

impl RequestBudget {
    /// This request has waited once already. `false` outside of any budget.
    #[inline]
    pub fn is_spent() -> bool {
        SPENT.get() == Some(true)
    }

    /// This request has waited. Does nothing outside of any budget.
    pub fn spend() {
        if SPENT.get().is_some() {
            SPENT.set(Some(true));
        }
    }

    /// Gives `future` a budget, unless it runs under one already.
    #[inline]
    pub fn give<F: Future>(future: F) -> WithBudget<F> {
        WithBudget { inner: future, spent: false }
    }
}

#[cfg(feature = "redis")]
impl<F> WithBudget<F> {
    /// `next`, which goes on with what is left of this future's budget.
    pub(crate) fn hand_on<G>(&self, next: G) -> WithBudget<G> {
        WithBudget { inner: next, spent: self.spent }
    }
}

/// The future of [`RequestBudget::give`].
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct WithBudget<F> {
    #[pin]
    inner: F,
    spent: bool,
}

/// Takes the budget off the thread again, also when the poll panics.
struct Lent<'a>(&'a mut bool);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        *self.0 = SPENT.take().unwrap_or(false);
    }
}

impl<F: Future> Future for WithBudget<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if SPENT.get().is_some() {
            return this.inner.poll(cx);
        }
        SPENT.set(Some(*this.spent));
        let _lent = Lent(this.spent);
        this.inner.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn belongs_to_one_request_and_lasts_over_its_awaits() {
        let one = RequestBudget::give(async {
            assert!(!RequestBudget::is_spent());
            RequestBudget::spend();
            tokio::task::yield_now().await;
            RequestBudget::is_spent()
        });
        let other = RequestBudget::give(async {
            tokio::task::yield_now().await;
            RequestBudget::is_spent()
        });
        assert_eq!(tokio::join!(one, other), (true, false));
        assert!(!RequestBudget::is_spent());
    }

    #[tokio::test]
    async fn the_outermost_counts() {
        let spent = RequestBudget::give(async {
            RequestBudget::give(async { RequestBudget::spend() }).await;
            RequestBudget::is_spent()
        });
        assert!(spent.await);
    }

    #[tokio::test]
    async fn outside_of_any_nothing_is_spent() {
        RequestBudget::spend();
        assert!(!RequestBudget::is_spent());
    }
}
