//! What a subscription has received and its reader has not read yet: in order, bounded, and with
//! every gap marked.

use std::{
    collections::VecDeque,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// Messages beyond this many bytes are dropped, however few they are; but one is always kept.
const MOST_BYTES: usize = 16 << 20;

/// One message of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Message {
    /// The channel that it was published on. Bytes that are not UTF-8 are replaced.
    pub channel: String,
    /// The pattern that matched, in a subscription to patterns.
    pub pattern: Option<String>,
    /// What was published.
    pub payload: Vec<u8>,
}

/// What happens on a [`Subscription`](super::Subscription).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionEvent {
    /// A message.
    Message(Message),
    /// Redis cannot be heard at the moment. Left out where it can be heard again by the time that
    /// this would be read.
    Disconnected,
    /// Redis can be heard (again). What was published between `since` and now may be missing, and
    /// what is published from now on is not.
    Gap {
        /// The last moment at which Redis was heard, or the moment of subscribing.
        since: Instant,
    },
    /// This many messages were dropped, because the reader was slow.
    Lagged {
        /// How many.
        missed: u64,
    },
}

pub(super) struct Mailbox {
    state: Mutex<State>,
    /// How many messages wait at most.
    capacity: usize,
    /// The first attempt to subscribe has ended, one way or the other.
    pub(super) attempted: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<SubscriptionEvent>,
    messages: usize,
    bytes: usize,
    missed: u64,
    /// The server has acknowledged the subscription, over a connection that is not known to be
    /// lost.
    connected: bool,
    /// Not connected since then.
    gap_since: Option<Instant>,
    closed: bool,
    reader: Option<Waker>,
}

