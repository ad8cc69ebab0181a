//! What the monitor asks of Redis: over which connections, and which of them are kept.

use std::{pin::pin, sync::Arc};

use futures_util::{
    StreamExt,
    future::{join, join_all, join3, try_join},
    stream::FuturesUnordered,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    check::{Seen, check, server_info, worst},
    classify,
    config::RedisConfig,
    conn::Conn,
    connections::{SharedConnection, SharedConnections},
    evictions::{self, Evictions},
    handshakes::Handshakes,
    heartbeats::Heartbeats,
    hedge::hedged,
    metrics::CommandMetrics,
    rights::Rights,
    source::Source,
    write_probe::WriteProbe,
};
use crate::health::{Details, Fault, FaultClass, Probe, ProbeAnswer, ProbeOptions, Via, Writes};

/// Connections that were made just now.
struct Opened {
    conns: Vec<Conn>,
    seen: Seen,
    /// The server process that they lead to, if it said.
    run_id: Option<String>,
}

pub(super) struct RedisProbe {
    source: Arc<Source>,
    connections: Arc<SharedConnections>,
    metrics: Arc<CommandMetrics>,
    write_probe: WriteProbe,
    evictions: Arc<Evictions>,
    handshakes: Handshakes,
    /// How many connections are to be kept.
    wanted: usize,
    url: String,
    version: Mutex<Option<String>>,
}

impl RedisProbe {
    pub(super) fn new(
        source: &Arc<Source>,
        connections: &Arc<SharedConnections>,
        metrics: &Arc<CommandMetrics>,
        config: &RedisConfig,
    ) -> Self {
        Self {
            source: Arc::clone(source),
            connections: Arc::clone(connections),
            metrics: Arc::clone(metrics),
            write_probe: WriteProbe::new(source, &config.namespace, &config.instance),
            evictions: Evictions::new(&config.metrics),
            handshakes: Handshakes::new(&config.url, &config.pem_files),
            wanted: config.connections,
            url: config.url.to_string(),
            version: Mutex::default(),
        }
    }

    pub(super) fn heartbeats(&self) -> Arc<Heartbeats> {
        Arc::clone(self.write_probe.heartbeats())
    }

    pub(super) fn rights(&self) -> Arc<Rights> {
        Arc::clone(self.write_probe.rights())
    }

    pub(super) fn evictions(&self) -> Arc<Evictions> {
        Arc::clone(&self.evictions)
    }

    async fn read(&self, options: ProbeOptions) -> Result<Seen, Fault> {
        match options.via {
            Via::Kept => self.kept().await,
            Via::Fresh => self.open(1).await.map(|opened| opened.seen),
            Via::Both => self.both(options).await,
            Via::Renew => self.renew().await,
        }
    }

    async fn kept(&self) -> Result<Seen, Fault> {
        let kept = self.connections.all();
        if kept.is_empty() {
            return self.renew().await;
        }
        worst(join_all(kept.iter().map(|one| self.check(&one.conn))).await)
    }

    async fn renew(&self) -> Result<Seen, Fault> {
        let Opened { conns, seen, run_id } = self.open(self.wanted).await?;
        self.connections.install(conns.into_iter().map(SharedConnection::new).collect(), &[]);
        self.write_probe.heartbeats().set_run_id(run_id);
        Ok(seen)
    }

    /// The kept connections against new ones: those that stay silent while new ones answer are
    /// dead.
    async fn both(&self, options: ProbeOptions) -> Result<Seen, Fault> {
        let before = self.connections.all();
        let grace = Instant::now() + options.late_after;
        let mut asked: FuturesUnordered<_> =
            before.iter().map(|one| async move { (one, self.check(&one.conn).await) }).collect();
        let mut opening = pin!(self.open(self.wanted));
        let mut opened = None;
        let mut alive: Vec<(Arc<SharedConnection>, Seen)> = Vec::new();
        let mut fault = None;
        loop {
            let in_time = Instant::now() < grace;
            match &opened {
                // Every kept connection answers: nothing needs replacing, so the new ones are not
                // waited for. (Without any kept one, new ones are all there is.)
                _ if asked.is_empty() && !before.is_empty() && alive.len() == before.len() => break,
                // Redis is there. A kept connection is dead only once it had as long as a command
                // would have waited for it: a new one that answers first proves nothing yet.
                Some(Ok(_)) if asked.is_empty() || !in_time => break,
                // No new connection can be had, but a server at its limit of clients still serves
                // the kept ones: each of them is waited for, up to the probe's own deadline.
                Some(Err(_)) if asked.is_empty() => break,
                _ => {}
            }
            tokio::select! {
                // Of what is ready at the same moment the answers of kept connections come first:
                // where all of them have answered, nothing is replaced.
                biased;
                Some((one, answer)) = asked.next() => match answer {
                    Ok(seen) => alive.push((Arc::clone(one), seen)),
                    Err(met) => fault = Some(met),
                },
                result = &mut opening, if opened.is_none() => opened = Some(result),
                // Without a new connection the end of the grace decides nothing.
                () = sleep_until(grace), if matches!(opened, Some(Ok(_))) && in_time => {}
            }
        }
        self.settle(&before, alive, opened, fault)
    }

