//! The epochs that this store's data has had: a session is restored only from one of them.
//!
//! An epoch that is not the current one means that Redis has lost its data, or that a copy was made
//! over another Redis: a staging system's, say, with the same keys. Which of the two is known from
//! the epochs that instances of this store have met. They stand in Redis; after a loss the
//! instances that still know them write them again.

use parking_lot::Mutex;

use crate::{
    Error,
    redis::{Connection, Redis, Script},
    units::wall_millis,
};

/// Epochs that are kept. Redis begins one with each loss, and sessions that are used move on to it.
const KEPT: usize = 64;

pub(super) struct Lineage {
    key: String,
    script: Script,
    /// Each with when it was first met, in ms of the wall clock.
    known: Mutex<Vec<Met>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Met {
    epoch: u64,
    at: u64,
}

impl Lineage {
    pub(super) fn new(redis: &Redis) -> Self {
        Self {
            key: format!("{}:epochs", redis.namespace()),
            script: Script::new(include_str!("lineage.lua")),
            known: Mutex::default(),
        }
    }

    /// Redis is in this epoch.
    pub(super) fn note(&self, epoch: u64) {
        note(&mut self.known.lock(), Met { epoch, at: wall_millis() });
    }

    pub(super) fn contains(&self, epoch: u64) -> bool {
        self.known.lock().iter().rev().any(|met| met.epoch == epoch)
    }

    /// Tells Redis what is known here, and learns what others have told it.
    pub(super) async fn sync(&self, connection: &mut Connection) -> Result<(), Error> {
        let known = self.known.lock().clone();
        let mut call = self.script.prepare(&[&self.key]).arg(KEPT);
        for Met { epoch, at } in known {
            call = call.arg(at).arg(epoch);
        }
        let answer: Vec<String> = call.run(connection).await?;
        let mut known = self.known.lock();
        for pair in answer.chunks_exact(2) {
            if let (Ok(epoch), Ok(at)) = (pair[0].parse(), pair[1].parse()) {
                note(&mut known, Met { epoch, at });
            }
        }
        Ok(())
    }
}

/// The oldest makes room.
fn note(known: &mut Vec<Met>, met: Met) {
    if known.iter().rev().any(|other| other.epoch == met.epoch) {
        return;
    }
    let place = known.partition_point(|other| other.at <= met.at);
    known.insert(place, met);
    if known.len() > KEPT {
        known.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_each_once_in_order() {
        let mut known = Vec::new();
        for at in 0..300 {
            note(&mut known, Met { epoch: at, at });
            note(&mut known, Met { epoch: at, at: 500 });
        }
        note(&mut known, Met { epoch: 1, at: 1 });
        assert_eq!(known.len(), KEPT);
        let epochs: Vec<_> = known.iter().map(|met| met.epoch).collect();
        assert_eq!(epochs, (300 - KEPT as u64..300).collect::<Vec<_>>());
    }
}
