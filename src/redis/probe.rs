//! What the monitor asks of Redis, and over which connections.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::{Cmd, FromRedisValue, InfoDict, RedisError, Value, cmd};
use futures_util::{
    StreamExt,
    future::{join, join_all, try_join},
    stream::FuturesUnordered,
};
use tokio::time::{Instant, sleep_until};

use super::{
    canary::{Beats, Canary},
    classify,
    hedge::hedged,
    lanes::{Conn, Lane, Lanes, Reply, Request},
    meter::Meter,
    source::Source,
};
use crate::{
    health::{Details, Fault, FaultClass, Probe, ProbeAnswer, ProbeOptions, Via, Writes},
    redis::RedisConfig,
};

/// What was seen over one connection.
#[derive(Debug, Clone, Copy)]
struct Seen {
    latency: Duration,
    /// Writes are known to be gone without a try.
    writes_gone: Option<Fault>,
}

impl Seen {
    /// Of several connections, the one that is worst off speaks for all.
    fn worse(self, other: Self) -> Self {
        Self {
            latency: self.latency.max(other.latency),
            writes_gone: self.writes_gone.or(other.writes_gone),
        }
    }
}

/// Connections that were made just now.
struct Opened {
    conns: Vec<Conn>,
    seen: Seen,
    /// The server process that they lead to, if it said.
    run_id: Option<String>,
}

pub(super) struct RedisProbe {
    source: Arc<Source>,
    lanes: Arc<Lanes>,
    meter: Arc<Meter>,
    canary: Canary,
    wanted: usize,
    url: String,
    version: Mutex<Option<String>>,
}

impl RedisProbe {
    pub(super) fn new(
        source: &Arc<Source>,
        lanes: &Arc<Lanes>,
        meter: &Arc<Meter>,
        config: &RedisConfig,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            lanes: Arc::clone(lanes),
            meter: Arc::clone(meter),
            canary: Canary::new(source, &config.namespace, &config.instance),
            wanted: config.lanes,
            url: config.url.to_string(),
            version: Mutex::default(),
        }
    }

    pub(super) fn beats(&self) -> Arc<Beats> {
        Arc::clone(self.canary.beats())
    }

    async fn read(&self, ask: ProbeOptions) -> Result<Seen, Fault> {
        match ask.via {
            Via::Kept => self.kept().await,
            Via::Fresh => self.open(1).await.map(|opened| opened.seen),
            Via::Both => self.both(ask).await,
            Via::Renew => self.renew().await,
        }
    }

    async fn kept(&self) -> Result<Seen, Fault> {
        let lanes = self.lanes.all();
        if lanes.is_empty() {
            return self.renew().await;
        }
        let answers = join_all(lanes.iter().map(|lane| self.look(lane.conn.clone()))).await;
        worst(answers)
    }

    async fn renew(&self) -> Result<Seen, Fault> {
        let Opened { conns, seen, run_id } = self.open(self.wanted).await?;
        self.lanes.install(conns.into_iter().map(Lane::new).collect(), &[]);
        self.canary.beats().set_run_id(run_id);
        Ok(seen)
    }

    /// The kept connections against new ones: those that stay silent while new ones answer are dead.
    async fn both(&self, ask: ProbeOptions) -> Result<Seen, Fault> {
        let before = self.lanes.all();
        let grace = Instant::now() + ask.late_after;
        let mut asked: FuturesUnordered<_> = before
            .iter()
            .map(|lane| async move { (lane, self.look(lane.conn.clone()).await) })
            .collect();
        let mut opening = std::pin::pin!(self.open(self.wanted));
        let mut opened = None;
        let mut alive: Vec<(Arc<Lane>, Seen)> = Vec::new();
        let mut fault = None;
        loop {
            let in_time = Instant::now() < grace;
            match &opened {
                _ if asked.is_empty() && !before.is_empty() && alive.len() == before.len() => break,
                Some(Ok(_)) if asked.is_empty() || !in_time => break,
                Some(Err(_)) if asked.is_empty() => break,
                _ => {}
            }
            tokio::select! {
                biased;
                Some((lane, answer)) = asked.next() => match answer {
                    Ok(seen) => alive.push((Arc::clone(lane), seen)),
                    Err(met) => fault = Some(met),
                },
                result = &mut opening, if opened.is_none() => opened = Some(result),
                () = sleep_until(grace), if matches!(opened, Some(Ok(_))) && in_time => {}
            }
        }
        self.settle(&before, alive, opened, fault)
    }

    /// Keeps the lanes that are alive, and puts new ones in the place of the others.
    fn settle(
        &self,
        before: &[Arc<Lane>],
        alive: Vec<(Arc<Lane>, Seen)>,
        opened: Option<Result<Opened, Fault>>,
        fault: Option<Fault>,
    ) -> Result<Seen, Fault> {
        let seen = alive.iter().map(|(_, seen)| *seen).reduce(Seen::worse);
        let mut lanes: Vec<_> = alive.into_iter().map(|(lane, _)| lane).collect();
        if !before.is_empty() && lanes.len() == before.len() {
            return seen.ok_or(Fault::HANG);
        }
        let is_dead = |lane: &&Arc<Lane>| !lanes.iter().any(|alive| Arc::ptr_eq(alive, lane));
        let dead: Vec<_> = before.iter().filter(is_dead).cloned().collect();
        let answer = match opened {
            Some(Ok(opened)) => {
                let missing = self.wanted.saturating_sub(lanes.len());
                lanes.extend(opened.conns.into_iter().take(missing).map(Lane::new));
                self.canary.beats().set_run_id(opened.run_id);
                Ok(seen.map_or(opened.seen, |seen| seen.worse(opened.seen)))
            }
            Some(Err(refused)) => seen.ok_or(refused),
            None => seen.ok_or(fault.unwrap_or(Fault::HANG)),
        };
        if answer.is_ok() {
            self.lanes.install(lanes, &dead);
        }
        answer
    }

    /// Opens this many connections, and asks over each. One that serves is enough.
    async fn open(&self, count: usize) -> Result<Opened, Fault> {
        let each = join_all((0..count).map(|_| hedged(|| self.open_one()))).await;
        let mut conns = Vec::with_capacity(count);
        let mut answers = Vec::with_capacity(count);
        let (mut run_id, mut fault) = (None, Fault::HANG);
        for result in each {
            match result {
                Ok((conn, seen, told)) => {
                    conns.push(conn);
                    answers.push(Ok(seen));
                    run_id = told;
                }
                Err(met) => fault = met,
            }
        }
        if conns.is_empty() {
            return Err(fault);
        }
        Ok(Opened { conns, seen: worst(answers)?, run_id })
    }

    async fn open_one(&self) -> Result<(Conn, Seen, Option<String>), Fault> {
        let connected = self.source.connect().await;
        match &connected {
            Ok(_) => self.meter.connected.add(1),
            Err(error) => {
                self.meter.not_connected.add(1);
                tracing::debug!(url = self.url, %error, "no connection to Redis");
            }
        }
        let conn = connected.map_err(|error| classify::of_connecting(&error))?;
        let (seen, run_id) = join(self.look(conn.clone()), self.learn(conn.clone())).await;
        Ok((conn, seen?, run_id))
    }

    /// Asks over one connection. PING hides much: see the table in `docs/health.md`.
    async fn look(&self, mut conn: Conn) -> Result<Seen, Fault> {
        let mut reader = conn.clone();
        let (ping, mut get) = (cmd("PING"), cmd("GET"));
        get.arg(self.canary.key());
        let began = Instant::now();
        let timed_ping = async { (answer(&mut conn, &ping).await, began.elapsed()) };
        let ((pinged, latency), got) = join(timed_ping, answer(&mut reader, &get)).await;
        let writes_gone = match pinged {
            Ok(()) => None,
            Err(error) => match fault_of(&error) {
                // While saving fails, PING is refused and reads are not.
                Some(fault) if fault.class() == FaultClass::WritesGone => Some(fault),
                Some(fault) => return Err(fault),
                None => None,
            },
        };
        // A user without the right to read our own key can still read others.
        match got.err().and_then(|error| classify::of_error(&error)) {
            Some(fault) => Err(fault),
            None => Ok(Seen { latency, writes_gone }),
        }
    }

    /// Which server process is it? Not being told is no fault.
    async fn learn(&self, mut conn: Conn) -> Option<String> {
        let mut info = cmd("INFO");
        info.arg("server");
        let Ok(Reply::One(value)) = conn.send(Request::Command(&info)).await else { return None };
        let info = InfoDict::from_redis_value(value).ok()?;
        if let Some(version) = info.get::<String>("redis_version") {
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        }
        info.get("run_id")
    }
}

