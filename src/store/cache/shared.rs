//! What the handle, the loads and the follower of a cache share: both tiers, and what is known of
//! them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;

use super::{
    answer::{Cached, Freshness, Mode, Tier},
    backlog::CacheBacklog,
    codec::Codec,
    cool_off::CoolOff,
    entry::{Entry, Times},
    frame::{Frame, Kind},
    generations::{Begun, Generations},
    law::{EARLIEST_REFRESH, refreshes_early},
    memory::{Memory, OVERHEAD},
    metrics::CacheMetrics,
    redis::{Found, Remote},
    settings::Settings,
    value::CacheValue,
};
use crate::{
    clock::Clock,
    redis::Redis,
    store::switch::Switch,
    units::{micros, wall_millis},
};

pub(super) struct Shared<V> {
    pub(super) redis: Redis,
    pub(super) switch: Switch,
    pub(super) memory: Arc<Memory<V>>,
    pub(super) backlog: Arc<CacheBacklog>,
    pub(super) codec: Box<dyn Codec<V>>,
    pub(super) settings: Settings,
    pub(super) metrics: CacheMetrics,
    pub(super) cool_off: CoolOff,
    pub(super) clock: Clock,
    /// What other instances invalidate is heard: memory may answer in place of Redis.
    pub(super) in_step: AtomicBool,
    /// Neither tier is to be used.
    pub(super) is_bypassed: AtomicBool,
}

/// An entry, and how fresh it is.
pub(super) struct Seen<V> {
    pub(super) entry: Arc<Entry<V>>,
    pub(super) freshness: Freshness,
}

/// A value that is new to both tiers.
pub(super) struct NewEntry<V> {
    pub(super) entry: Arc<Entry<V>>,
    /// `None`: it has no form for Redis.
    pub(super) payload: Option<Bytes>,
    pub(super) is_kept: bool,
}

