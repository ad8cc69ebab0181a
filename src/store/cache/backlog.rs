//! What Redis has not been told: keys and scopes, never values. Pushing deletes, and never writes
//! what an outage may have outdated.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    generations::{Generations, Scope},
    redis::Remote,
};
use crate::{
    Error,
    health::{Continuity, Recovery, Stage},
    redis::{Connection, Redis},
    store::replay::{Backlog, Paging, Pushed},
    telemetry::Feature,
};

/// What was changed here and may still stand in Redis as it was.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Dirty {
    Key(Arc<str>),
    Scope(Scope),
    /// Redis has lost data: everything, once for all instances.
    Loss,
}

pub(super) struct CacheBacklog {
    redis: Redis,
    pub(super) remote: Remote,
    pub(super) generations: Generations,
    dirty: Mutex<State>,
    /// How many there are, for the readers that look before they ask Redis.
    count: AtomicUsize,
    /// Since when Redis has been away, in microseconds of the cache's clock; 0: it is not.
    away_since: AtomicU64,
    bound: usize,
}

#[derive(Default)]
struct State {
    /// With the moment at which each was last invalidated.
    dirty: HashMap<Dirty, u64>,
    /// Counts those moments for keys.
    moment: u64,
    /// What this pass pushes.
    pass: Paging<(Dirty, u64)>,
}

impl CacheBacklog {
    pub(super) fn new(redis: &Redis, remote: Remote, bound: usize) -> Self {
        Self {
            redis: redis.clone(),
            remote,
            generations: Generations::default(),
            dirty: Mutex::default(),
            count: AtomicUsize::new(0),
            away_since: AtomicU64::new(0),
            bound: bound.max(1),
        }
    }

    /// Redis is to be told that the key was changed. Returns the moment.
    pub(super) fn note_key(&self, key: &Arc<str>) -> u64 {
        let mut state = self.dirty.lock();
        let dirty = Dirty::Key(Arc::clone(key));
        if state.dirty.len() >= self.bound && !state.dirty.contains_key(&dirty) {
            drop(state);
            self.note_scope(Scope::All);
            return 0;
        }
        state.moment += 1;
        let moment = state.moment;
        state.dirty.insert(dirty, moment);
        self.count.store(state.dirty.len(), Ordering::Release);
        moment
    }

    /// Invalidates the scope here. Returns what Redis is to be told, and the moment.
    pub(super) fn note_scope(&self, scope: Scope) -> (Scope, u64) {
        // Under the lock, so that moments stand in order.
        let mut state = self.dirty.lock();
        let has_room = state.dirty.len() < self.bound
            || state.dirty.contains_key(&Dirty::Scope(scope.clone()));
        let scope = if has_room { scope } else { Scope::All };
        let (scope, moment) = self.generations.raise(scope);
        self.insert(&mut state, Dirty::Scope(scope.clone()), moment, scope == Scope::All);
        (scope, moment)
    }

    fn insert(&self, state: &mut State, dirty: Dirty, moment: u64, stands_for_all: bool) {
        if stands_for_all {
            state.dirty.clear();
        }
        state.dirty.insert(dirty, moment);
        self.count.store(state.dirty.len(), Ordering::Release);
    }

    /// Redis was told of what was noted at `moment`.
    pub(super) fn settle(&self, dirty: &Dirty, moment: u64) {
        let mut state = self.dirty.lock();
        if state.dirty.get(dirty).is_some_and(|noted| *noted <= moment) {
            state.dirty.remove(dirty);
            self.count.store(state.dirty.len(), Ordering::Release);
        }
    }

    /// Redis may hold something older of this key.
    pub(super) fn is_dirty(&self, key: &Arc<str>) -> bool {
        self.count.load(Ordering::Acquire) > 0
            && self.dirty.lock().dirty.contains_key(&Dirty::Key(Arc::clone(key)))
    }

    /// Redis is away; `now` is kept if this is the first to notice.
    pub(super) fn is_away(&self, now: u64) -> u64 {
        let first =
            self.away_since.compare_exchange(0, now.max(1), Ordering::AcqRel, Ordering::Acquire);
        first.map_or_else(|since| since, |_| now.max(1))
    }
}

impl Backlog for CacheBacklog {
    const STAGE: Option<Stage> = Some(Stage::Caches);
    const NAME: &'static str = "caches";
    const FEATURE: Feature = Feature::Cache;

    type Item = (Dirty, u64);

