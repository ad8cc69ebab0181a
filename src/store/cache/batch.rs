//! Many keys at once: one command to Redis, one call of the loader.

use std::{collections::HashMap, error::Error as StdError, future::Future, sync::Arc};

use futures_util::{StreamExt, stream};

use super::{
    load::{Load, Loaded},
    redis::Found,
    shared::Shared,
    value::CacheValue,
};

/// Values that are stored in Redis at once.
const IN_FLIGHT: usize = 32;

/// The loads of a batch that this process is to do.
pub(super) struct Batch<V> {
    pub(super) shared: Arc<Shared<V>>,
    pub(super) loads: Vec<Load<V>>,
}

impl<V: Clone + Send + Sync + 'static> Batch<V> {
    pub(super) async fn run<F, Fut, L, E>(self, loader: F)
    where
        F: FnOnce(Vec<String>) -> Fut + Send,
        Fut: Future<Output = Result<HashMap<String, L>, E>> + Send,
        L: Into<CacheValue<V>> + Send,
        E: Into<Box<dyn StdError + Send + Sync>> + Send,
    {
        let Self { shared, loads } = self;
        let (missing, uses_redis) = search(&shared, loads).await;
        if missing.is_empty() {
            return;
        }
        let keys = missing.iter().map(|(load, _)| load.ticket.key().to_string()).collect();
        let began = shared.clock.micros();
        let loaded = match shared.ask(async { loader(keys).await }).await {
            Ok(values) => keep(missing, values, began),
            Err(error) => {
                missing.into_iter().for_each(|(load, _)| load.land(Err(error.clone())));
                return;
            }
        };
        if !uses_redis {
            return;
        }
        stream::iter(loaded)
            .for_each_concurrent(IN_FLIGHT, async |(loaded, seen)| {
                if let Err(error) = loaded.store(&shared, &seen, rand::random()).await {
                    shared.switch.log(&error);
                }
            })
            .await;
    }
}

/// What is not in Redis, with what stands there, and whether Redis has answered.
async fn search<V: Clone + Send + Sync + 'static>(
    shared: &Shared<V>,
    loads: Vec<Load<V>>,
) -> (Vec<(Load<V>, Found)>, bool) {
    let nothing = |load| (load, Found::default());
    if !shared.uses_redis() {
        return (loads.into_iter().map(nothing).collect(), false);
    }
    let mut connection = shared.redis.connection();
    let keys = loads.iter().map(|load| &**load.ticket.key());
    let found = match shared.remote().get_many(&mut connection, keys).await {
        Ok(found) => found,
        Err(error) => {
            shared.switch.log(&error);
            return (loads.into_iter().map(nothing).collect(), false);
        }
    };
    let mut missing = Vec::new();
    for (load, seen) in loads.into_iter().zip(found) {
        match load.usable(&seen) {
            Some(found) => load.land(Ok(found)),
            None => missing.push((load, seen)),
        }
    }
    (missing, true)
}

/// Keeps what was loaded in memory; what the loader does not name does not exist.
fn keep<V: Clone + Send + Sync + 'static, L: Into<CacheValue<V>>>(
    missing: Vec<(Load<V>, Found)>,
    mut values: HashMap<String, L>,
    began: u64,
) -> Vec<(Loaded<V>, Found)> {
    let keep = |(load, seen): (Load<V>, Found)| {
        let value = values.remove(&**load.ticket.key());
        let value = value.map_or_else(CacheValue::absent, Into::into);
        Some((load.finish(value, began)?, seen))
    };
    missing.into_iter().filter_map(keep).collect()
}
