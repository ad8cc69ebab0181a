//! What is known of commands by their names: what they need, and what a shared connection cannot
//! take.

use deadpool_redis::redis::{Arg, Cmd};

/// What a command needs of Redis, and of its connection; the more, the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Nature {
    Read,
    Write,
    /// Waits in the server for somebody else: needs a connection of its own.
    Blocks,
    /// Changes the connection for whoever comes after: needs a connection of its own.
    Binds,
    /// Makes the server send messages that nobody has asked for: needs somebody who reads them.
    Listens,
}

/// A command by its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command(usize);

use Nature::{Binds, Blocks, Listens, Read, Write};

/// Sorted by name. What is not here is taken for a write, and counted as `other`.
const TABLE: &[(&str, Nature)] = &[
    ("APPEND", Write),
    ("AUTH", Binds),
    ("BITCOUNT", Read),
    ("BITPOS", Read),
    ("BLMOVE", Blocks),
    ("BLMPOP", Blocks),
    ("BLPOP", Blocks),
    ("BRPOP", Blocks),
    ("BRPOPLPUSH", Blocks),
    ("BZMPOP", Blocks),
    ("BZPOPMAX", Blocks),
    ("BZPOPMIN", Blocks),
    ("COPY", Write),
    ("DBSIZE", Read),
    ("DECR", Write),
    ("DECRBY", Write),
    ("DEL", Write),
    ("DISCARD", Binds),
    ("ECHO", Read),
    ("EVAL", Write),
    ("EVALSHA", Write),
    ("EVALSHA_RO", Read),
    ("EVAL_RO", Read),
    ("EXEC", Binds),
    ("EXISTS", Read),
    ("EXPIRE", Write),
    ("EXPIREAT", Write),
    ("EXPIRETIME", Read),
    ("FCALL", Write),
    ("FCALL_RO", Read),
    ("GEODIST", Read),
    ("GEOPOS", Read),
    ("GEOSEARCH", Read),
    ("GET", Read),
    ("GETBIT", Read),
    ("GETDEL", Write),
    ("GETEX", Write),
    ("GETRANGE", Read),
    ("GETSET", Write),
    ("HDEL", Write),
    ("HELLO", Binds),
    ("HEXISTS", Read),
    ("HGET", Read),
    ("HGETALL", Read),
    ("HINCRBY", Write),
    ("HKEYS", Read),
    ("HLEN", Read),
    ("HMGET", Read),
    ("HSCAN", Read),
    ("HSET", Write),
    ("HSETNX", Write),
    ("HSTRLEN", Read),
    ("HVALS", Read),
    ("INCR", Write),
    ("INCRBY", Write),
    ("INCRBYFLOAT", Write),
    ("INFO", Read),
    ("KEYS", Read),
    ("LINDEX", Read),
    ("LLEN", Read),
    ("LPOP", Write),
    ("LPUSH", Write),
    ("LRANGE", Read),
    ("LREM", Write),
    ("LTRIM", Write),
    ("MGET", Read),
    ("MONITOR", Listens),
    ("MSET", Write),
    ("MULTI", Binds),
    ("PERSIST", Write),
    ("PEXPIRE", Write),
    ("PEXPIREAT", Write),
    ("PEXPIRETIME", Read),
    ("PFADD", Write),
    ("PFCOUNT", Read),
    ("PING", Read),
    ("PSETEX", Write),
    ("PSUBSCRIBE", Listens),
    ("PSYNC", Binds),
    ("PTTL", Read),
    ("PUBLISH", Write),
    ("PUNSUBSCRIBE", Listens),
    ("QUIT", Binds),
    ("RANDOMKEY", Read),
    ("RENAME", Write),
    ("RESET", Binds),
    ("RPOP", Write),
    ("RPUSH", Write),
    ("SADD", Write),
    ("SCAN", Read),
    ("SCARD", Read),
    ("SDIFF", Read),
    ("SELECT", Binds),
    ("SET", Write),
    ("SETEX", Write),
    ("SETNX", Write),
    ("SETRANGE", Write),
    ("SINTER", Read),
    ("SINTERCARD", Read),
    ("SISMEMBER", Read),
    ("SMEMBERS", Read),
    ("SMISMEMBER", Read),
    ("SPOP", Write),
    ("SPUBLISH", Write),
    ("SRANDMEMBER", Read),
    ("SREM", Write),
    ("SSCAN", Read),
    ("SSUBSCRIBE", Listens),
    ("STRLEN", Read),
    ("SUBSCRIBE", Listens),
    ("SUNION", Read),
    ("SUNSUBSCRIBE", Listens),
    ("SYNC", Binds),
    ("TIME", Read),
    ("TOUCH", Read),
    ("TTL", Read),
    ("TYPE", Read),
    ("UNLINK", Write),
    ("UNSUBSCRIBE", Listens),
    ("UNWATCH", Binds),
    ("WAIT", Blocks),
    ("WAITAOF", Blocks),
    ("WATCH", Binds),
    ("XACK", Write),
    ("XADD", Write),
    ("XINFO", Read),
    ("XLEN", Read),
    ("XRANGE", Read),
    ("XREAD", Read),
    ("XREADGROUP", Write),
    ("XREVRANGE", Read),
    ("XTRIM", Write),
    ("ZADD", Write),
    ("ZCARD", Read),
    ("ZCOUNT", Read),
    ("ZINCRBY", Write),
    ("ZMSCORE", Read),
    ("ZPOPMAX", Write),
    ("ZPOPMIN", Write),
    ("ZRANGE", Read),
    ("ZRANGEBYSCORE", Read),
    ("ZRANK", Read),
    ("ZREM", Write),
    ("ZREMRANGEBYSCORE", Write),
    ("ZREVRANGE", Read),
    ("ZREVRANK", Read),
    ("ZSCAN", Read),
    ("ZSCORE", Read),
];

