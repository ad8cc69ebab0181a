//! The wait that one request may spend on Redis in all.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project::pin_project;

thread_local! {
    /// The budget of the request that is being polled on this thread: `None` outside of any, else
    /// whether it is exhausted.
    static EXHAUSTED: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The wait of the request that is being served.
///
/// A command that is not answered within its deadline spends the whole of it: whatever else the
/// same request asks of Redis is refused at once. Every layer of this crate gives the request such
/// a budget; where layers are nested, the outermost one's counts. Tasks that the request spawns are
/// not covered.
#[derive(Debug)]
pub struct RequestBudget;

impl RequestBudget {
    /// This request has waited once already. `false` outside of any budget.
    #[inline]
    pub fn is_exhausted() -> bool {
        EXHAUSTED.get() == Some(true)
    }

    /// This request has waited. Does nothing outside of any budget.
    pub fn exhaust() {
        if EXHAUSTED.get().is_some() {
            EXHAUSTED.set(Some(true));
        }
    }

    /// Gives `future` a budget, unless it runs under one already.
    #[inline]
    pub fn scope<F: Future>(future: F) -> WithBudget<F> {
        WithBudget { inner: future, exhausted: false }
    }
}

/// The future of [`RequestBudget::scope`].
#[pin_project]
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct WithBudget<F> {
    #[pin]
    inner: F,
    exhausted: bool,
}

/// Takes the budget off the thread again, also when the poll panics.
struct Scope<'a>(&'a mut bool);

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        *self.0 = EXHAUSTED.take().unwrap_or(false);
    }
}

impl<F: Future> Future for WithBudget<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if EXHAUSTED.get().is_some() {
            return this.inner.poll(cx);
        }
        EXHAUSTED.set(Some(*this.exhausted));
        let _scope = Scope(this.exhausted);
        this.inner.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn belongs_to_one_request_and_lasts_over_its_awaits() {
        let one = RequestBudget::scope(async {
            assert!(!RequestBudget::is_exhausted());
            RequestBudget::exhaust();
            tokio::task::yield_now().await;
            RequestBudget::is_exhausted()
        });
        let other = RequestBudget::scope(async {
            tokio::task::yield_now().await;
            RequestBudget::is_exhausted()
        });
        assert_eq!(tokio::join!(one, other), (true, false));
        assert!(!RequestBudget::is_exhausted());
    }

    #[tokio::test]
    async fn the_outermost_counts() {
        let exhausted = RequestBudget::scope(async {
            RequestBudget::scope(async { RequestBudget::exhaust() }).await;
            RequestBudget::is_exhausted()
        });
        assert!(exhausted.await);
    }

    #[tokio::test]
    async fn outside_of_any_nothing_is_exhausted() {
        RequestBudget::exhaust();
        assert!(!RequestBudget::is_exhausted());
    }
}
