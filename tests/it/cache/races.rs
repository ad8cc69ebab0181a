//! No old value comes back, whatever is under way.

use std::{sync::Arc, time::Duration};

use evenkeel::store::cache::{CacheValue, Tier};
use tokio::{sync::Semaphore, task::JoinHandle};

use super::{
    Database, Instance, loading,
    support::{FaultProxy, RedisServer, eventually},
};
use crate::guards::PATIENCE;

/// A load that has read 1 and is held, while the database has 2 already.
async fn old_load(
    instance: &Arc<Instance>,
    database: &Database,
) -> (Arc<Semaphore>, JoinHandle<Option<u64>>) {
    let gate = database.hold();
    let (reader, source) = (Arc::clone(instance), database.clone());
    let before = database.loads();
    let load = tokio::spawn(async move { reader.read(&source, "k").await.unwrap().value });
    loading(database, before + 1).await;
    database.let_pass();
    database.write("k", 2);
    (gate, load)
}

#[derive(Debug, Clone, Copy)]
enum End {
    Delete,
    Tag,
    Prefix,
    Clear,
}

const ENDS: [End; 4] = [End::Delete, End::Tag, End::Prefix, End::Clear];

impl End {
    async fn run(self, instance: &Instance) -> bool {
        let told = match self {
            Self::Delete => instance.items.delete("k").await,
            Self::Tag => instance.items.invalidate_tag("t").await,
            Self::Prefix => instance.items.clear_prefix("k").await,
            Self::Clear => instance.items.clear().await,
        };
        told.is_propagated()
    }
}