/// The nature of this very command: some only wait when asked to.
pub(super) fn nature(command: Command, cmd: &Cmd) -> Nature {
    let nature = command.nature();
    if command.label().starts_with("XREAD")
        && cmd
            .args_iter()
            .any(|arg| matches!(arg, Arg::Simple(arg) if arg.eq_ignore_ascii_case(b"BLOCK")))
    {
        return Blocks;
    }
    nature
}

/// The names as numbers in the same order: to find one takes a few comparisons of integers.
static NUMBERS: [u128; TABLE.len()] = {
    let mut numbers = [0; TABLE.len()];
    let mut at = 0;
    while at < TABLE.len() {
        numbers[at] = number(TABLE[at].0.as_bytes());
        at += 1;
    }
    numbers
};

/// No name in the table is longer.
const LONGEST: usize = 16;

/// A name in upper case as a number that sorts as it does.
const fn number(name: &[u8]) -> u128 {
    let mut number = 0;
    let mut at = 0;
    while at < LONGEST {
        let letter = if at < name.len() { name[at].to_ascii_uppercase() } else { 0 };
        number = number << 8 | letter as u128;
        at += 1;
    }
    number
}

impl Command {
    pub(super) const PIPELINE: Self = Self(TABLE.len());
    const OTHER: Self = Self(TABLE.len() + 1);
    /// How many there are.
    pub(super) const COUNT: usize = TABLE.len() + 2;

    pub(super) fn named(name: &[u8]) -> Self {
        if name.len() > LONGEST {
            return Self::OTHER;
        }
        NUMBERS.binary_search(&number(name)).map_or(Self::OTHER, Self)
    }

    /// The command's place in the table.
    pub(super) fn of(cmd: &Cmd) -> Self {
        match cmd.args_iter().next() {
            Some(Arg::Simple(name)) => Self::named(name),
            _ => Self::OTHER,
        }
    }

    pub(super) fn nature(self) -> Nature {
        TABLE.get(self.0).map_or(Write, |&(_, nature)| nature)
    }

    /// Its name as a label of metrics: one of few words.
    pub(super) fn label(self) -> &'static str {
        match TABLE.get(self.0) {
            Some(&(name, _)) => name,
            None if self == Self::PIPELINE => "pipeline",
            None => "other",
        }
    }

    pub(super) fn index(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_its_names_fit() {
        assert!(NUMBERS.is_sorted_by(|a, b| a < b));
        assert!(TABLE.iter().all(|(name, _)| name.len() <= LONGEST));
    }

    #[test]
    fn names_are_found_in_any_case_and_strangers_are_writes() {
        for (name, label, nature) in [
            ("get", "GET", Read),
            ("HGetAll", "HGETALL", Read),
            ("SET", "SET", Write),
            ("blpop", "BLPOP", Blocks),
            ("watch", "WATCH", Binds),
            ("psubscribe", "PSUBSCRIBE", Listens),
            ("", "other", Write),
            ("FT.SEARCH", "other", Write),
            ("a name that is much longer than any command's", "other", Write),
        ] {
            let command = Command::named(name.as_bytes());
            assert_eq!((command.label(), command.nature()), (label, nature), "{name}");
        }
        assert_eq!(Command::PIPELINE.label(), "pipeline");
    }
}