    fn mark_lost(&self, continuity: Continuity) {
        match continuity {
            Continuity::Kept => {}
            // Which deletions are missing nobody knows.
            Continuity::KeptUntil(_) => drop(self.note_scope(Scope::All)),
            Continuity::Lost => {
                let mut state = self.dirty.lock();
                let (_, moment) = self.generations.raise(Scope::All);
                // Not in place of the keys: another instance may have done this before they
                // changed.
                self.insert(&mut state, Dirty::Loss, moment, false);
            }
        }
    }

    fn due(&self, cursor: &mut usize) -> Option<Vec<(Dirty, u64)>> {
        let State { dirty, pass, .. } = &mut *self.dirty.lock();
        pass.next(cursor, || dirty.iter().map(|(dirty, at)| (dirty.clone(), *at)).collect())
    }

    async fn push(
        &self,
        connection: &mut Connection,
        (dirty, moment): (Dirty, u64),
    ) -> Result<Pushed, Error> {
        match &dirty {
            Dirty::Key(key) => self.remote.delete(connection, key).await?,
            Dirty::Scope(scope) => {
                let generation = self.remote.raise(connection, scope).await?;
                self.generations.told(scope, moment, generation);
            }
            Dirty::Loss => {
                let epoch = self.redis.epoch();
                let generation = self.remote.raise_in(connection, &Scope::All, epoch).await?;
                self.generations.told(&Scope::All, moment, generation);
            }
        }
        self.settle(&dirty, moment);
        Ok(Pushed::APPLIED)
    }

    async fn after(&self, _: &mut Connection, _: &Recovery) -> Result<(), Error> {
        // Others' writes were not heard of.
        self.generations.forget_local();
        self.away_since.store(0, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::RedisConfig;
    use std::time::Duration;

    fn backlog(bound: usize) -> CacheBacklog {
        let redis = Redis::new(RedisConfig::new("redis://127.0.0.1:1".parse().unwrap())).unwrap();
        CacheBacklog::new(&redis, Remote::new("ns", "c", Duration::from_secs(1)), bound)
    }

    fn all_due(backlog: &CacheBacklog) -> Vec<(Dirty, u64)> {
        let mut cursor = 0;
        std::iter::from_fn(|| backlog.due(&mut cursor)).flatten().collect()
    }

    #[tokio::test]
    async fn each_key_is_due_once_and_until_its_last_change_was_told() {
        let backlog = backlog(1_000);
        let keys: Vec<Arc<str>> = (0..600).map(|n| n.to_string().into()).collect();
        for key in &keys {
            backlog.note_key(key);
        }
        let first = all_due(&backlog);
        assert_eq!(first.len(), 600);
        backlog.note_key(&keys[3]);
        for (dirty, moment) in &first {
            backlog.settle(dirty, *moment);
        }
        let left: Vec<_> = all_due(&backlog).into_iter().map(|(dirty, _)| dirty).collect();
        assert_eq!(left, [Dirty::Key(Arc::clone(&keys[3]))]);
        assert!(backlog.is_dirty(&keys[3]) && !backlog.is_dirty(&keys[4]));
    }

    #[tokio::test]
    async fn at_the_bound_one_invalidation_of_all_stands_for_every_key() {
        let backlog = backlog(10);
        let begun = backlog.generations.begin().local;
        for n in 0..11 {
            backlog.note_key(&n.to_string().into());
        }
        let due: Vec<_> = all_due(&backlog).into_iter().map(|(dirty, _)| dirty).collect();
        assert_eq!(due, [Dirty::Scope(Scope::All)]);
        assert!(!backlog.generations.is_valid("k", &[], begun));
    }

    #[tokio::test]
    async fn what_redis_lost_is_invalidated_as_a_whole() {
        let backlog = self::backlog(10);
        backlog.mark_lost(Continuity::Kept);
        assert!(all_due(&backlog).is_empty());
        backlog.mark_lost(Continuity::Lost);
        assert_eq!(all_due(&backlog)[0].0, Dirty::Loss);
        let backlog = self::backlog(10);
        backlog.note_key(&"k".into());
        backlog.mark_lost(Continuity::Lost);
        assert_eq!(all_due(&backlog).len(), 2);
    }

    #[tokio::test]
    async fn the_first_to_notice_says_since_when_redis_is_away() {
        let backlog = backlog(10);
        assert_eq!(backlog.is_away(5), 5);
        assert_eq!(backlog.is_away(9), 5);
    }
}
