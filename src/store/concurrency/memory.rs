//! What is in flight here. Bounded by itself: an entry is there only for as long as its request is.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Tells one request of this process from another.
pub(super) type Holder = u64;

/// What is known of a request in flight.
struct InFlight {
    /// When Redis is to hear of it again.
    due: Instant,
    /// Redis was told of it after it was admitted.
    told: bool,
}

type Subjects = HashMap<Arc<str>, HashMap<Holder, InFlight>>;

/// For each subject who is in flight.
#[derive(Default)]
pub(super) struct Table(Mutex<Subjects>);

impl Table {
    /// How many of a subject are in flight.
    pub(super) fn count(&self, subject: &str) -> u32 {
        self.0.lock().get(subject).map_or(0, count)
    }

    /// Counts one more, whom Redis has admitted.
    pub(super) fn add(&self, subject: &Arc<str>, holder: Holder, due: Instant) {
        let request = InFlight { due, told: true };
        self.0.lock().entry(Arc::clone(subject)).or_default().insert(holder, request);
    }

    /// Counts one more unless there are `share` already. Says how many there are then.
    ///
    /// # Errors
    ///
    /// How many there are, when they are too many.
    pub(super) fn admit(
        &self,
        subject: &Arc<str>,
        holder: Holder,
        share: u32,
        due: Instant,
    ) -> Result<u32, u32> {
        let mut table = self.0.lock();
        let count = table.get(subject).map_or(0, count);
        if count >= share {
            return Err(count);
        }
        let request = InFlight { due, told: false };
        table.entry(Arc::clone(subject)).or_default().insert(holder, request);
        Ok(count + 1)
    }

    /// Counts one less, if it was counted. Was Redis told of it?
    pub(super) fn remove(&self, subject: &str, holder: Holder) -> bool {
        let mut table = self.0.lock();
        let Some(requests) = table.get_mut(subject) else { return false };
        let told = requests.remove(&holder).is_some_and(|request| request.told);
        if requests.is_empty() {
            table.remove(subject);
        }
        told
    }

    /// Redis is to hear of everybody.
    pub(super) fn mark_due(&self, now: Instant) {
        let mut table = self.0.lock();
        table.values_mut().flat_map(HashMap::values_mut).for_each(|request| request.due = now);
    }

    /// Of whom Redis is to hear by `now`. They are taken as told: the caller tells them.
    pub(super) fn due(&self, now: Instant) -> Vec<(Arc<str>, Vec<Holder>)> {
        let mut table = self.0.lock();
        let due = table.iter_mut().map(|(subject, requests)| {
            let due = requests.iter_mut().filter(|(_, request)| request.due <= now);
            let holders = due.map(|(holder, request)| {
                request.told = true;
                *holder
            });
            (Arc::clone(subject), holders.collect::<Vec<_>>())
        });
        due.filter(|(_, holders)| !holders.is_empty()).collect()
    }

    /// Redis has heard of these.
    pub(super) fn renewed(&self, subject: &str, holders: &[Holder], due: Instant) {
        let mut table = self.0.lock();
        let Some(requests) = table.get_mut(subject) else { return };
        for holder in holders {
            // Not inserted: it may have ended meanwhile.
            if let Some(request) = requests.get_mut(holder) {
                request.due = due;
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// How many are in flight in all.
    pub(super) fn len(&self) -> usize {
        self.0.lock().values().map(HashMap::len).sum()
    }
}

fn count(requests: &HashMap<Holder, InFlight>) -> u32 {
    u32::try_from(requests.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_share_is_kept_and_nothing_stays_behind() {
        let (table, now) = (Table::default(), Instant::now());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert_eq!([table.admit(&a, 1, 2, now), table.admit(&a, 2, 2, now)], [Ok(1), Ok(2)]);
        assert_eq!(table.admit(&a, 3, 2, now), Err(2));
        assert_eq!(table.admit(&b, 4, 2, now), Ok(1));
        assert!(!table.remove("a", 3));
        assert_eq!(table.admit(&a, 3, 2, now), Err(2), "who was refused gives nothing back");
        assert!(!table.remove("a", 1), "Redis knows nothing of it");
        assert_eq!(table.admit(&a, 5, 2, now), Ok(2));
        for (subject, holder) in [("a", 2), ("a", 5), ("b", 4)] {
            table.remove(subject, holder);
        }
        assert_eq!((table.len(), table.0.lock().len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due() {
        let (table, now) = (Table::default(), Instant::now());
        let a: Arc<str> = "a".into();
        let later = now + Duration::from_secs(1);
        table.add(&a, 1, now);
        table.add(&a, 2, later);
        assert_eq!(table.due(now), [(Arc::clone(&a), vec![1])]);
        table.renewed("a", &[1, 9], later);
        assert_eq!(table.due(now), []);
        assert_eq!(table.count("a"), 2, "who has ended does not come back");
        table.mark_due(now);
        assert_eq!(table.due(now)[0].1.len(), 2);
        assert!(table.remove("a", 1));
    }
}