impl Mailbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), capacity: capacity.max(1), attempted: Notify::new() }
    }

    /// The server has acknowledged the subscription.
    pub(super) fn connected(&self) {
        let mut state = self.state.lock();
        state.connected = true;
        if let Some(since) = state.gap_since.take() {
            state.push_gap(since);
        }
        state.wake();
        self.attempted.notify_one();
    }

    /// The server is not heard any more, or not yet.
    pub(super) fn disconnected(&self, since: Instant) {
        let mut state = self.state.lock();
        state.connected = false;
        if state.gap_since.is_none() {
            state.gap_since = Some(since);
            state.queue.push_back(SubscriptionEvent::Disconnected);
            state.wake();
        }
        self.attempted.notify_one();
    }

    /// As [`disconnected`](Self::disconnected), unless the server has acknowledged meanwhile.
    pub(super) fn disconnected_unless_acknowledged(&self, since: Instant) {
        // One lock: between two, an acknowledgement would find no gap to mark.
        let mut state = self.state.lock();
        if !state.connected && state.gap_since.is_none() {
            state.gap_since = Some(since);
            state.queue.push_back(SubscriptionEvent::Disconnected);
        }
    }

    /// A message has come. Dropped when there is no room: the reader is never waited for.
    pub(super) fn message(&self, message: Message) {
        let mut state = self.state.lock();
        let size = size(&message);
        let has_room = state.messages < self.capacity
            && (state.messages == 0 || state.bytes + size <= MOST_BYTES);
        if !has_room {
            state.missed += 1;
            return;
        }
        if let Some(lagged) = state.take_lagged() {
            state.queue.push_back(lagged);
        }
        state.messages += 1;
        state.bytes += size;
        state.queue.push_back(SubscriptionEvent::Message(message));
        state.wake();
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.connected = false;
        state.wake();
    }

    pub(super) fn is_connected(&self) -> bool {
        self.state.lock().connected
    }

    /// The next event for the reader; `None` at the end.
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        let mut state = self.state.lock();
        match state.take_next() {
            Some(event) => Poll::Ready(Some(event)),
            None if state.closed => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl State {
    fn take_next(&mut self) -> Option<SubscriptionEvent> {
        let event = self.queue.pop_front();
        if let Some(SubscriptionEvent::Message(message)) = &event {
            self.messages -= 1;
            self.bytes -= size(message);
        }
        event.or_else(|| self.take_lagged())
    }

    fn take_lagged(&mut self) -> Option<SubscriptionEvent> {
        let missed = std::mem::take(&mut self.missed);
        (missed > 0).then_some(SubscriptionEvent::Lagged { missed })
    }

    /// Gaps without a message between them are one: a reader that sleeps through a hundred finds
    /// one.
    fn push_gap(&mut self, since: Instant) {
        if self.queue.back() == Some(&SubscriptionEvent::Disconnected) {
            self.queue.pop_back();
        }
        if !matches!(self.queue.back(), Some(SubscriptionEvent::Gap { .. })) {
            self.queue.push_back(SubscriptionEvent::Gap { since });
        }
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

fn size(message: &Message) -> usize {
    let pattern = message.pattern.as_ref().map_or(0, String::len);
    message.payload.len() + message.channel.len() + pattern
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use SubscriptionEvent::{Disconnected, Gap, Lagged};

    use super::*;

    fn of_size(size: usize) -> Message {
        Message { channel: String::new(), pattern: None, payload: vec![0; size] }
    }

    /// What can be read now, with messages shown by their size.
    fn read(mailbox: &Mailbox) -> Vec<Result<usize, SubscriptionEvent>> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        while let Poll::Ready(Some(event)) = mailbox.poll_next(&mut cx) {
            read.push(match event {
                SubscriptionEvent::Message(message) => Ok(message.payload.len()),
                event => Err(event),
            });
        }
        read
    }

    #[test]
    fn a_full_mailbox_drops_the_newest_and_says_how_many() {
        let mailbox = Mailbox::new(2);
        (1..=5).for_each(|size| mailbox.message(of_size(size)));
        assert_eq!(read(&mailbox), [Ok(1), Ok(2), Err(Lagged { missed: 3 })]);
        mailbox.message(of_size(6));
        assert_eq!(read(&mailbox), [Ok(6)]);
    }

    #[test]
    fn what_comes_after_a_loss_stands_behind_the_word_of_it() {
        let mailbox = Mailbox::new(2);
        (1..=3).for_each(|size| mailbox.message(of_size(size)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(mailbox.poll_next(&mut cx).is_ready());
        mailbox.message(of_size(4));
        assert_eq!(read(&mailbox), [Ok(2), Err(Lagged { missed: 1 }), Ok(4)]);
    }

    #[test]
    fn large_messages_are_bounded_in_bytes_and_the_first_is_kept() {
        let mailbox = Mailbox::new(100);
        mailbox.message(of_size(MOST_BYTES + 1));
        mailbox.message(of_size(1));
        assert_eq!(read(&mailbox), [Ok(MOST_BYTES + 1), Err(Lagged { missed: 1 })]);
        (0..4).for_each(|_| mailbox.message(of_size(MOST_BYTES / 3)));
        assert_eq!(read(&mailbox).len(), 4);
    }

    #[test]
    fn a_gap_stands_before_what_comes_after_it() {
        let mailbox = Mailbox::new(9);
        mailbox.connected();
        let since = Instant::now();
        mailbox.message(of_size(1));
        mailbox.disconnected(since);
        mailbox.disconnected(since);
        assert_eq!(read(&mailbox), [Ok(1), Err(Disconnected)]);
        mailbox.connected();
        mailbox.message(of_size(2));
        assert_eq!(read(&mailbox), [Err(Gap { since }), Ok(2)]);
    }

    #[test]
    fn a_reader_that_sleeps_through_many_gaps_finds_one() {
        let mailbox = Mailbox::new(9);
        let since = Instant::now();
        for _ in 0..100 {
            mailbox.connected();
            mailbox.disconnected(since);
        }
        assert_eq!(read(&mailbox), [Err(Gap { since }), Err(Disconnected)]);
    }

    #[test]
    fn not_yet_acknowledged_is_a_gap_from_the_start() {
        let since = Instant::now();
        let late = Mailbox::new(9);
        late.disconnected_unless_acknowledged(since);
        assert_eq!((read(&late), late.is_connected()), (vec![Err(Disconnected)], false));
        late.connected();
        assert_eq!((read(&late), late.is_connected()), (vec![Err(Gap { since })], true));
        let in_time = Mailbox::new(9);
        in_time.connected();
        in_time.disconnected_unless_acknowledged(since);
        assert_eq!((read(&in_time), in_time.is_connected()), (vec![], true));
    }

    #[test]
    fn the_end_comes_after_what_was_received() {
        let mailbox = Mailbox::new(9);
        mailbox.message(of_size(1));
        mailbox.close();
        assert_eq!(read(&mailbox), [Ok(1)]);
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(mailbox.poll_next(&mut cx), Poll::Ready(None));
    }
}
