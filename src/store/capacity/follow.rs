//! Hears which events have seats again, and when all gates are given up.

use std::sync::Arc;

use super::shared::Shared;
use crate::redis::SubscriptionEvent;

/// Messages that wait at most; more are a gap.
const CAPACITY: usize = 16_384;

/// Follows for as long as the handle lives.
pub(super) async fn follow(shared: Arc<Shared>) {
    let channel = shared.touched.gates.channel.clone();
    let mut subscription = match shared.redis.subscribe([channel]).with_capacity(CAPACITY).await {
        Ok(subscription) => subscription,
        // An application's own pool: its connections cannot listen.
        Err(error) => {
            tracing::info!(%error, "releases cannot be heard: they are seen within a second");
            return;
        }
    };
    if subscription.is_connected() {
        learn(&shared).await;
    }
    while let Some(event) = subscription.recv().await {
        match event {
            SubscriptionEvent::Message(message) => hear(&shared, &message.payload),
            SubscriptionEvent::Disconnected => {}
            // Something may have been missed.
            _ => {
                shared.sold_out.clear();
                learn(&shared).await;
            }
        }
    }
}

/// When all gates were given up. If this fails Redis has gone again, and the recovery reads it.
async fn learn(shared: &Shared) {
    match shared.touched.gates.since(&mut shared.redis.connection()).await {
        Ok(since) => shared.touched.learn(since),
        Err(error) => shared.switch.log(&error),
    }
}

fn hear(shared: &Shared, payload: &[u8]) {
    let text = str::from_utf8(payload).unwrap_or_default();
    if let Some(event) = text.strip_prefix('+') {
        shared.sold_out.release(event);
    } else if let Some(since) = text.strip_prefix('*').and_then(|since| since.parse().ok()) {
        shared.touched.learn(since);
        shared.sold_out.clear();
    } else {
        tracing::debug!("a message about seats cannot be read");
    }
}
