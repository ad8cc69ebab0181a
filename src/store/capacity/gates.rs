//! The gates in Redis: one hash for each event.

use std::time::Duration;

use super::{
    law::{Gate, Seen},
    truth::Occupancy,
};
use crate::{
    Error,
    redis::{Connection, Redis, Script, client::cmd},
    store::rate::Subject,
    units::ttl_millis,
};

/// What reads the gate stands in front of each script.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("gate.lua"), include_str!($file)))
    };
}

pub(super) struct Gates {
    redis: Redis,
    prefix: String,
    pub(super) channel: String,
    /// The moment before which all gates were given up.
    since: String,
    lifetime: u64,
    take: Script,
    settle: Script,
    release: Script,
    reconcile: Script,
    give_up: Script,
}

/// What a gate said to a take.
pub(super) struct Take {
    pub(super) seen: Seen,
    pub(super) left: u64,
    pub(super) capacity: u64,
    /// Redis's time.
    pub(super) at: u64,
    /// Something that no gate is stood in its place.
    pub(super) is_strange: bool,
}

/// How a gate is told what the truth has said.
#[derive(Clone, Copy)]
pub(super) enum Tell {
    Back,
    Seed(Occupancy),
    Set(Occupancy),
}

impl Gates {
    pub(super) fn new(redis: &Redis, name: &str, lifetime: Duration) -> Self {
        let prefix = format!("{}:capacity:{name}", redis.namespace());
        Self {
            redis: redis.clone(),
            channel: format!("{prefix}:released"),
            since: format!("{prefix}:since"),
            prefix,
            lifetime: ttl_millis(lifetime),
            take: Script::new(concat!(
                include_str!("refuse.lua"),
                include_str!("gate.lua"),
                include_str!("take.lua")
            )),
            settle: script!("settle.lua"),
            release: script!("release.lua"),
            reconcile: script!("reconcile.lua"),
            give_up: Script::new(include_str!("since.lua")),
        }
    }

    /// With the epoch in it: what another Redis, or an older copy, says of an event is not heard.
    fn key(&self, event: &str) -> String {
        let epoch = self.redis.epoch().unwrap_or_default();
        let mut key = format!("{}:{epoch:x}:{{", self.prefix);
        Subject::text(event).write_form(&mut key);
        key.push('}');
        key
    }

    pub(super) async fn take(
        &self,
        connection: &mut Connection,
        event: &str,
        since: u64,
        seats: u32,
    ) -> Result<Take, Error> {
        let call = self.take.prepare(&[self.key(event)]).arg(since).arg(seats);
        let (seen, left, capacity, at, strange): (u8, u64, u64, u64, u8) =
            call.run(connection).await?;
        let seen = match seen {
            1 => Seen::Taken,
            2 => Seen::Full,
            _ => Seen::Unknown,
        };
        Ok(Take { seen, left, capacity, at, is_strange: strange != 0 })
    }

    /// `at`: when it was asked.
    pub(super) async fn settle(
        &self,
        connection: &mut Connection,
        event: &str,
        since: u64,
        at: u64,
        seats: u32,
        tell: Tell,
    ) -> Result<(), Error> {
        let (word, truth) = match tell {
            Tell::Back => ("back", Occupancy::new(0, 0)),
            Tell::Seed(truth) => ("seed", truth),
            Tell::Set(truth) => ("set", truth),
        };
        let call = self.settle.prepare(&[self.key(event)]).arg(since).arg(at).arg(word).arg(seats);
        let call = call.arg(truth.left()).arg(truth.capacity).arg(self.lifetime);
        call.run(connection).await
    }

    /// So many seats were released; `None`: the gate is given up.
    pub(super) async fn release(
        &self,
        connection: &mut Connection,
        event: &str,
        since: u64,
        seats: Option<u32>,
    ) -> Result<(), Error> {
        let seats = seats.map(|seats| seats.to_string()).unwrap_or_default();
        let call = self.release.prepare(&[self.key(event)]).arg(since).arg(seats);
        let call = call.arg(self.lifetime).arg(&self.channel).arg(format!("+{event}"));
        call.run(connection).await
    }

    /// Whether the gate had to be mended.
    pub(super) async fn reconcile(
        &self,
        connection: &mut Connection,
        event: &str,
        since: u64,
        truth: Occupancy,
        begun: u64,
    ) -> Result<bool, Error> {
        let call = self.reconcile.prepare(&[self.key(event)]).arg(since).arg(truth.left());
        let call = call.arg(truth.capacity).arg(begun).arg(self.lifetime);
        call.arg(&self.channel).arg(format!("+{event}")).run(connection).await
    }

    /// What the gate knows.
    pub(super) async fn look(
        &self,
        connection: &mut Connection,
        event: &str,
        since: u64,
    ) -> Result<Gate, Error> {
        // A take of nothing takes nothing.
        let Take { seen, left, .. } = self.take(connection, event, since, 0).await?;
        Ok(if seen == Seen::Taken { Gate::Known { left } } else { Gate::Unknown })
    }

    /// Gives up all gates, for all instances. Returns the moment.
    pub(super) async fn give_up(&self, connection: &mut Connection) -> Result<u64, Error> {
        let kept = self.lifetime.saturating_mul(2);
        self.give_up.prepare(&[&self.since]).arg(kept).arg(&self.channel).run(connection).await
    }

    /// The moment before which all gates were given up; 0: none was in a lifetime.
    pub(super) async fn since(&self, connection: &mut Connection) -> Result<u64, Error> {
        let mut get = cmd("GET");
        get.arg(&self.since);
        let since: Option<u64> = connection.query(&get).await?;
        Ok(since.unwrap_or(0))
    }

    /// Redis's time in microseconds.
    pub(super) async fn now(&self, connection: &mut Connection) -> Result<u64, Error> {
        let (seconds, micros): (u64, u64) = connection.query(&cmd("TIME")).await?;
        Ok(seconds.saturating_mul(1_000_000).saturating_add(micros))
    }
}
