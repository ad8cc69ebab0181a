//! The limit inside Redis: one script, one key, one round trip.

use super::debt::Charge;
use super::law::{Decision, MAX_WINDOWS};
use super::policy::Policy;
use super::subject::Subject;
use super::window::Window;
use crate::Error;
use crate::redis::client::{FromRedisValue, ParsingError, Value, cmd};
use crate::redis::{Connection, Redis, Script};

/// How much longer than needed a mark stands, in milliseconds.
const MARK_SLACK: u64 = 1_000;

/// Asks Redis.
pub(super) struct RedisLimit {
    /// In front of every key.
    prefix: String,
    gcra: Script,
    charge: Script,
}

impl RedisLimit {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            prefix: format!("{}:rate:", redis.namespace()),
            gcra: Script::new(include_str!("gcra.lua")),
            charge: Script::new(include_str!("charge.lua")),
        }
    }

    /// `<ns>:rate:<policy>:<version>:{<subject>}`
    pub(super) fn key(&self, policy: &Policy, subject: &Subject) -> String {
        let mut key = String::with_capacity(self.prefix.len() + policy.stem().len() + 64);
        key.push_str(&self.prefix);
        key.push_str(policy.stem());
        key.push_str(":{");
        subject.write_form(&mut key);
        key.push('}');
        key
    }

    /// May `cost` cells pass?
    pub(super) async fn decide(
        &self,
        connection: &mut Connection,
        policy: &Policy,
        subject: &Subject,
        cost: u32,
    ) -> Result<Decision, Error> {
        let Answer { first, debts } = self.run(connection, policy, subject, cost.into(), 0).await?;
        Ok(Decision::from_redis(policy.whole(), first >= 0, &debts, cost))
    }

    /// Takes up to `wanted` cells: how many it were, and the decision on `cost` of them.
    pub(super) async fn lease(
        &self,
        connection: &mut Connection,
        policy: &Policy,
        subject: &Subject,
        wanted: u32,
        cost: u32,
    ) -> Result<(u32, Decision), Error> {
        let Answer { first, debts } =
            self.run(connection, policy, subject, wanted.into(), 1).await?;
        let taken = u32::try_from(first).unwrap_or(0);
        Ok((taken, Decision::from_redis(policy.whole(), taken >= cost, &debts, cost)))
    }

    /// Gives back `cells` that were taken `age` microseconds ago.
    pub(super) async fn give_back(
        &self,
        connection: &mut Connection,
        policy: &Policy,
        subject: &Subject,
        cells: u32,
        age: u64,
    ) -> Result<(), Error> {
        self.run(connection, policy, subject, -i64::from(cells), age).await.map(drop)
    }

    async fn run(
        &self,
        connection: &mut Connection,
        policy: &Policy,
        subject: &Subject,
        cost: i64,
        how: u64,
    ) -> Result<Answer, Error> {
        let mut call = self.gcra.prepare(&[self.key(policy, subject)]).arg(cost).arg(how);
        for Window { emission, tolerance, .. } in policy.whole() {
            call = call.arg(*emission).arg(*tolerance);
        }
        call.run(connection).await
    }

    /// Lays on a subject what it owes, once for each `mark`. Says whether that was done now, and what is owed in all.
    pub(super) async fn charge(
        &self,
        connection: &mut Connection,
        policy: &Policy,
        subject: &Subject,
        charge: &Charge,
        mark: &str,
    ) -> Result<(bool, [u64; MAX_WINDOWS]), Error> {
        let key = self.key(policy, subject);
        let longest = policy.whole().iter().map(|window| window.tolerance).max().unwrap_or(0);
        let mut call = self.charge.prepare(&[&key, &format!("{key}:m:{mark}")]);
        call = call.arg(longest.div_ceil(1_000) + MARK_SLACK);
        for ((window, add), floor) in policy.whole().iter().zip(charge.add).zip(charge.floor) {
            call = call.arg(add).arg(floor).arg(window.tolerance);
        }
        let Answer { first, debts } = call.run(connection).await?;
        Ok((first == 1, debts))
    }

    /// Deletes what is held of a subject.
    pub(super) async fn forget(
        &self,
        connection: &mut Connection,
        policy: &Policy,
        subject: &Subject,
    ) -> Result<(), Error> {
        connection.query(cmd("DEL").arg(self.key(policy, subject))).await
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
