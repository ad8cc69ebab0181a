//! Connections to one server, in RESP3 where it knows that.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool_redis::redis::{
    AsyncConnectionConfig, ConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisResult, Value,
    cmd, io::tcp::TcpSettings,
};
use tokio::time::Instant;

use super::{
    classify,
    coalesce::BATCH,
    conn::{Conn, Reply, Request},
    connect::connect,
    target::Target,
};
use crate::{
    Error,
    health::{Fault, FaultClass, WeakMonitor},
};

/// One server, and how to talk to it.
pub(super) struct Server {
    resp3: (ConnectionInfo, AsyncConnectionConfig),
    resp2: (ConnectionInfo, AsyncConnectionConfig),
    /// The only one to speak, if the URL names one.
    protocol: Option<ProtocolVersion>,
    /// It does not know RESP3: a server before 6.0, one whose `HELLO` is renamed, a proxy.
    is_old: AtomicBool,
}

impl Server {
    /// A connection that is lost is reported to `monitor` at once, where the protocol allows it.
    pub(super) fn new(
        target: &Target,
        connect_timeout: Duration,
        monitor: &Arc<OnceLock<WeakMonitor>>,
    ) -> Result<Self, Error> {
        let Some(node) = target.url.nodes.first() else {
            return Err(Error::config("no server is named"));
        };
        let plain = settings(connect_timeout);
        let monitor = Arc::clone(monitor);
        let watchful = plain.clone().set_push_sender(move |push: PushInfo| -> Result<(), ()> {
            if push.kind == PushKind::Disconnection {
                report_loss(&monitor);
            }
            Ok(())
        });
        Ok(Self {
            resp3: (tuned(node, ProtocolVersion::RESP3), watchful),
            resp2: (tuned(node, ProtocolVersion::RESP2), plain),
            protocol: target.url.protocol,
            is_old: false.into(),
        })
    }

    pub(super) async fn connect(&self) -> RedisResult<Conn> {
        let is_old = self.is_old.load(Ordering::Relaxed);
        if !is_old && self.protocol != Some(ProtocolVersion::RESP2) {
            let (info, config) = &self.resp3;
            match connect(info, config).await {
                Err(error) if self.protocol.is_none() && classify::refuses_hello(&error) => {}
                made => return made,
            }
        }
        let (info, config) = &self.resp2;
        let conn = connect(info, config).await?;
        // What refuses everything for the moment may know HELLO all the same.
        if !is_old && self.protocol.is_none() && serves(conn.clone()).await {
            self.is_old.store(true, Ordering::Relaxed);
        }
        Ok(conn)
    }
}

async fn serves(mut conn: Conn) -> bool {
    let answer = conn.send(Request::Command(&cmd("PING"))).await;
    matches!(answer, Ok(Reply::One(value)) if !matches!(value, Value::ServerError(_)))
}

fn report_loss(monitor: &OnceLock<WeakMonitor>) {
    if let Some(monitor) = monitor.get().and_then(WeakMonitor::upgrade) {
        let closed = Fault::new(FaultClass::Transport, "closed");
        monitor.report(monitor.admit(), closed, Instant::now());
    }
}

/// How connections are made on which our deadlines rule.
pub(super) fn settings(connect_timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(connect_timeout))
        .set_response_timeout(None)
        .set_pipeline_buffer_size(BATCH)
}

/// The address with this protocol, and without waiting for a second command before the first is
/// sent.
pub(super) fn tuned(node: &ConnectionInfo, protocol: ProtocolVersion) -> ConnectionInfo {
    let settings = node.redis_settings().clone().set_protocol(protocol);
    node.clone()
        .set_redis_settings(settings)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true))
}
