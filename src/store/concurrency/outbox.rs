//! What has ended here, and is still to be told to Redis.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::memory::Holder;

/// More than a recovery should have to tell. What is beyond is not told: its lease ends by itself.
const MOST: usize = 10_000;

/// A lease to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) subject: Arc<str>,
    pub(super) holder: Holder,
}

#[derive(Default)]
pub(super) struct Outbox {
    post: Mutex<Post>,
    pub(super) posted: Arc<Notify>,
}

#[derive(Default)]
struct Post {
    /// To be told at once.
    now: Vec<Ended>,
    /// To be told with the next round: Redis may not have carried out yet what this undoes.
    later: Vec<Ended>,
}

impl Outbox {
    /// Never waits for anything but the lock.
    pub(super) fn post(&self, ended: Ended, in_doubt: bool) {
        let mut post = self.lock();
        if post.now.len() + post.later.len() >= MOST {
            return;
        }
        if in_doubt {
            post.later.push(ended);
        } else {
            post.now.push(ended);
            drop(post);
            self.posted.notify_one();
        }
    }

    /// Redis was away: to be told with the next round.
    pub(super) fn put_back(&self, subject: &Arc<str>, holders: Vec<Holder>) {
        for holder in holders {
            self.post(Ended { subject: Arc::clone(subject), holder }, true);
        }
    }

    /// Takes out what is to be told, by subject.
    pub(super) fn collect(&self, with_later: bool) -> HashMap<Arc<str>, Vec<Holder>> {
        let mut post = self.lock();
        let mut ended = mem::take(&mut post.now);
        if with_later {
            ended.append(&mut post.later);
        }
        drop(post);
        let mut by_subject: HashMap<Arc<str>, Vec<Holder>> = HashMap::new();
        for Ended { subject, holder } in ended {
            by_subject.entry(subject).or_default().push(holder);
        }
        by_subject
    }

    fn lock(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(holder: Holder) -> Ended {
        Ended { subject: "a".into(), holder }
    }

    #[test]
    fn what_is_in_doubt_waits() {
        let outbox = Outbox::default();
        outbox.post(ended(1), false);
        outbox.post(ended(2), true);
        assert_eq!(outbox.collect(false)["a"], [1]);
        assert_eq!(outbox.collect(true)["a"], [2]);
        assert!(outbox.collect(true).is_empty());
    }

    #[test]
    fn there_is_a_bound() {
        let outbox = Outbox::default();
        for holder in 0..MOST as u64 + 10 {
            outbox.post(ended(holder), holder % 2 == 0);
        }
        assert_eq!(outbox.collect(true)["a"].len(), MOST);
    }
}