impl<V: Clone + Send + Sync + 'static> Shared<V> {
    pub(super) fn remote(&self) -> &Remote {
        &self.backlog.remote
    }

    pub(super) fn generations(&self) -> &Generations {
        &self.backlog.generations
    }

    pub(super) fn uses_redis(&self) -> bool {
        self.switch.is_up() && !self.is_bypassed.load(Ordering::Relaxed)
    }

    pub(super) fn mode(&self) -> Mode {
        if self.is_bypassed.load(Ordering::Relaxed) {
            Mode::DatabaseOnly
        } else if self.switch.is_up() {
            Mode::Normal
        } else if self.settings.max_bytes > 0 {
            Mode::WithoutRedis
        } else {
            Mode::DatabaseOnly
        }
    }

    /// What memory has of the key.
    #[inline]
    pub(super) fn look(&self, key: &str, now: u64) -> Option<Seen<V>> {
        let entry = self.memory.get(key)?;
        if self.is_bypassed.load(Ordering::Relaxed) {
            return None;
        }
        if !entry.is_valid(key, self.generations()) || entry.stale_until <= now {
            self.memory.remove(key, &entry);
            return None;
        }
        let mut fresh_until = entry.fresh_until();
        if !self.switch.is_up() {
            // From here on nobody says what others have written.
            let unheard_since = self.backlog.is_away(now).max(entry.stored_at);
            fresh_until = fresh_until.min(unheard_since + micros(self.settings.ttl_without_redis));
        } else if !self.in_step.load(Ordering::Acquire) {
            fresh_until = fresh_until.min(now);
        }
        let freshness = freshness(fresh_until, now);
        Some(Seen { entry, freshness })
    }

    /// Is it to be loaded again before its end?
    #[inline]
    pub(super) fn refreshes_early(&self, entry: &Entry<V>, now: u64) -> bool {
        let left = entry.fresh_until().saturating_sub(now);
        let beta = self.settings.early_refresh;
        let earliest = entry.load_time as f64 * beta * EARLIEST_REFRESH;
        left as f64 <= earliest && {
            let [left, load] = [left, entry.load_time].map(Duration::from_micros);
            refreshes_early(left, load, beta, rand::random())
        }
    }

    /// What stands in Redis as an entry, if it counts.
    pub(super) fn read(&self, key: &Arc<str>, found: &Found, begun: Begun) -> Option<Seen<V>> {
        let frame = match found.frame() {
            Some(frame) => frame,
            None if found.is_empty() => return None,
            None => return self.unreadable(),
        };
        let is_valid = self.generations().is_valid_in_redis(key, &frame.tags, frame.generation)
            && !self.backlog.is_dirty(key);
        if frame.kind == Kind::Tombstone || !is_valid {
            return None;
        }
        let value = match frame.kind {
            Kind::Value => match self.codec.decode(frame.payload) {
                Some(value) => Some(value),
                None => return self.unreadable(),
            },
            _ => None,
        };
        let now = self.clock.micros();
        // By the wall clocks of two instances: what they differ is added or taken away, and Redis
        // itself ends every value in time.
        let fresh_until = local(frame.fresh_until, now);
        let times = Times {
            stored_at: now,
            fresh_until,
            stale_until: fresh_until.saturating_add(frame.stale_for.saturating_mul(1_000)),
            load_time: u64::from(frame.load_time) * 1_000,
        };
        if times.stale_until <= now {
            return None;
        }
        let freshness = freshness(fresh_until, now);
        let weight = weight(key, frame.payload.len());
        let entry = Entry::new(value, Arc::clone(&frame.tags), begun.local, times, weight);
        Some(Seen { entry: Arc::new(entry), freshness })
    }

    fn unreadable(&self) -> Option<Seen<V>> {
        self.metrics.errors.add(1);
        None
    }

    /// An entry of this value, whose load began at `began` (microseconds).
    pub(super) fn new_entry(
        &self,
        key: &str,
        value: CacheValue<V>,
        begun: Begun,
        began: u64,
    ) -> NewEntry<V> {
        let life = self.settings.lifetime(&value);
        let can_be_kept = value.can_be_kept();
        let CacheValue { value, tags, .. } = value;
        let payload = match &value {
            Some(value) => self.codec.encode(value).ok(),
            None => Some(Bytes::new()),
        };
        if payload.is_none() {
            self.metrics.errors.add(1);
        }
        let length = payload.as_ref().map_or(0, Bytes::len);
        let now = self.clock.micros();
        let fresh_until = began.saturating_add(micros(life.ttl));
        let times = Times {
            stored_at: now,
            fresh_until,
            stale_until: fresh_until.saturating_add(micros(life.stale_for)),
            load_time: now.saturating_sub(began),
        };
        let entry = Entry::new(value, tags, begun.local, times, weight(key, length));
        let is_kept = can_be_kept && length <= self.settings.max_value_bytes;
        NewEntry { entry: Arc::new(entry), payload, is_kept }
    }

    /// The frame for Redis of an entry that was begun at `began`.
    pub(super) fn frame<'a>(&self, entry: &Entry<V>, begun: Begun, payload: &'a [u8]) -> Frame<'a> {
        let now = self.clock.micros();
        let left = entry.fresh_until().saturating_sub(now) / 1_000;
        Frame {
            kind: if entry.value.is_some() { Kind::Value } else { Kind::Absent },
            stamp: rand::random(),
            generation: begun.remote,
            fresh_until: wall_millis().saturating_add(left),
            stale_for: entry.stale_until.saturating_sub(entry.fresh_until()) / 1_000,
            load_time: u32::try_from(entry.load_time / 1_000).unwrap_or(u32::MAX),
            tags: Arc::clone(&entry.tags),
            payload,
        }
    }

    /// An answer, counted.
    pub(super) fn answer(&self, seen: &Seen<V>, tier: Tier) -> Cached<Option<V>> {
        let mode = self.mode();
        let value = seen.entry.value.clone();
        let answer = Cached { value, tier, freshness: seen.freshness, mode };
        self.count(&answer);
        answer
    }

    pub(super) fn count<T>(&self, answer: &Cached<T>) {
        self.metrics.answered(answer);
        if answer.is_degraded() {
            self.switch.record_fallback();
        }
    }
}

fn weight(key: &str, payload: usize) -> u64 {
    OVERHEAD + (key.len() + payload) as u64
}

fn freshness(fresh_until: u64, now: u64) -> Freshness {
    match now.checked_sub(fresh_until) {
        None => Freshness::Fresh,
        Some(age) => Freshness::Stale(Duration::from_micros(age)),
    }
}

/// The moment of the cache's clock (which reads `now`) at which it is `at` on the wall.
fn local(at: u64, now: u64) -> u64 {
    let (wall, micros) = (wall_millis(), |millis: u64| millis.saturating_mul(1_000));
    match at.checked_sub(wall) {
        Some(ahead) => now.saturating_add(micros(ahead)),
        None => now.saturating_sub(micros(wall - at)),
    }
}