    /// Keeps the connections that are alive, and puts new ones in the place of the others.
    fn settle(
        &self,
        before: &[Arc<SharedConnection>],
        alive: Vec<(Arc<SharedConnection>, Seen)>,
        opened: Option<Result<Opened, Fault>>,
        fault: Option<Fault>,
    ) -> Result<Seen, Fault> {
        let seen = alive.iter().map(|(_, seen)| *seen).reduce(Seen::worse);
        let mut kept: Vec<_> = alive.into_iter().map(|(one, _)| one).collect();
        if !before.is_empty() && kept.len() == before.len() {
            return seen.ok_or(Fault::HANG);
        }
        let is_dead =
            |one: &&Arc<SharedConnection>| !kept.iter().any(|kept| Arc::ptr_eq(kept, one));
        let dead: Vec<_> = before.iter().filter(is_dead).cloned().collect();
        let answer = match opened {
            Some(Ok(opened)) => {
                let missing = self.wanted.saturating_sub(kept.len());
                kept.extend(opened.conns.into_iter().take(missing).map(SharedConnection::new));
                self.write_probe.heartbeats().set_run_id(opened.run_id);
                Ok(seen.map_or(opened.seen, |seen| seen.worse(opened.seen)))
            }
            Some(Err(refused)) => seen.ok_or(refused),
            None => seen.ok_or(fault.unwrap_or(Fault::HANG)),
        };
        if answer.is_ok() {
            self.connections.install(kept, &dead);
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
                Ok((conn, seen, process)) => {
                    conns.push(conn);
                    answers.push(Ok(seen));
                    run_id = process;
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
            Ok(_) => {
                self.metrics.connected.add(1);
                self.handshakes.succeeded();
            }
            Err(error) => {
                // Not the error itself: a server that does not know HELLO repeats its arguments,
                // the password among them.
                let fault = classify::of_connecting(error);
                match fault.class() {
                    FaultClass::Credentials => self.metrics.not_accepted.add(1),
                    _ => self.metrics.not_connected.add(1),
                }
                self.handshakes.failed(error);
                tracing::debug!(url = self.url, %fault, "no connection to Redis");
            }
        }
        let conn = connected.map_err(|error| classify::of_connecting(&error))?;
        let (seen, info, report) =
            join3(self.check(&conn), server_info(conn.clone()), evictions::ask(conn.clone())).await;
        self.evictions.observe(report, info.run_id.clone());
        if info.version.is_some() {
            *self.version.lock() = info.version;
        }
        Ok((conn, seen?, info.run_id))
    }

    /// Asks about evictions over a connection that is kept. What is not answered in half of the
    /// probe's time is left to the next one.
    async fn look_for_evictions(&self, options: ProbeOptions) {
        let Some(kept) = self.connections.all().first().cloned() else { return };
        let asked = evictions::ask(kept.conn.clone());
        if let Ok(report) = timeout(options.deadline / 2, asked).await {
            self.evictions.observe(report, self.write_probe.heartbeats().run_id());
        }
    }

    async fn check(&self, conn: &Conn) -> Result<Seen, Fault> {
        check(conn.clone(), self.write_probe.key()).await
    }
}

impl Probe for RedisProbe {
    async fn probe(&self, options: ProbeOptions) -> Result<ProbeAnswer, Fault> {
        let write = async {
            Ok(if options.write { self.write_probe.ask(options).await } else { Writes::Unknown })
        };
        let answered = try_join(self.read(options), write);
        let (answered, ()) = join(answered, self.look_for_evictions(options)).await;
        let (seen, tried) = answered?;
        let writes = seen.writes_gone.map_or(tried, Writes::Gone);
        let restarted = self.write_probe.heartbeats().is_restarted();
        Ok(ProbeAnswer::new(seen.latency).with_writes(writes).with_restarted(restarted))
    }

    fn details(&self) -> Details {
        Details {
            url: Some(self.url.clone()),
            server_version: self.version.lock().clone(),
            topology: Some(self.source.topology().as_str()),
            may_evict: self.evictions.may_evict(),
            usage: self.metrics.usage(),
        }
    }

    fn outage(&self, keep: bool) {
        if keep {
            self.connections.release();
        } else {
            self.connections.close();
            self.write_probe.close();
        }
    }
}
