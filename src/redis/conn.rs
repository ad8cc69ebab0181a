//! One connection of the client's, whatever the topology, and what goes through it.

use std::sync::Arc;

use deadpool_redis::redis::{Cmd, Pipeline, RedisResult, Value, aio::MultiplexedConnection};
#[cfg(feature = "cluster")]
use deadpool_redis::{cluster::ClusterConnection, redis::aio::ConnectionLike};

use super::coalesce::Coalescer;

/// A connection that any number of callers use at once.
#[derive(Clone)]
pub(super) enum Conn {
    Multiplexed(MultiplexedConnection, Option<Arc<Coalescer>>),
    #[cfg(feature = "cluster")]
    Cluster(ClusterConnection),
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    Command(&'a Cmd),
    /// With the client's numbers of answers to skip and to keep.
    Pipeline(&'a Pipeline, usize, usize),
}

/// What comes back. An error of the server is a value in here.
pub(super) enum Reply {
    One(Value),
    Many(Vec<Value>),
}

impl Conn {
    pub(super) async fn send(&mut self, request: Request<'_>) -> RedisResult<Reply> {
        match self {
            Self::Multiplexed(conn, coalescer) => {
                let _in_flight = coalescer.as_deref().map(Coalescer::begin);
                match request {
                    Request::Command(cmd) => conn.send_packed_command(cmd).await.map(Reply::One),
                    Request::Pipeline(pipeline, skip, keep) => {
                        conn.send_packed_commands(pipeline, skip, keep).await.map(Reply::Many)
                    }
                }
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(conn) => match request {
                Request::Command(cmd) => conn.req_packed_command(cmd).await.map(Reply::One),
                Request::Pipeline(pipeline, skip, keep) => {
                    conn.req_packed_commands(pipeline, skip, keep).await.map(Reply::Many)
                }
            },
        }
    }
}
