//! The transitions of a monitor as a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::Transition;

/// Every [`Transition`] since the subscription, in order. The last 256 are kept for a subscriber
/// that is slow; what it missed beyond these shows as a gap in [`Transition::sequence`].
///
/// The stream ends with the monitor.
#[derive(Debug)]
pub struct Transitions(BroadcastStream<Transition>);

pub(super) const KEPT: usize = 256;

impl Transitions {
    pub(super) fn new(receiver: broadcast::Receiver<Transition>) -> Self {
        Self(BroadcastStream::new(receiver))
    }

    /// The next one; `None` when the monitor has ended. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Transition> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Transitions {
    type Item = Transition;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Transition>> {
        loop {
            match std::task::ready!(Pin::new(&mut self.0).poll_next(cx)) {
                Some(Ok(transition)) => return Poll::Ready(Some(transition)),
                Some(Err(_lagged)) => {}
                None => return Poll::Ready(None),
            }
        }
    }
}
