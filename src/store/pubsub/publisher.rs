//! Brings messages to Redis: one task, so that they keep their order, and many in a round trip.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Error,
    redis::{
        Redis,
        client::{Cmd, cmd, pipe},
    },
};

/// Messages that wait at most. More go to this instance alone.
pub(super) const WAITING: usize = 1_024;
/// Messages in one round trip, at most.
const PER_TRIP: usize = 256;

/// A message on its way.
pub(super) struct Outgoing {
    /// The channel's full name.
    pub(super) channel: Arc<str>,
    pub(super) payload: Bytes,
    /// To how many connections Redis handed it.
    pub(super) answer: oneshot::Sender<Result<u64, Error>>,
}

impl Outgoing {
    fn command(&self) -> Cmd {
        let mut publish = cmd("PUBLISH");
        publish.arg(&*self.channel).arg(&self.payload[..]);
        publish
    }
}

/// Publishes until nobody can send any more.
pub(super) async fn run(redis: Redis, mut waiting: mpsc::Receiver<Outgoing>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, PER_TRIP).await > 0 {
        let answers = publish(&redis, &batch).await;
        for (message, answer) in batch.drain(..).zip(answers) {
            // Who waited for it may have gone.
            let _ = message.answer.send(answer);
        }
    }
}

async fn publish(redis: &Redis, batch: &[Outgoing]) -> Vec<Result<u64, Error>> {
    let connection = &mut redis.connection();
    // Channels of a cluster are at many nodes, and a pipeline goes to one.
    if redis.is_cluster() || batch.len() == 1 {
        let mut answers = Vec::with_capacity(batch.len());
        for message in batch {
            answers.push(connection.query(&message.command()).await);
        }
        return answers;
    }
    let mut pipeline = pipe();
    for message in batch {
        pipeline.add_command(message.command());
    }
    match connection.query_pipeline::<Vec<u64>>(&pipeline).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    }
}
