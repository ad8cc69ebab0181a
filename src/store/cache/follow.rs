//! Hears what other instances invalidate.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::{generations::Scope, message::Message, shared::Shared};
use crate::{
    Error,
    redis::{Subscription, SubscriptionEvent},
};

/// Messages that wait at most; more are a gap.
const CAPACITY: usize = 16_384;
/// Whether Redis still has the generations, and none that was not heard of, is looked at this
/// often: somebody may have emptied it, and nothing may be heard.
const POLL: Duration = Duration::from_millis(500);

/// Follows for as long as the handle lives.
pub(super) async fn follow<V: Clone + Send + Sync + 'static>(shared: Arc<Shared<V>>) {
    let channel = shared.remote().channel.clone();
    let mut subscription = match shared.redis.subscribe([channel]).with_capacity(CAPACITY).await {
        Ok(subscription) => Some(subscription),
        // An application's own pool: its connections cannot listen.
        Err(error) => {
            tracing::info!(%error, "the cache reads Redis each time: invalidations cannot be heard");
            None
        }
    };
    // What was stored before nobody listened for.
    let mut resync = subscription.as_ref().is_some_and(Subscription::is_connected);
    loop {
        if resync {
            shared.generations().forget_local();
        }
        match read_generations(&shared).await {
            Ok(()) if subscription.as_ref().is_some_and(Subscription::is_connected) => {
                shared.in_step.store(true, Ordering::Release);
            }
            Ok(()) => {}
            Err(error) => shared.switch.log(&error),
        }
        resync = match next(&mut subscription, &shared).await {
            Some(resync) => resync,
            None => return,
        };
    }
}

/// Waits for the next event; `Some(true)`: something may have been missed. `None`: it is over.
async fn next<V: Clone + Send + Sync + 'static>(
    subscription: &mut Option<Subscription>,
    shared: &Shared<V>,
) -> Option<bool> {
    let mut poll = pin!(sleep(POLL));
    let Some(subscription) = subscription else {
        poll.await;
        return Some(false);
    };
    let event = loop {
        tokio::select! {
            biased;
            event = subscription.recv() => match event? {
                SubscriptionEvent::Message(message) => hear(shared, &message.payload),
                event => break event,
            },
            () = &mut poll => return Some(false),
        }
    };
    Some(match event {
        SubscriptionEvent::Disconnected => {
            shared.in_step.store(false, Ordering::Release);
            if !shared.switch.is_up() {
                shared.backlog.is_away(shared.clock.micros());
            }
            false
        }
        _ => {
            shared.in_step.store(false, Ordering::Release);
            true
        }
    })
}

fn hear<V: Clone + Send + Sync + 'static>(shared: &Shared<V>, payload: &[u8]) {
    match str::from_utf8(payload).ok().and_then(Message::parse) {
        Some((instance, _)) if instance == shared.remote().instance => {}
        Some((_, Message::Key(key))) => shared.memory.invalidate(key),
        Some((_, Message::Expired(key))) => shared.memory.expire(key, shared.clock.micros()),
        Some((_, Message::Scope(scope, at))) => shared.generations().heard(scope, at),
        None => tracing::debug!("a message about the cache cannot be read"),
    }
}

/// What was invalidated meanwhile.
async fn read_generations<V: Clone + Send + Sync + 'static>(
    shared: &Shared<V>,
) -> Result<(), Error> {
    if !shared.switch.is_up() {
        return Ok(());
    }
    let (remote, generations) = (shared.remote(), shared.generations());
    let connection = &mut shared.redis.connection();
    let known = match remote.latest(connection).await? {
        Some(latest) if latest == generations.begin().remote => Some(Vec::new()),
        Some(_) => remote.generations(connection).await?,
        None => None,
    };
    match known {
        Some(known) => known.into_iter().for_each(|(scope, at)| generations.learn(scope, at)),
        // Nothing there says what was invalidated: nothing there counts.
        None => {
            let (scope, moment) = generations.raise(Scope::All);
            let raised = remote.raise(connection, &scope).await?;
            generations.told(&scope, moment, raised);
        }
    }
    generations.learned();
    Ok(())
}
