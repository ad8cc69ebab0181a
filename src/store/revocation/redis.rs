//! The table of revocations as it stands in Redis.

use std::time::Duration;

use super::{
    clock::{GRACE, Until},
    law::Lookup,
    shard::Entry,
    token::{DIGEST, Digest, Token},
};
use crate::{
    Error, ErrorKind,
    redis::{
        Connection, Script,
        client::{Cmd, cmd},
    },
};

/// Entries of the log that are kept: whoever has missed more reads the whole table.
const LOG: usize = 100_000;
/// Entries and fields that are read at once.
pub(super) const PAGE: usize = 1_000;

/// The head of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Stands for this table: another id, another table. Never 0.
    pub(super) table_id: u64,
    /// The cut-off of everybody.
    pub(super) global_cut_off: u64,
}

/// How far the log has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    id: String,
    number: u64,
}

/// A page of the log.
pub(super) struct LogPage {
    pub(super) entries: Vec<Entry>,
    /// Where the next one begins; `None` when something is missing in between.
    pub(super) next: Option<Cursor>,
    /// There was no more.
    pub(super) is_last: bool,
}

/// A field and its value, as they stand in Redis.
type Raw = (Vec<u8>, Vec<u8>);

/// An entry of the log: its id, its fields.
type Logged = (String, Vec<Raw>);

/// A page of the whole table.
pub(super) struct TablePage {
    pub(super) next: u64,
    pub(super) entries: Vec<Entry>,
    pub(super) expired: Vec<Raw>,
}

pub(super) struct Remote {
    table: String,
    log: String,
    open: Script,
    add: Script,
    drop: Script,
}

impl Remote {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            table: format!("{namespace}:revocation:{{table}}"),
            log: format!("{namespace}:revocation:{{table}}:log"),
            open: Script::new(include_str!("open.lua")),
            add: Script::new(include_str!("add.lua")),
            drop: Script::new(include_str!("drop.lua")),
        }
    }

    /// What Redis knows of a token: one command. `None`: there is no table.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        token: &Token,
    ) -> Result<Option<(Head, Lookup)>, Error> {
        let mut ask = Cmd::with_capacity(5, self.table.len() + 48);
        ask.arg("HMGET").arg(&self.table).arg("*");
        for digest in token.id.iter().chain(&token.subject) {
            ask.arg(digest.as_bytes());
        }
        let answer: Vec<Option<Vec<u8>>> = connection.query(&ask).await?;
        let mut answer = answer.into_iter();
        let Some(head) = answer.next().flatten().and_then(|head| read_head(&head)) else {
            return Ok(None);
        };
        let listed = token.id.is_none() || answer.next().flatten().is_some();
        let subject_cut_off = match answer.next().flatten() {
            // What cannot be read was meant to revoke.
            Some(value) => read_value(&value).map_or(u64::MAX, |(_, cut_off)| cut_off),
            None => 0,
        };
        Ok(Some((head, Lookup { listed, subject_cut_off, global_cut_off: head.global_cut_off })))
    }

    pub(super) async fn head(&self, connection: &mut Connection) -> Result<Option<Head>, Error> {
        let mut get = cmd("HGET");
        get.arg(&self.table).arg("*");
        match connection.query::<Option<Vec<u8>>>(&get).await {
            Ok(head) => Ok(head.and_then(|head| read_head(&head))),
            // Something else stands in its place: there is no table.
            Err(error) if error.kind() == ErrorKind::Command => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a table, unless one stands that is not called `replaced`.
    pub(super) async fn open(
        &self,
        connection: &mut Connection,
        replaced: Option<u64>,
    ) -> Result<Head, Error> {
        let fresh = format!("{:016x}", rand::random_range(1..u64::MAX));
        let replaced = replaced.map(|table_id| format!("{table_id:016x}")).unwrap_or_default();
        let open = self.open.prepare(&[&self.table]).arg(fresh).arg(replaced);
        let head: Vec<u8> = open.run(connection).await?;
        read_head(&head).ok_or_else(|| {
            Error::new(ErrorKind::Command, "the table of revocations is not readable")
        })
    }

    /// Puts revocations in, and a cut-off of everybody (or 0). The head, if there is a table, and
    /// how many were new to it.
    pub(super) async fn add(
        &self,
        connection: &mut Connection,
        entries: &[Entry],
        global_cut_off: u64,
    ) -> Result<(Option<Head>, usize), Error> {
        let mut add = self.add.prepare(&[&self.table, &self.log]).arg(LOG).arg(global_cut_off);
        for entry in entries {
            let Entry { digest, until, cut_off } = entry;
            add = add.arg(digest.as_bytes()).arg(until.unix()).arg(*cut_off);
        }
        let (head, changed): (Vec<u8>, usize) = add.run(connection).await?;
        Ok((read_head(&head), changed))
    }

    /// The end of the log.
    pub(super) async fn end_of_log(&self, connection: &mut Connection) -> Result<Cursor, Error> {
        let mut last = cmd("XREVRANGE");
        last.arg(&self.log).arg("+").arg("-").arg("COUNT").arg(1);
        let last: Vec<Logged> = connection.query(&last).await?;
        let last = last.into_iter().next().map(|(id, fields)| (id, read_logged(&fields).0));
        let (id, number) = last.unwrap_or(("0-0".to_owned(), 0));
        Ok(Cursor { id, number })
    }

    /// What follows in the log; `block`: waits for so long for it.
    pub(super) async fn read_log(
        &self,
        connection: &mut Connection,
        from: &Cursor,
        block: Option<Duration>,
    ) -> Result<LogPage, Error> {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE);
        if let Some(block) = block {
            read.arg("BLOCK").arg(block.as_millis() as u64);
        }
        read.arg("STREAMS").arg(&self.log).arg(&from.id);
        let streams: Vec<(Vec<u8>, Vec<Logged>)> = connection.query(&read).await?;
        let logged: Vec<Logged> = streams.into_iter().flat_map(|(_, logged)| logged).collect();
        let is_last = logged.len() < PAGE;
        let mut next = Some(from.clone());
        let mut entries = Vec::with_capacity(logged.len());
        for (id, fields) in logged {
            let (number, entry) = read_logged(&fields);
            let follows = next.is_some_and(|last| last.number + 1 == number);
            next = (follows && entry.is_some()).then_some(Cursor { id, number });
            entries.extend(entry);
        }
        Ok(LogPage { entries, next, is_last })
    }

    /// A page of the whole table, from 0 on; the last page says 0 again.
    pub(super) async fn table_page(
        &self,
        connection: &mut Connection,
        cursor: u64,
        now: u64,
    ) -> Result<TablePage, Error> {
        let mut scan = cmd("HSCAN");
        scan.arg(&self.table).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, fields): (u64, Vec<Raw>) = connection.query(&scan).await?;
        let (mut entries, mut expired) = (Vec::with_capacity(fields.len()), Vec::new());
        for (field, value) in fields {
            match read_entry(&field, &value) {
                Some(entry) if entry.until.is_over(now) => expired.push((field, value)),
                entry => entries.extend(entry),
            }
        }
        Ok(TablePage { next, entries, expired })
    }

    /// Forgets those of them that have expired by Redis's own clock.
    pub(super) async fn drop_expired(
        &self,
        connection: &mut Connection,
        expired: &[Raw],
    ) -> Result<(), Error> {
        let mut drop = self.drop.prepare(&[&self.table]).arg(GRACE);
        for (field, value) in expired {
            drop = drop.arg(field).arg(value);
        }
        drop.run(connection).await
    }
}

