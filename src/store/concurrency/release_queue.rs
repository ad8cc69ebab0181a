//! Leases that have ended here, and are still to be given back in Redis.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use super::memory::Holder;

/// More than a recovery should have to tell. What is beyond is not told: its lease ends by itself.
const CAPACITY: usize = 10_000;

/// A lease to be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) holder: Holder,
    pub(super) ended: Instant,
    /// Redis may not have carried out yet what this undoes: it must not be told too early.
    pub(super) in_doubt: bool,
}

#[derive(Default)]
pub(super) struct ReleaseQueue(Mutex<Vec<(Arc<str>, Release)>>);

impl ReleaseQueue {
    /// Never waits for anything but the lock.
    pub(super) fn push(&self, subject: &Arc<str>, release: Release) {
        let mut queue = self.0.lock();
        if queue.len() < CAPACITY {
            queue.push((Arc::clone(subject), release));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Takes out what is to be told now, by subject: all but what is in doubt and ended less than
    /// `doubt` ago. What ended a whole `lease` ago has ended in Redis, too.
    pub(super) fn take(
        self: &Arc<Self>,
        now: Instant,
        doubt: Duration,
        lease: Duration,
    ) -> Vec<ReleaseBatch> {
        let mut by_subject: HashMap<Arc<str>, Vec<Release>> = HashMap::new();
        self.0.lock().retain(|(subject, release)| {
            let age = now.saturating_duration_since(release.ended);
            if release.in_doubt && age < doubt {
                return true;
            }
            if age < lease {
                by_subject.entry(Arc::clone(subject)).or_default().push(*release);
            }
            false
        });
        let batch = |(subject, releases)| {
            let queue = Arc::clone(self);
            ReleaseBatch { queue, subject, releases }
        };
        by_subject.into_iter().map(batch).collect()
    }
}

/// Leases of one subject, on their way. Back in the queue when this is dropped before Redis has
/// [heard](Self::told), wherever that is.
pub(super) struct ReleaseBatch {
    queue: Arc<ReleaseQueue>,
    pub(super) subject: Arc<str>,
    releases: Vec<Release>,
}

impl ReleaseBatch {
    pub(super) fn holders(&self) -> Vec<Holder> {
        self.releases.iter().map(|release| release.holder).collect()
    }

    pub(super) fn told(mut self) {
        self.releases.clear();
    }
}

impl Drop for ReleaseBatch {
    fn drop(&mut self) {
        for release in self.releases.drain(..) {
            self.queue.push(&self.subject, release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBT: Duration = Duration::from_secs(1);
    const LEASE: Duration = Duration::from_secs(30);

    fn push(queue: &ReleaseQueue, holder: Holder, ended: Instant, in_doubt: bool) {
        queue.push(&"a".into(), Release { holder, ended, in_doubt });
    }

    fn taken(queue: &Arc<ReleaseQueue>, now: Instant) -> Vec<Holder> {
        let batches = queue.take(now, DOUBT, LEASE).into_iter();
        batches
            .flat_map(|batch| {
                let holders = batch.holders();
                batch.told();
                holders
            })
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_doubt_waits() {
        let (queue, now) = (Arc::<ReleaseQueue>::default(), Instant::now());
        push(&queue, 1, now, false);
        push(&queue, 2, now, true);
        assert_eq!(taken(&queue, now), [1]);
        assert_eq!(taken(&queue, now + DOUBT), [2]);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_told_stays_until_its_lease_has_ended() {
        let (queue, now) = (Arc::<ReleaseQueue>::default(), Instant::now());
        push(&queue, 1, now, false);
        for _ in 0..3 {
            assert_eq!(queue.take(now, DOUBT, LEASE).len(), 1);
        }
        assert_eq!(queue.take(now + LEASE, DOUBT, LEASE).len(), 0);
        assert!(queue.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_bound() {
        let (queue, now) = (Arc::<ReleaseQueue>::default(), Instant::now());
        for holder in 0..CAPACITY as u64 + 10 {
            push(&queue, holder, now, holder % 2 == 0);
        }
        assert_eq!(taken(&queue, now + DOUBT).len(), CAPACITY);
    }
}
