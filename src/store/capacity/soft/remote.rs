//! The rows in Redis: two keys for each event.

use std::time::Duration;

use crate::{
    Error, ErrorKind,
    redis::{Connection, Redis, Script},
    store::{
        capacity::{CapacityVerdict, ReleaseVerdict, Token},
        rate::Subject,
    },
    units::ttl_millis,
};

/// What sweeps the rows stands in front of each script.
macro_rules! script {
    ($file:literal) => {
        Script::new(concat!(include_str!("rows.lua"), include_str!($file)))
    };
}

pub(super) struct Remote {
    prefix: String,
    capacity: u64,
    hold: u64,
    take: Script,
    free: Script,
}

/// Seats for a request, under a token of their own.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub(super) event: &'a str,
    pub(super) request: &'a str,
    pub(super) token: Token,
    pub(super) seats: u32,
    /// They were given out without Redis: it counts them, whatever is left.
    pub(super) is_given: bool,
}

impl Remote {
    pub(super) fn new(redis: &Redis, name: &str, capacity: u64, hold: Option<Duration>) -> Self {
        Self {
            prefix: format!("{}:soft-capacity:{name}:{{", redis.namespace()),
            capacity,
            hold: hold.map_or(0, ttl_millis),
            take: script!("take.lua"),
            free: script!("free.lua"),
        }
    }

    fn keys(&self, event: &str) -> [String; 2] {
        let mut rows = self.prefix.clone();
        Subject::text(event).write_form(&mut rows);
        rows.push('}');
        let ends = format!("{rows}:ends");
        [rows, ends]
    }

    pub(super) async fn take(
        &self,
        connection: &mut Connection,
        order: Order<'_>,
    ) -> Result<CapacityVerdict, Error> {
        let call = self.take.prepare(&self.keys(order.event)).arg(order.seats).arg(self.capacity);
        let call = call.arg(order.token.to_string()).arg(order.request).arg(self.hold);
        let (what, token, left): (u8, String, u64) =
            call.arg(u8::from(order.is_given)).run(connection).await?;
        if what == 0 {
            return Ok(CapacityVerdict::Full { left });
        }
        let token = Token::parse(&token);
        let token = token.map_err(|_| Error::new(ErrorKind::Command, "the row holds no token"))?;
        Ok(CapacityVerdict::Granted { token, left, is_repeated: what == 2 })
    }

    pub(super) async fn free(
        &self,
        connection: &mut Connection,
        event: &str,
        token: Token,
    ) -> Result<ReleaseVerdict, Error> {
        let call = self.free.prepare(&self.keys(event)).arg(token.to_string()).arg(self.capacity);
        let (seats, left): (u32, u64) = call.run(connection).await?;
        Ok(match seats {
            0 => ReleaseVerdict::Unknown { left },
            seats => ReleaseVerdict::Released { seats, left },
        })
    }
}
