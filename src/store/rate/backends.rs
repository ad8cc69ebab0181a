//! Redis, memory, and what both need to decide: the clock, and among how many a limit is divided.

use std::num::NonZeroU32;

use super::bucket::Bucket;
use super::law::Decision;
use super::memory::MemoryLimit;
use super::redis::RedisLimit;
use crate::Error;
use crate::clock::Clock;
use crate::redis::Redis;
use crate::store::membership::{MemberCount, MemberSettings};

pub(super) struct Backends {
    pub(super) remote: RedisLimit,
    pub(super) memory: MemoryLimit,
    members: MemberCount,
    clock: Clock,
}

impl Backends {
    pub(super) fn new(redis: &Redis, capacity: usize, members: MemberSettings) -> Self {
        Self {
            remote: RedisLimit::new(redis),
            memory: MemoryLimit::new(capacity),
            members: MemberCount::new(redis, members),
            clock: Clock::here(),
        }
    }

    /// The time of all decisions here, in microseconds.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.clock.micros()
    }

    /// Among how many instances the limit would be divided now.
    #[inline]
    pub(super) fn instances(&self) -> NonZeroU32 {
        self.members.get()
    }

    /// What Redis decides; memory takes note of it. `asked` is when this is called.
    pub(super) async fn ask(
        &self,
        bucket: Bucket<'_>,
        asked: u64,
        cost: u32,
    ) -> Result<Decision, Error> {
        let decision = self.remote.decide(bucket, cost).await?;
        self.memory.learn(bucket, (asked, self.now()), &decision);
        Ok(decision)
    }
}