/// Its load has the tag.
async fn tagged(instance: &Instance, database: &Database) -> (Option<u64>, Tier) {
    let source = database.clone();
    let load = || async move {
        let value = source.read("k".to_owned()).await?;
        Ok::<_, std::io::Error>(CacheValue::from(value).with_tags(["t"]))
    };
    let cached = instance.items.get_or_load("k", load).await.unwrap();
    (cached.value, cached.tier)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_began_before_a_delete_never_brings_the_old_value_back() {
    let server = RedisServer::start().await;
    let (a, b) = (Arc::new(Instance::at(&server.url()).ready().await), Instance::at(&server.url()));
    let b = b.ready().await;
    for end in [End::Delete, End::Prefix, End::Clear] {
        for deleted_elsewhere in [false, true] {
            let database = Database::with(&[("k", 1)]);
            let (gate, load) = old_load(&a, &database).await;
            assert!(end.run(if deleted_elsewhere { &b } else { &a }).await);
            if deleted_elsewhere {
                // Heard of within a moment, and else it is no worse than a late message.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            gate.add_permits(1);
            load.await.unwrap();
            for instance in [&*a, &b] {
                let (value, _) = instance.reads(&database, "k").await;
                assert_eq!(value, Some(2), "{end:?} elsewhere: {deleted_elsewhere}");
            }
            // A third, which has only Redis to ask.
            let third = Instance::at(&server.url()).ready().await;
            assert_eq!(third.reads(&database, "k").await.0, Some(2), "{end:?}");
            a.items.delete("k").await.is_propagated();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_of_an_outage() {
    let server = RedisServer::start().await;
    let a = Arc::new(Instance::at(&server.url()).ready().await);
    let database = Database::with(&[("k", 1)]);
    assert_eq!(a.reads(&database, "k").await, (Some(1), Tier::Loader));
    server.kill();
    a.away().await;
    for end in ENDS {
        database.write("k", 1);
        a.items.delete("k").await.is_propagated();
        let (gate, load) = old_load(&a, &database).await;
        if matches!(end, End::Tag) {
            // What is loaded for a tag is tagged when it has been loaded.
            a.items.delete("k").await.is_propagated();
        }
        assert!(!end.run(&a).await, "{end:?} cannot be propagated");
        gate.add_permits(1);
        load.await.unwrap();
        assert_eq!(a.reads(&database, "k").await.0, Some(2), "{end:?}");
    }
    server.restart().await;
    assert!(a.redis.monitor().wait_available(PATIENCE).await);
    let b = Instance::at(&server.url()).ready().await;
    for instance in [&*a, &b] {
        assert_eq!(instance.reads(&database, "k").await.0, Some(2));
    }
}

/// Redis kept its data, and so the value from before the outage.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_ended_in_an_outage_is_gone_from_redis_when_it_is_back() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    for end in ENDS {
        let database = Database::with(&[("k", 1)]);
        let a = Instance::at(&proxy.url()).ready().await;
        assert_eq!(tagged(&a, &database).await, (Some(1), Tier::Loader), "{end:?}");
        let b = Instance::at(&server.url()).ready().await;
        let in_redis = eventually(PATIENCE, || async { b.items.get("k").await.is_some() });
        assert!(in_redis.await, "{end:?}");
        proxy.set(super::support::Fault::Refuse).await;
        a.away().await;
        database.write("k", 2);
        assert!(!end.run(&a).await);
        assert_eq!(a.reads(&database, "k").await.0, Some(2), "{end:?}");
        proxy.set(super::support::Fault::Pass).await;
        assert!(a.redis.monitor().wait_available(PATIENCE).await);
        // Before `connected` was announced: so also by those that could reach it all the time.
        let heard = eventually(Duration::from_secs(5), || async {
            b.reads(&database, "k").await.0 == Some(2)
        });
        assert!(heard.await, "{end:?}");
        let third = Instance::at(&server.url()).ready().await;
        assert_eq!(third.reads(&database, "k").await.0, Some(2), "{end:?}");
        a.items.clear().await.is_propagated();
    }
}

/// A database that has failed is no reason to show what was deleted.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_ended_is_never_served_as_stale() {
    let server = RedisServer::start().await;
    let a = Instance::with(&server.url(), |builder| {
        super::patient(builder).with_ttl(Duration::from_millis(1))
    });
    let a = a.ready().await;
    for end in ENDS {
        let database = Database::with(&[("k", 1)]);
        assert_eq!(tagged(&a, &database).await.0, Some(1));
        database.fail(true);
        assert!(end.run(&a).await);
        let refused = a.read(&database, "k").await;
        assert!(refused.is_err(), "{end:?}: {refused:?}");
        assert!(a.items.get("k").await.is_none(), "{end:?}");
        database.fail(false);
        assert_eq!(a.reads(&database, "k").await.0, Some(1));
        // The other word for it: it may be served as stale.
        assert!(a.items.expire("k").await.is_propagated());
        database.fail(true);
        let stale = a.read(&database, "k").await.unwrap();
        assert!(stale.value == Some(1) && stale.freshness.is_stale(), "{stale:?}");
        a.items.delete("k").await.is_propagated();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_in_the_middle_of_a_write_leaves_no_old_value() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::at(&server.url()), Instance::at(&server.url()));
    let (a, b) = (Arc::new(a.ready().await), b.ready().await);
    let database = Database::with(&[("k", 1)]);
    for instance in [&*a, &b] {
        assert_eq!(instance.reads(&database, "k").await.0, Some(1));
    }
    let (writer, source) = (Arc::clone(&a), database.clone());
    let write = tokio::spawn(async move {
        let write = async {
            source.write("k", 2);
            std::future::pending::<Result<(), ()>>().await
        };
        writer.items.write_through("k", write).await
    });
    let written = || async { database.clone().read("k".into()).await.unwrap() == Some(2) };
    assert!(eventually(PATIENCE, written).await);
    write.abort();
    assert!(write.await.is_err());
    assert_eq!(a.reads(&database, "k").await.0, Some(2));
    let told = eventually(PATIENCE, || async { b.reads(&database, "k").await.0 == Some(2) });
    assert!(told.await);
}
