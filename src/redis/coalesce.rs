//! Write coalescing: the commands of many callers go to the server in few writes.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use pin_project::pin_project;
use tokio::task::AbortHandle;

/// From this many commands in flight on they are gathered, and no more than this many are gathered.
/// If all were, the server would have no work until the last of them is there.
pub(super) const BATCH: usize = 32;

/// The task that writes the commands of one connection. It ends with the last connection that holds
/// this.
///
/// The client's own task is woken by the first command that is sent, runs before the callers that
/// are about to send the next ones (tokio prefers the task that was woken last), and writes that
/// one alone: two commands for each system call, however many callers there are. This task lets the
/// callers go first when [`BATCH`] or more commands are in flight, which makes one write of thirty
/// and halves what a command costs the processor. With fewer it writes at once. Where other tasks
/// keep all processors busy for milliseconds on end, commands wait a round more for each thirty of
/// them, much as with the client's own queue of fifty.
pub(super) struct Coalescer {
    in_flight: Arc<AtomicUsize>,
    task: AbortHandle,
}

/// Counts one command as in flight until it is dropped.
pub(super) struct InFlightGuard<'a>(&'a AtomicUsize);

impl Coalescer {
    /// Runs the client's `driver` of a connection in a task of its own.
    pub(super) fn spawn(driver: impl Future<Output = ()> + Send + 'static) -> Self {
        let in_flight = Arc::default();
        let coalescing = Coalescing { driver, in_flight: Arc::clone(&in_flight), yielded: false };
        Self { in_flight, task: tokio::spawn(coalescing).abort_handle() }
    }

    pub(super) fn begin(&self) -> InFlightGuard<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlightGuard(&self.in_flight)
    }
}

impl Drop for Coalescer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[pin_project]
struct Coalescing<F> {
    #[pin]
    driver: F,
    in_flight: Arc<AtomicUsize>,
    /// The callers were let go first, this time.
    yielded: bool,
}

impl<F: Future> Future for Coalescing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        *this.yielded = !*this.yielded && this.in_flight.load(Ordering::Relaxed) >= BATCH;
        if *this.yielded {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.driver.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::poll_immediate;

    use super::*;

    #[tokio::test]
    async fn lets_callers_go_first_where_many_commands_are_in_flight() {
        let in_flight = Arc::new(AtomicUsize::new(0));
        let mut polls = 0;
        let driver = std::future::poll_fn(|_| {
            polls += 1;
            Poll::<()>::Pending
        });
        let coalescing = Coalescing { driver, in_flight: Arc::clone(&in_flight), yielded: false };
        let mut coalescing = Box::pin(coalescing);
        for (commands, waits) in [(0, false), (BATCH - 1, false), (BATCH, true), (1, false)] {
            in_flight.store(commands, Ordering::Relaxed);
            assert!(poll_immediate(&mut coalescing).await.is_none());
            if waits {
                assert!(poll_immediate(&mut coalescing).await.is_none());
            }
        }
        drop(coalescing);
        assert_eq!(polls, 4);
    }
}
