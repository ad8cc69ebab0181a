//! The Redis tier: one string for each key, one hash for the generations, one channel for what was
//! invalidated.

use std::{collections::HashMap, time::Duration};

use super::{
    frame::{FRESH_UNTIL, Frame, Stamp, stamp_of},
    generations::Scope,
    key::name_in_redis,
    message::Message,
};
use crate::{
    Error, ErrorKind,
    redis::{
        Connection, Script,
        client::{Value, cmd},
    },
    units::ttl_millis,
};

/// Tags and prefixes that Redis keeps generations of. Beyond that one stands for the whole cache.
const MOST_SCOPES: usize = 10_000;

pub(super) struct Remote {
    prefix: String,
    generations: String,
    pub(super) channel: String,
    /// This cache's own, in what it publishes.
    pub(super) instance: String,
    /// How long a deleted value's place is kept: longer than any load.
    tombstone: Duration,
    scripts: Scripts,
}

struct Scripts {
    store: Script,
    lease: Script,
    put: Script,
    expire: Script,
    raise: Script,
}

/// What stands in Redis for a key.
#[derive(Debug, Clone, Default)]
pub(super) struct Found(Vec<u8>);

impl Found {
    pub(super) fn frame(&self) -> Option<Frame<'_>> {
        Frame::parse(&self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who is to load a value.
pub(super) enum Lease {
    Granted,
    /// Another instance loads.
    Taken,
    /// Something was written meanwhile.
    Found(Found),
}

impl Remote {
    pub(super) fn new(namespace: &str, name: &str, hard_timeout: Duration) -> Self {
        let prefix = format!("{namespace}:cache:{name}");
        Self {
            generations: format!("{prefix}:generations"),
            channel: format!("{prefix}:invalidations"),
            prefix,
            instance: format!("{:032x}", rand::random::<u128>()),
            tombstone: hard_timeout + Duration::from_secs(5),
            scripts: Scripts {
                store: Script::new(include_str!("store.lua")),
                lease: Script::new(include_str!("lease.lua")),
                put: Script::new(include_str!("put.lua")),
                expire: Script::new(include_str!("expire.lua")),
                raise: Script::new(include_str!("raise.lua")),
            },
        }
    }

    fn names(&self, key: &str) -> [String; 2] {
        let value = name_in_redis(&self.prefix, key);
        let lease = format!("{value}:lease");
        [value, lease]
    }

    pub(super) async fn get(&self, connection: &mut Connection, key: &str) -> Result<Found, Error> {
        let mut get = cmd("GET");
        get.arg(name_in_redis(&self.prefix, key));
        found(connection.query::<Value>(&get).await)
    }

    /// What stands there for each of these keys.
    pub(super) async fn get_many(
        &self,
        connection: &mut Connection,
        keys: impl Iterator<Item = &str>,
    ) -> Result<Vec<Found>, Error> {
        let mut get = cmd("MGET");
        for key in keys {
            get.arg(name_in_redis(&self.prefix, key));
        }
        let all: Vec<Option<Vec<u8>>> = connection.query(&get).await?;
        Ok(all.into_iter().map(|bytes| Found(bytes.unwrap_or_default())).collect())
    }

    /// Asks to be the one who loads.
    pub(super) async fn lease(
        &self,
        connection: &mut Connection,
        key: &str,
        seen: &Found,
        token: Stamp,
        at_most: Duration,
    ) -> Result<Lease, Error> {
        let call = self.scripts.lease.prepare(&self.names(key));
        let call = call.arg(stamp_of(&seen.0)).arg(&token[..]).arg(ttl_millis(at_most));
        Ok(match call.run(connection).await? {
            Value::Int(1) => Lease::Granted,
            Value::Int(_) => Lease::Taken,
            Value::BulkString(bytes) => Lease::Found(Found(bytes)),
            _ => Lease::Found(Found::default()),
        })
    }

    /// Stores what was loaded, unless the key was written since `seen`.
    pub(super) async fn store(
        &self,
        connection: &mut Connection,
        key: &str,
        seen: &Found,
        frame: &Frame<'_>,
        kept_for: Duration,
        token: Stamp,
    ) -> Result<bool, Error> {
        let call = self.scripts.store.prepare(&self.names(key));
        let call = call.arg(stamp_of(&seen.0)).arg(frame.write()).arg(ttl_millis(kept_for));
        call.arg(&token[..]).run(connection).await
    }

    /// Gives the lease back: others need not wait for this load.
    pub(super) async fn release(
        &self,
        connection: &mut Connection,
        key: &str,
        token: Stamp,
    ) -> Result<(), Error> {
        let call = self.scripts.store.prepare(&self.names(key));
        // No stamp has this length: nothing is stored.
        let call = call.arg("no stamp is so long").arg("").arg(1).arg(&token[..]);
        call.run::<bool>(connection).await.map(drop)
    }

    /// Writes a value whatever is there.
    pub(super) async fn put(
        &self,
        connection: &mut Connection,
        key: &str,
        frame: &Frame<'_>,
        kept_for: Duration,
    ) -> Result<(), Error> {
        let call = self.scripts.put.prepare(&self.names(key));
        let message = Message::Key(key).to_text(&self.instance);
        let call =
            call.arg(frame.write()).arg(ttl_millis(kept_for)).arg(&self.channel).arg(message);
        call.run(connection).await
    }

    /// Deletes a value, and what is being loaded for it.
    pub(super) async fn delete(&self, connection: &mut Connection, key: &str) -> Result<(), Error> {
        self.put(connection, key, &Frame::tombstone(), self.tombstone).await
    }

    pub(super) async fn expire(&self, connection: &mut Connection, key: &str) -> Result<(), Error> {
        let call = self.scripts.expire.prepare(&[name_in_redis(&self.prefix, key)]);
        let message = Message::Expired(key).to_text(&self.instance);
        let call = call.arg(FRESH_UNTIL).arg(&[0_u8; 8][..]).arg(&self.channel).arg(message);
        call.run(connection).await
    }

    /// Invalidates a whole scope; the generation that Redis gives to it.
    pub(super) async fn raise(
        &self,
        connection: &mut Connection,
        scope: &Scope,
    ) -> Result<u64, Error> {
        self.raise_in(connection, scope, None).await
    }

    /// Invalidates the whole cache, because an epoch has begun with a loss of data; unless another
    /// instance has done so.
    pub(super) async fn raise_in(
        &self,
        connection: &mut Connection,
        scope: &Scope,
        epoch: Option<u64>,
    ) -> Result<u64, Error> {
        let call = self.scripts.raise.prepare(&[&self.generations]);
        let call = call.arg(scope.to_text()).arg(MOST_SCOPES).arg(&self.channel);
        let epoch = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
        call.arg(&self.instance).arg(epoch).run(connection).await
    }

    /// The latest generation; `None` if Redis has none (any more).
    pub(super) async fn latest(&self, connection: &mut Connection) -> Result<Option<u64>, Error> {
        let mut latest = cmd("HGET");
        latest.arg(&self.generations).arg("");
        readable(connection.query(&latest).await).map(Option::flatten)
    }

    /// The generations of all scopes; `None` if what stands there cannot be read.
    pub(super) async fn generations(
        &self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<(Scope, u64)>>, Error> {
        let mut all = cmd("HGETALL");
        all.arg(&self.generations);
        let all: Option<HashMap<String, u64>> = readable(connection.query(&all).await)?;
        let scopes = |all: HashMap<String, u64>| {
            all.iter().filter_map(|(scope, at)| Some((Scope::parse(scope)?, *at))).collect()
        };
        Ok(all.map(scopes))
    }
}

/// `None`: what stands there is not ours.
fn readable<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if error.kind() == ErrorKind::Command => Ok(None),
        answer => answer.map(Some),
    }
}

/// What is not a string is not ours: it counts as nothing, and is replaced.
fn found(answer: Result<Value, Error>) -> Result<Found, Error> {
    match readable(answer)? {
        Some(Value::BulkString(bytes)) => Ok(Found(bytes)),
        _ => Ok(Found::default()),
    }
}
