//! The limit inside Redis: one script, one key, one round trip.

use super::bucket::Bucket;
use super::debt::Charge;
use super::law::{Decision, MAX_WINDOWS};
use super::window::Window;
use crate::Error;
use crate::redis::client::{FromRedisValue, ParsingError, Value, cmd};
use crate::redis::{Connection, Redis, Script};

/// How much longer than needed a mark stands, in milliseconds.
const MARK_SLACK: u64 = 1_000;

/// Asks Redis.
pub(super) struct RedisLimit {
    redis: Redis,
    /// In front of every key.
    prefix: String,
    gcra: Script,
    charge: Script,
}

impl RedisLimit {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            prefix: format!("{}:rate:", redis.namespace()),
            gcra: Script::new(include_str!("gcra.lua")),
            charge: Script::new(include_str!("charge.lua")),
        }
    }

    /// `<ns>:rate:<policy>:<version>:{<subject>}`
    fn key(&self, Bucket { policy, subject }: Bucket<'_>) -> String {
        let mut key = String::with_capacity(self.prefix.len() + policy.stem().len() + 64);
        key.push_str(&self.prefix);
        key.push_str(policy.stem());
        key.push_str(":{");
        subject.write_form(&mut key);
        key.push('}');
        key
    }

    /// May `cost` cells pass?
    pub(super) async fn decide(&self, bucket: Bucket<'_>, cost: u32) -> Result<Decision, Error> {
        let Answer { first, debts } = self.run(bucket, cost.into(), 0).await?;
        Ok(Decision::from_redis(bucket.policy.whole(), first >= 0, &debts, cost))
    }

    /// Takes up to `wanted` cells: how many it were, and the decision on `cost` of them.
    pub(super) async fn lease(
        &self,
        bucket: Bucket<'_>,
        wanted: u32,
        cost: u32,
    ) -> Result<(u32, Decision), Error> {
        let Answer { first, debts } = self.run(bucket, wanted.into(), 1).await?;
        let taken = u32::try_from(first).unwrap_or(0);
        let decision = Decision::from_redis(bucket.policy.whole(), taken >= cost, &debts, cost);
        Ok((taken, decision))
    }

    /// Gives back `cells` that were taken `age` microseconds ago.
    pub(super) async fn give_back(
        &self,
        bucket: Bucket<'_>,
        cells: u32,
        age: u64,
    ) -> Result<(), Error> {
        self.run(bucket, -i64::from(cells), age).await.map(drop)
    }

    async fn run(&self, bucket: Bucket<'_>, cost: i64, how: u64) -> Result<Answer, Error> {
        let mut call = self.gcra.prepare(&[self.key(bucket)]).arg(cost).arg(how);
        for Window { emission, tolerance, .. } in bucket.policy.whole() {
            call = call.arg(*emission).arg(*tolerance);
        }
        call.run(&mut self.redis.connection()).await
    }

    /// Lays on a subject what it owes, once for each `mark`. Says whether that was done now, and
    /// what is owed in all.
    pub(super) async fn charge(
        &self,
        connection: &mut Connection,
        bucket: Bucket<'_>,
        charge: &Charge,
        mark: &str,
    ) -> Result<(bool, [u64; MAX_WINDOWS]), Error> {
        let (key, windows) = (self.key(bucket), bucket.policy.whole());
        let longest = windows.iter().map(|window| window.tolerance).max().unwrap_or(0);
        let mut call = self.charge.prepare(&[&key, &format!("{key}:m:{mark}")]);
        call = call.arg(longest.div_ceil(1_000) + MARK_SLACK);
        for ((window, add), floor) in windows.iter().zip(charge.add).zip(charge.floor) {
            call = call.arg(add).arg(floor).arg(window.tolerance);
        }
        let Answer { first, debts } = call.run(connection).await?;
        Ok((first == 1, debts))
    }

    /// Deletes what is held of a subject.
    pub(super) async fn reset(&self, bucket: Bucket<'_>) -> Result<(), Error> {
        self.redis.query(cmd("DEL").arg(self.key(bucket))).await
    }
}

/// What the scripts say: a number of their own, and what is owed in each window.
struct Answer {
    first: i64,
    debts: [u64; MAX_WINDOWS],
}

impl FromRedisValue for Answer {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let Value::Array(said) = value else { return Err("not the answer of the script".into()) };
        let mut numbers = said.into_iter().map(i64::from_redis_value);
        let first = numbers.next().ok_or("the answer of the script is empty")??;
        let mut debts = [0; MAX_WINDOWS];
        for (debt, said) in debts.iter_mut().zip(numbers) {
            *debt = u64::try_from(said?).unwrap_or(0);
        }
        Ok(Self { first, debts })
    }
}
