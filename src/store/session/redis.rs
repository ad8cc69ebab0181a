//! Sessions in Redis: one command to read, one script for each change.

use crate::redis::client::{Cmd, FromRedisValue, Value, cmd};

use super::{
    expiry::Times,
    id::SessionName,
    record::{Changes, Record},
    snapshot::Snapshot,
};
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
    restore: Script,
    enlist: Script,
    revoke: Script,
}

/// A session to be written for the first time.
#[derive(Clone, Copy)]
pub(super) struct NewRecord<'a> {
    pub(super) times: Times,
    /// It began earlier than now, under another id or without Redis.
    pub(super) is_older: bool,
    /// It is put back from a copy, or is another id of one that was.
    pub(super) is_restored: bool,
    pub(super) subject: Option<&'a str>,
    /// Its values; what was removed is not written.
    pub(super) changes: &'a Changes,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    At(u64),
    /// The id was logged out.
    Gone,
    Taken,
}

/// What came of a change.
pub(super) struct Changed {
    pub(super) version: u64,
    pub(super) now: u64,
    /// Keys that somebody else had changed before.
    pub(super) conflicts: u64,
    /// The record, when it is not what the caller knows with its changes on top.
    pub(super) whole: Option<Record>,
}

impl Records {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            create: Script::new(include_str!("create.lua")),
            change: Script::new(include_str!("change.lua")),
            touch: Script::new(include_str!("touch.lua")),
            delete: Script::new(include_str!("delete.lua")),
            restore: Script::new(include_str!("restore.lua")),
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
        let record = self.key(name);
        let mut hgetall = Cmd::with_capacity(2, record.len() + 32);
        read(self.redis.query(hgetall.arg("HGETALL").arg(record)).await?)
    }

    pub(super) async fn create(
        &self,
        name: SessionName,
        new: &NewRecord<'_>,
    ) -> Result<Created, Error> {
        let Times { created, idle, .. } = new.times;
        let created_at = if new.is_older { created.to_string() } else { String::new() };
        let mut call = self.create.prepare(&self.keys(name));
        call = call.arg(idle).arg(new.times.lifetime()).arg(created_at);
        call = call.arg(new.subject.unwrap_or_default());
        call = call.arg(if new.is_restored { "1" } else { "" });
        for (key, json) in &new.changes.values {
            if let Some(json) = json {
                call = call.arg(key).arg(json);
            }
        }
        let answer: Vec<Value> = call.run(&mut self.redis.connection()).await?;
        match field::<String>(&answer, 0)?.as_str() {
            "ok" => Ok(Created::At(field(&answer, 1)?)),
            "gone" => Ok(Created::Gone),
            _ => Ok(Created::Taken),
        }
    }

    /// On top of the version that is `known`. `None`: the session is gone.
    pub(super) async fn change(
        &self,
        name: SessionName,
        known: u64,
        changes: &Changes,
    ) -> Result<Option<Changed>, Error> {
        let (idle, absolute) = match changes.expiry {
            Some((idle, absolute)) => (idle.to_string(), absolute.to_string()),
            None => Default::default(),
        };
        let mut call = self.change.prepare(&self.keys(name));
        call = call.arg(known).arg(idle).arg(absolute);
        for (key, json) in &changes.values {
            call = call.arg(key).arg(json.as_deref().unwrap_or_default());
        }
        let answer: Vec<Value> = call.run(&mut self.redis.connection()).await?;
        if field::<String>(&answer, 0)? != "ok" {
            return Ok(None);
        }
        Ok(Some(Changed {
            version: field(&answer, 1)?,
            now: field(&answer, 2)?,
            conflicts: field(&answer, 3)?,
            whole: read(field(&answer, 4)?)?,
        }))
    }

    /// When it was touched; `None`: the session is gone.
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

    /// Puts back what Redis has lost. `None`: it was logged out, or has ended.
    pub(super) async fn restore(
        &self,
        name: SessionName,
        lost: &Snapshot,
    ) -> Result<Option<Record>, Error> {
        let mut call = self.restore.prepare(&self.keys(name));
        call = call.arg(lost.version).arg(lost.times.created).arg(lost.times.idle);
        call = call.arg(lost.times.ends).arg(lost.subject.as_deref().unwrap_or_default());
        call = call.arg(u8::from(lost.is_complete()));
        for part in &lost.parts {
            call = call.arg(&part.key).arg(part.version).arg(&part.json);
        }
        let answer: Vec<Value> = call.run(&mut self.redis.connection()).await?;
        if field::<String>(&answer, 0)? != "ok" {
            return Ok(None);
        }
        read(field(&answer, 1)?)
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

/// `None`: there is none.
fn read(hash: Value) -> Result<Option<Record>, Error> {
    let not_ours = || Error::new(ErrorKind::Command, "not a session of this crate");
    let mut pairs = hash.into_map_iter().map_err(|_| not_ours())?.peekable();
    if pairs.peek().is_none() {
        return Ok(None);
    }
    let text = |value| String::from_redis_value(value).ok();
    let record = Record::read(pairs.map(|(name, value)| Some((text(name)?, text(value)?))));
    record.map(Some).ok_or_else(not_ours)
}

fn field<T: FromRedisValue>(answer: &[Value], at: usize) -> Result<T, Error> {
    let value = answer.get(at).cloned().unwrap_or(Value::Nil);
    T::from_redis_value(value).map_err(|error| {
        Error::new(ErrorKind::Command, "the answer is not of the type asked for").with_source(error)
    })
}
