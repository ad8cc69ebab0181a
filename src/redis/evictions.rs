//! May Redis drop what guards in order to make room, and does it? Read beside each probe.

use std::sync::Arc;

use deadpool_redis::redis::{FromRedisValue, InfoDict, Value, cmd};
use futures_util::future::join;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::conn::{Conn, Reply, Request};
use crate::telemetry::{Metrics, names};

/// What a server says of evictions, or all masters of a cluster together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// The policy by which keys may be dropped; `None`: it does not say, or none may.
    policy: Option<String>,
    /// `None`: it does not say.
    may_evict: Option<bool>,
    /// Keys dropped since the server's start.
    evicted: Option<u64>,
}

/// Asks over `conn`. Who may not ask learns nothing, which is no fault.
pub(super) async fn ask(conn: Conn) -> Report {
    let (memory, stats) = join(info(conn.clone(), "memory"), info(conn, "stats")).await;
    Report::of(&memory, &stats)
}

async fn info(mut conn: Conn, section: &str) -> Vec<InfoDict> {
    let mut info = cmd("INFO");
    info.arg(section);
    match conn.send(Request::Command(&info)).await {
        // The nodes of a cluster answer each for itself.
        Ok(Reply::One(Value::Map(nodes))) => {
            nodes.into_iter().filter_map(|(_, one)| InfoDict::from_redis_value(one).ok()).collect()
        }
        Ok(Reply::One(one)) => InfoDict::from_redis_value(one).ok().into_iter().collect(),
        _ => Vec::new(),
    }
}

impl Report {
    fn of(memory: &[InfoDict], stats: &[InfoDict]) -> Self {
        let mut report = Self::default();
        for node in memory {
            let limit: Option<u64> = node.get("maxmemory");
            let policy: Option<String> = node.get("maxmemory_policy");
            let (Some(limit), Some(policy)) = (limit, policy) else { continue };
            let may_evict = limit > 0 && policy != "noeviction";
            report.may_evict = Some(may_evict || report.may_evict == Some(true));
            if may_evict {
                report.policy = Some(policy);
            }
        }
        let evicted = stats.iter().filter_map(|node| node.get::<u64>("evicted_keys"));
        report.evicted = evicted.reduce(|sum, more| sum + more);
        report
    }
}

/// What is known of evictions.
pub(super) struct Evictions {
    known: Mutex<Known>,
    /// Counts the reports by which keys were dropped.
    losses: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    may_evict: Option<bool>,
    evicted: Option<u64>,
    /// The server process that the log has told of, if it has a name.
    told_of: Option<Option<String>>,
}

impl Evictions {
    pub(super) fn new(metrics: &Metrics) -> Arc<Self> {
        let new = Arc::new(Self { known: Mutex::default(), losses: watch::Sender::default() });
        let weak = Arc::downgrade(&new);
        metrics.gauge(names::MAY_EVICT, &[], move || {
            let may_evict = weak.upgrade()?.may_evict();
            Some(f64::from(u8::from(may_evict == Some(true))))
        });
        new
    }

    /// `None`: not known.
    pub(super) fn may_evict(&self) -> Option<bool> {
        self.known.lock().may_evict
    }

    /// Changes when keys were dropped.
    pub(super) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    /// The server process with this run id says so.
    pub(super) fn observe(&self, report: Report, run_id: Option<String>) {
        let mut known = self.known.lock();
        known.may_evict = report.may_evict.or(known.may_evict);
        if let Some(evicted) = report.evicted {
            // The first report tells nothing of when. A count that is lower than before began anew.
            let is_loss = known.evicted.is_some_and(|before| evicted != before && evicted > 0);
            known.evicted = Some(evicted);
            if is_loss {
                self.losses.send_modify(|losses| *losses += 1);
            }
        }
        if let Some(policy) = report.policy.filter(|_| known.told_of.as_ref() != Some(&run_id)) {
            known.told_of = Some(run_id);
            drop(known);
            tracing::warn!(
                policy,
                "Redis may drop locks, revocations and sessions to make room: set \
                 maxmemory-policy noeviction"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> InfoDict {
        InfoDict::from_redis_value(Value::BulkString(text.as_bytes().to_vec())).expect("INFO")
    }

    fn report(memory: &[&str], evicted: Option<u64>) -> Report {
        let memory: Vec<_> = memory.iter().map(|text| section(text)).collect();
        let stats = evicted.map(|keys| section(&format!("evicted_keys:{keys}\r\n")));
        Report::of(&memory, &stats.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_limit_and_a_policy_other_than_noeviction_may_evict() {
        for (memory, may_evict) in [
            (&["maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n"][..], Some(false)),
            (&["maxmemory:9\r\nmaxmemory_policy:noeviction\r\n"], Some(false)),
            (&["maxmemory:9\r\nmaxmemory_policy:volatile-ttl\r\n"], Some(true)),
            (
                &[
                    "maxmemory:9\r\nmaxmemory_policy:volatile-ttl\r\n",
                    "maxmemory:0\r\nmaxmemory_policy:noeviction\r\n",
                ],
                Some(true),
            ),
            (&["used_memory:9\r\n"], None),
            (&[], None),
        ] {
            assert_eq!(report(memory, None).may_evict, may_evict, "{memory:?}");
        }
    }

    #[test]
    fn a_count_that_changes_is_a_loss_and_the_first_is_none() {
        let evictions = Evictions::new(&Metrics::new());
        let mut losses = evictions.losses.subscribe();
        for (evicted, is_loss) in [
            (Some(7), false),
            (Some(7), false),
            (None, false),
            (Some(8), true),
            (Some(0), false),
            (Some(3), true),
            (Some(2), true),
        ] {
            evictions.observe(report(&[], evicted), None);
            assert_eq!(losses.has_changed().expect("a sender"), is_loss, "{evicted:?}");
            losses.mark_unchanged();
        }
    }
}
