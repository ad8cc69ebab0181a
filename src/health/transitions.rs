//! The transitions of a monitor as a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::{BroadcastStream, WatchStream};

use super::Transition;

/// Every [`Transition`] since the subscription, in order. The last 256 are kept for a subscriber
/// that is slow; what it missed beyond these shows as a gap in [`Transition::sequence`].
///
/// The stream ends with the monitor: at [`shutdown`](super::HealthMonitor::shutdown), also while
/// handles are alive.
#[derive(Debug)]
pub struct Transitions {
    stream: BroadcastStream<Transition>,
    end: WatchStream<bool>,
    has_ended: bool,
}

pub(super) const KEPT: usize = 256;

impl Transitions {
    pub(super) fn new(
        receiver: broadcast::Receiver<Transition>,
        ended: watch::Receiver<bool>,
    ) -> Self {
        let (stream, end) = (BroadcastStream::new(receiver), WatchStream::new(ended));
        Self { stream, end, has_ended: false }
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
            match Pin::new(&mut self.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(transition))) => return Poll::Ready(Some(transition)),
                Poll::Ready(Some(Err(_lagged))) => continue,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.has_ended => return Poll::Ready(None),
                Poll::Pending => {}
            }
            // The last transition was sent before the end: what is there is looked at once more.
            let ended = std::task::ready!(Pin::new(&mut self.end).poll_next(cx));
            self.has_ended = ended.unwrap_or(true);
        }
    }
}