/// The worst of several answers; a fault is worse than any answer.
fn worst(answers: Vec<Result<Seen, Fault>>) -> Result<Seen, Fault> {
    answers.into_iter().reduce(|one, other| Ok(one?.worse(other?))).unwrap_or(Err(Fault::HANG))
}

/// The fault that an answer to the probe itself stands for.
fn fault_of(error: &RedisError) -> Option<Fault> {
    classify::credentials(error).or_else(|| classify::of_error(error))
}

async fn answer(conn: &mut Conn, cmd: &Cmd) -> Result<(), RedisError> {
    match conn.send(Request::Command(cmd)).await? {
        Reply::One(Value::ServerError(error)) => Err(error.into()),
        _ => Ok(()),
    }
}

impl Probe for RedisProbe {
    async fn probe(&self, ask: ProbeOptions) -> Result<ProbeAnswer, Fault> {
        let write =
            async { Ok(if ask.write { self.canary.beat(ask).await } else { Writes::Unknown }) };
        let (seen, tried) = try_join(self.read(ask), write).await?;
        let writes = seen.writes_gone.map_or(tried, Writes::Gone);
        let restarted = self.canary.beats().is_restarted();
        Ok(ProbeAnswer::new(seen.latency).with_writes(writes).with_restarted(restarted))
    }

    fn details(&self) -> Details {
        Details {
            url: Some(self.url.clone()),
            server_version: self.version.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            topology: Some(self.source.topology().as_str()),
            usage: self.meter.usage(),
        }
    }

    fn outage(&self, keep: bool) {
        if keep {
            self.lanes.release();
        } else {
            self.lanes.close();
            self.canary.close();
        }
    }
}
