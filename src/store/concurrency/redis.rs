//! What is in flight everywhere: one sorted set for each subject.

use std::sync::Arc;

use super::in_flight::InFlight;
use super::memory::Holder;
use crate::redis::{Connection, Redis, Script, client::cmd};
use crate::store::rate::Subject;
use crate::{Error, units::millis};

/// Holders in one command: none keeps the server for long.
const AT_ONCE: usize = 500;

pub(super) struct RedisLeases {
    /// In front of every subject.
    prefix: String,
    /// In front of every holder: no other limiter, here or elsewhere, has this name.
    name: String,
    limit: u32,
    lease: u64,
    acquire: Script,
    renew: Script,
}

impl RedisLeases {
    pub(super) fn new(redis: &Redis, limit: &InFlight) -> Self {
        Self {
            prefix: format!("{}:concurrency:{}:{{", redis.namespace(), limit.name()),
            name: format!("{}:{:016x}", redis.instance_id(), rand::random::<u64>()),
            limit: limit.limit().get(),
            lease: millis(limit.lease()),
            acquire: Script::new(include_str!("acquire.lua")),
            renew: Script::new(include_str!("renew.lua")),
        }
    }

    /// `<ns>:concurrency:<name>:{<subject>}`
    pub(super) fn key(&self, subject: &Subject) -> Arc<str> {
        let mut key = String::with_capacity(self.prefix.len() + 40);
        key.push_str(&self.prefix);
        subject.write_form(&mut key);
        key.push('}');
        key.into()
    }

    /// One more? And how many there are then.
    pub(super) async fn acquire(
        &self,
        connection: &mut Connection,
        key: &str,
        holder: Holder,
    ) -> Result<(bool, u32), Error> {
        let call = self.acquire.prepare(&[key]).arg(self.member(holder));
        let (admitted, held): (u8, i64) =
            call.arg(self.limit).arg(self.lease).run(connection).await?;
        Ok((admitted == 1, u32::try_from(held).unwrap_or(u32::MAX)))
    }

    /// These are in flight, from now on for one more lease.
    pub(super) async fn renew(
        &self,
        connection: &mut Connection,
        key: &str,
        holders: &[Holder],
    ) -> Result<(), Error> {
        for some in holders.chunks(AT_ONCE) {
            let mut call = self.renew.prepare(&[key]).arg(self.lease);
            for holder in some {
                call = call.arg(self.member(*holder));
            }
            call.run::<()>(connection).await?;
        }
        Ok(())
    }

    /// These have ended.
    pub(super) async fn release(
        &self,
        connection: &mut Connection,
        key: &str,
        holders: &[Holder],
    ) -> Result<(), Error> {
        for some in holders.chunks(AT_ONCE) {
            let mut zrem = cmd("ZREM");
            zrem.arg(key);
            for holder in some {
                zrem.arg(self.member(*holder));
            }
            connection.query::<()>(&zrem).await?;
        }
        Ok(())
    }

    fn member(&self, holder: Holder) -> String {
        format!("{}:{holder}", self.name)
    }
}
