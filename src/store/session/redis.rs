//! Sessions in Redis: one command to read, one script for each write.

use crate::redis::client::{Cmd, FromRedisValue, Value, cmd};

use super::{expiry::Times, id::SessionName, record::Record};
use crate::{
    Error, ErrorKind,
    redis::{Connection, Redis, Script},
};

/// The commands. An error with [`Error::is_unavailable`] is the third answer beside found and
/// absent.
pub(super) struct Records {
    redis: Redis,
    create: Script,
    change: Script,
    touch: Script,
    delete: Script,
    enlist: Script,
    revoke: Script,
}

/// What came of a record that is new.
pub(super) enum Created {
    Stored(Record),
    /// The id was logged out.
    Gone,
    Taken,
}

/// What came of a record that takes another's place.
pub(super) enum Replaced {
    Stored(Record),
    /// There is none.
    Gone,
    /// Another stands there.
    Conflict(Record),
}

impl Records {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            create: Script::new(include_str!("create.lua")),
            change: Script::new(include_str!("change.lua")),
            touch: Script::new(include_str!("touch.lua")),
            delete: Script::new(include_str!("delete.lua")),
            enlist: Script::new(include_str!("enlist.lua")),
            revoke: Script::new(include_str!("revoke.lua")),
        }
    }

    fn key(&self, name: SessionName) -> String {
        format!("{}:session:{{{name}}}", self.redis.namespace())
    }

    fn keys(&self, name: SessionName) -> [String; 2] {
        let record = self.key(name);
        let gone = format!("{record}:gone");
        [record, gone]
    }

    fn subject_keys(&self, subject: SessionName) -> [String; 2] {
        let list = format!("{}:session-subject:{{{subject}}}", self.redis.namespace());
        let cutoff = format!("{list}:cutoff");
        [list, cutoff]
    }

    /// `None`: there is none.
    pub(super) async fn load(&self, name: SessionName) -> Result<Option<Record>, Error> {
        let key = self.key(name);
        let mut get = Cmd::with_capacity(2, key.len() + 32);
        match self.redis.query(get.arg("GET").arg(&key)).await {
            Ok(Value::Nil) => Ok(None),
            Ok(value) => read(value).map(Some),
            Err(error) if error.is_unavailable() => Err(error),
            // Another type than a string.
            Err(_) => Box::pin(self.load_hash(&key)).await,
        }
    }

    async fn load_hash(&self, key: &str) -> Result<Option<Record>, Error> {
        let hash: Value = self.redis.query(cmd("HGETALL").arg(key)).await?;
        let mut pairs = hash.into_map_iter().map_err(|_| not_ours())?.peekable();
        if pairs.peek().is_none() {
            return Ok(None);
        }
        let text = |value| String::from_redis_value(value).ok();
        let record =
            Record::from_hash(pairs.map(|(name, value)| Some((text(name)?, text(value)?))));
        record.map(Some).ok_or_else(not_ours)
    }

    /// Writes a record where there is none. It begins now, unless it `is_older`: under another id,
    /// or without Redis.
    pub(super) async fn create(
        &self,
        name: SessionName,
        mut record: Record,
        is_older: bool,
    ) -> Result<Created, Error> {
        let call = self.create.prepare(&self.keys(name)).arg(record.value());
        let now: i64 = call.arg(u8::from(is_older)).run(&mut self.redis.connection()).await?;
        Ok(match u64::try_from(now) {
            Err(_negative) => Created::Gone,
            Ok(0) => Created::Taken,
            Ok(now) => {
                let Times { idle, .. } = record.times;
                let created = if is_older { record.times.created } else { now };
                let ends = created.saturating_add(record.times.lifetime());
                record.set_times(Times { created, touched: now, idle, ends });
                Created::Stored(record)
            }
        })
    }

    /// Writes a record in place of the one that is `held`, if that is still there.
    pub(super) async fn replace(
        &self,
        name: SessionName,
        held: &Record,
        mut record: Record,
        is_use: bool,
    ) -> Result<Replaced, Error> {
        let call = self.change.prepare(&[self.key(name)]);
        let call = match held.is_hash {
            true => call.arg(held.version),
            false => call.arg(held.header()),
        };
        let call = call.arg(record.value()).arg(u8::from(is_use));
        match call.run(&mut self.redis.connection()).await? {
            Value::Int(now) => {
                if is_use {
                    record.set_touched(u64::try_from(now).unwrap_or(record.times.touched));
                }
                Ok(Replaced::Stored(record))
            }
            Value::Nil => Ok(Replaced::Gone),
            Value::BulkString(value) if value.is_empty() => {
                Ok(self.load(name).await?.map_or(Replaced::Gone, Replaced::Conflict))
            }
            value => read(value).map(Replaced::Conflict),
        }
    }

    /// When it was used; `None`: the session is gone.
    pub(super) async fn touch(&self, name: SessionName) -> Result<Option<u64>, Error> {
        let record = self.key(name);
        self.touch.prepare(&[record]).run(&mut self.redis.connection()).await
    }

    /// Deletes for good: the tombstone stands for `stands` ms, or as long as the record might have
    /// lived. With `always`, also where there is no record; never one that began after
    /// `spare_after`.
    pub(super) async fn delete(
        &self,
        connection: &mut Connection,
        name: SessionName,
        stands: u64,
        always: bool,
        spare_after: Option<u64>,
    ) -> Result<bool, Error> {
        let call = self.delete.prepare(&self.keys(name)).arg(stands).arg(u8::from(always));
        let spare_after = spare_after.map(|at| at.to_string()).unwrap_or_default();
        call.arg(spare_after).run(connection).await
    }

    /// Lists a session among its subject's. Before it is made: a list may name one too many, never
    /// one too few.
    pub(super) async fn enlist(
        &self,
        subject: SessionName,
        name: SessionName,
        ends: u64,
    ) -> Result<(), Error> {
        let [list, _] = self.subject_keys(subject);
        let call = self.enlist.prepare(&[list]).arg(name.to_string()).arg(ends);
        call.run::<i64>(&mut self.redis.connection()).await.map(|_| ())
    }

    pub(super) async fn listed(&self, subject: SessionName) -> Result<Vec<SessionName>, Error> {
        let [list, _] = self.subject_keys(subject);
        let names: Vec<String> = self.redis.query(cmd("ZRANGE").arg(list).arg(0).arg(-1)).await?;
        Ok(names.iter().filter_map(|name| SessionName::parse(name)).collect())
    }

    /// Until when this subject's sessions are revoked.
    pub(super) async fn cutoff(&self, subject: SessionName) -> Result<Option<u64>, Error> {
        let [_, cutoff] = self.subject_keys(subject);
        self.redis.query(cmd("GET").arg(cutoff)).await
    }

    /// Notes that all sessions that began until `at`, or now, are revoked. Says when that was, and
    /// their names, for [`delete`](Self::delete).
    pub(super) async fn revoke(
        &self,
        connection: &mut Connection,
        subject: SessionName,
        at: Option<u64>,
        stands: u64,
    ) -> Result<(u64, Vec<SessionName>), Error> {
        let at = at.map(|at| at.to_string()).unwrap_or_default();
        let call = self.revoke.prepare(&self.subject_keys(subject)).arg(at).arg(stands);
        let (at, names): (u64, Vec<String>) = call.run(connection).await?;
        Ok((at, names.iter().filter_map(|name| SessionName::parse(name)).collect()))
    }
}

fn read(value: Value) -> Result<Record, Error> {
    match value {
        Value::BulkString(value) => Record::read(value).ok_or_else(not_ours),
        _ => Err(not_ours()),
    }
}

fn not_ours() -> Error {
    Error::new(ErrorKind::Command, "not a session of this crate")
}
