//! Did Redis keep its data? Its epoch, its run id and this instance's last heartbeat say so.
//!
//! The epoch is a random word that lives in Redis beside the data: when it is gone, so is the data.
//! A server process other than the last one may have come back with an older copy of both. The
//! heartbeat that this instance wrote last tells.

use std::sync::Arc;

use deadpool_redis::redis::cmd;
use parking_lot::Mutex;

use super::{
    connection::Connection,
    heartbeats::{Heartbeats, Retention},
    script::Script,
};
use crate::{
    Error,
    health::{Continuity, Recovery},
};

/// KEYS: the epoch. ARGV: a fresh epoch, and the one to replace. Sets the fresh one where there is
/// none or the one to replace. Returns the one that stands then.
const SCRIPT: &str = include_str!("epoch.lua");

#[derive(Debug, Clone, Default)]
struct Known {
    epoch: Option<String>,
    /// The epoch's hash, kept because every read of a session asks for it.
    number: Option<u64>,
    /// The last attempt to recover.
    last: Option<Recovery>,
}

impl Known {
    /// What an attempt found that never came to its end: the steps after this one may not know of
    /// it.
    fn unsettled(&self) -> Continuity {
        let last = self.last.as_ref().filter(|last| !last.is_finished());
        last.map_or(Continuity::Kept, Recovery::continuity)
    }
}

#[derive(Clone)]
pub(super) struct Epoch {
    key: String,
    script: Arc<Script>,
    heartbeats: Arc<Heartbeats>,
    known: Arc<Mutex<Known>>,
}

impl Epoch {
    pub(super) fn new(namespace: &str, heartbeats: Arc<Heartbeats>) -> Self {
        Self {
            key: format!("{namespace}:epoch"),
            script: Arc::new(Script::new(SCRIPT)),
            heartbeats,
            known: Arc::default(),
        }
    }

    /// The recovery step: reads or begins the epoch, and says what became of the data.
    pub(super) async fn establish(
        self,
        mut connection: Connection,
        recovery: Recovery,
    ) -> Result<(), Error> {
        let before = self.known.lock().clone();
        let mut epoch = self.stands(&mut connection, "").await?;
        let same_process = self.heartbeats.is_same_process();
        let continuity = match (&before.epoch, self.heartbeats.retention()) {
            (None, _) => Continuity::Kept,
            (Some(known), _) if *known != epoch => Continuity::Lost,
            (Some(_), _) if same_process => Continuity::Kept,
            (Some(_), Some(Retention::KeptUntil(at))) => Continuity::KeptUntil(at),
            (Some(known), Some(Retention::Lost) | None) => {
                epoch = self.stands(&mut connection, known).await?;
                Continuity::Lost
            }
        };
        let continuity = continuity.or_worse(before.unsettled());
        recovery.set_continuity(continuity);
        if continuity == Continuity::Lost {
            tracing::warn!("Redis has lost data, or came back older: what guards is pushed again");
        }
        self.heartbeats.settle();
        *self.known.lock() =
            Known { number: Some(number(&epoch)), epoch: Some(epoch), last: Some(recovery) };
        Ok(())
    }

    /// The epoch of the last recovery, as a number; `None` before the first.
    pub(super) fn known(&self) -> Option<u64> {
        self.known.lock().number
    }

    /// Does the epoch of the last recovery still stand?
    pub(super) async fn still_stands(&self, connection: &mut Connection) -> Result<bool, Error> {
        let held: Option<String> = connection.query(cmd("GET").arg(&self.key)).await?;
        Ok(held.as_deref().map(number) == self.known())
    }

    /// The epoch that stands, after `rotate` has been replaced if it was that.
    async fn stands(&self, connection: &mut Connection, rotate: &str) -> Result<String, Error> {
        let fresh = format!("{:016x}", rand::random::<u64>());
        self.script.prepare(&[&self.key]).arg(fresh).arg(rotate).run(connection).await
    }
}

/// The same for every process that reads this epoch.
fn number(epoch: &str) -> u64 {
    let digest = sha1_smol::Sha1::from(epoch).digest().bytes();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
