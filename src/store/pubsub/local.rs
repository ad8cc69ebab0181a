//! A channel or pattern as this process has it: its subscribers, and what they have been told.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{sync::broadcast, time::Instant};

use super::{
    event::{Gap, Missed, Reach},
    order::Heard,
};

/// What is handed to the subscribers.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Message {
        channel: Arc<str>,
        payload: Bytes,
    },
    Gap(Gap),
    Mode(Reach),
    /// Nothing more comes.
    End,
}

pub(super) struct Local {
    /// As Redis names it, without the namespace.
    pub(super) name: Arc<str>,
    sender: broadcast::Sender<Item>,
    pub(super) subscribers: usize,
    heard: Heard,
    /// What the subscribers were told.
    reach: Reach,
    /// Other instances have not been heard since.
    deaf_since: Option<Instant>,
}

impl Local {
    pub(super) fn new(name: Arc<str>, buffer: usize) -> Self {
        Self {
            name,
            sender: broadcast::Sender::new(buffer),
            subscribers: 0,
            heard: Heard::default(),
            reach: Reach::AllInstances,
            deaf_since: None,
        }
    }

    pub(super) fn subscribe(&mut self) -> broadcast::Receiver<Item> {
        self.subscribers += 1;
        self.sender.subscribe()
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// To how many subscribers it was handed.
    pub(super) fn deliver(&self, channel: &Arc<str>, payload: &Bytes) -> usize {
        let message = Item::Message { channel: Arc::clone(channel), payload: payload.clone() };
        self.sender.send(message).unwrap_or(0)
    }

    /// A message of another instance. `true`: some of that instance's before it are missing.
    pub(super) fn hear(
        &mut self,
        (publisher, sequence): (u64, u64),
        channel: &Arc<str>,
        payload: &Bytes,
    ) -> bool {
        let hole = self.heard.note(publisher, channel, sequence, Instant::now());
        if let Some(hole) = hole {
            let missed = Missed::Exactly(hole.missed);
            self.tell(Item::Gap(Gap { since: hole.since, missed }));
        }
        self.deliver(channel, payload);
        hole.is_some()
    }

    /// Other instances are not heard. `is_known`: it is no passing fault of one connection.
    pub(super) fn mark_deaf(&mut self, since: Instant, is_known: bool) {
        self.heard.forget();
        // What lasts is known.
        let is_known = is_known || self.deaf_since.is_some();
        self.deaf_since.get_or_insert(since);
        if is_known && self.reach == Reach::AllInstances {
            self.reach = Reach::ThisInstance;
            self.tell(Item::Mode(self.reach));
        }
    }

    /// Other instances are heard from now on. `true`: they were not, before.
    pub(super) fn mark_heard(&mut self) -> bool {
        let Some(since) = self.deaf_since.take() else { return false };
        self.tell(Item::Gap(Gap { since, missed: Missed::Unknown }));
        if self.reach == Reach::ThisInstance {
            self.reach = Reach::AllInstances;
            self.tell(Item::Mode(self.reach));
        }
        true
    }

    pub(super) fn end(&self) {
        self.tell(Item::End);
    }

    fn tell(&self, item: Item) {
        // An error says that nobody listens.
        let _ = self.sender.send(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(receiver: &mut broadcast::Receiver<Item>) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(item) = receiver.try_recv() {
            told.push(match item {
                Item::Message { payload, .. } => format!("{payload:?}"),
                Item::Gap(gap) => format!("{:?}", gap.missed),
                Item::Mode(reach) => format!("{reach:?}"),
                Item::End => "End".to_owned(),
            });
        }
        told
    }

    #[tokio::test]
    async fn a_passing_fault_is_a_gap_and_an_outage_is_a_mode_as_well() {
        let mut local = Local::new("room".into(), 16);
        let (mut receiver, now) = (local.subscribe(), Instant::now());
        assert!(!local.mark_heard(), "the first acknowledgement is no gap");
        local.mark_deaf(now, false);
        assert!(local.mark_heard());
        assert_eq!(told(&mut receiver), ["Unknown"]);
        local.mark_deaf(now, true);
        local.mark_deaf(now, true);
        assert!(local.mark_heard());
        assert_eq!(told(&mut receiver), ["ThisInstance", "Unknown", "AllInstances"]);
        local.mark_deaf(now, false);
        local.mark_deaf(now, false);
        assert_eq!(told(&mut receiver), ["ThisInstance"], "it lasts");
    }

    #[tokio::test]
    async fn a_hole_stands_before_the_message_that_shows_it() {
        let mut local = Local::new("room".into(), 16);
        let (mut receiver, room) = (local.subscribe(), "room".into());
        let payload = Bytes::from_static(b"x");
        assert!(!local.hear((7, 3), &room, &payload));
        assert!(local.hear((7, 6), &room, &payload));
        assert_eq!(told(&mut receiver), ["b\"x\"", "Exactly(2)", "b\"x\""]);
        local.mark_deaf(Instant::now(), false);
        local.mark_heard();
        assert!(!local.hear((7, 9), &room, &payload), "that gap was told already");
    }
}