fn read_head(head: &[u8]) -> Option<Head> {
    let (table_id, global_cut_off) = std::str::from_utf8(head).ok()?.split_once(':')?;
    let table_id = u64::from_str_radix(table_id, 16).ok().filter(|table_id| *table_id != 0)?;
    Some(Head { table_id, global_cut_off: global_cut_off.parse().ok()? })
}

/// `<until>:<cut-off>`
fn read_value(value: &[u8]) -> Option<(u64, u64)> {
    let (until, cut_off) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((until.parse().ok()?, cut_off.parse().ok()?))
}

fn read_entry(digest: &[u8], value: &[u8]) -> Option<Entry> {
    let digest: [u8; DIGEST] = digest.try_into().ok()?;
    let (until, cut_off) = read_value(value)?;
    Some(Entry { digest: Digest::from_bytes(digest), until: Until::from_unix(until), cut_off })
}

/// Number and content of an entry of the log. What is not ours reads as 0 or nothing: a gap.
fn read_logged(fields: &[Raw]) -> (u64, Option<Entry>) {
    let field = |name| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    let number = field(b"n").and_then(|number| std::str::from_utf8(number).ok()?.parse().ok());
    let content = field(b"e").and_then(|content| {
        let (digest, value) = content.split_at_checked(DIGEST)?;
        read_entry(digest, value)
    });
    (number.unwrap_or(0), content)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{
        super::clock::{millis, seconds_up},
        *,
    };
    use crate::{
        redis::{Redis, RedisConfig},
        support::RedisServer,
    };

    fn entry(byte: u8, until: SystemTime) -> Entry {
        let until = Until::from_unix(seconds_up(until));
        Entry { digest: Digest::from_bytes([byte; DIGEST]), until, cut_off: 0 }
    }

    #[tokio::test]
    async fn an_instance_whose_clock_is_ahead_deletes_nothing_that_is_alive() {
        let server = RedisServer::start().await;
        let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
        assert!(redis.monitor().wait_available(Duration::from_secs(20)).await);
        let (connection, remote) = (&mut redis.connection(), Remote::new("ns"));
        remote.open(connection, None).await.unwrap();
        let now = SystemTime::now();
        let hour = Duration::from_secs(3_600);
        let (alive, over) = (entry(1, now + hour), entry(2, now - hour));
        remote.add(connection, &[alive, over], 0).await.unwrap();

        let ahead = millis(now + Duration::from_secs(4_000));
        let page = remote.table_page(connection, 0, ahead).await.unwrap();
        assert_eq!(page.expired.len(), 2, "to that clock both are over");
        remote.drop_expired(connection, &page.expired).await.unwrap();
        let page = remote.table_page(connection, 0, millis(now)).await.unwrap();
        assert_eq!(page.entries, [alive]);
        assert!(page.expired.is_empty());
    }
}
