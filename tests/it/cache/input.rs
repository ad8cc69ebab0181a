//! What anybody may put into a key, a value or Redis.

use std::time::Duration;

use bytes::Bytes;
use evenkeel::{
    ErrorKind,
    store::cache::{Cache, CacheBuilder, CacheKey, CacheValue, Json, Raw, Tier},
};

use super::{
    Database, Instance, patient,
    support::{RedisServer, eventually},
};
use crate::guards::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn any_text_is_a_key_of_its_own() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::at(&server.url()), Instance::at(&server.url()));
    let (a, b) = (a.ready().await, b.ready().await);
    let long = "k".repeat(64 << 10);
    let longer = format!("{long}x");
    let keys = [
        "", " ", "*", "?[a-z]*", "{a}", "{b}", "a:b", "a", "ä", "a\r\nb", "#", "%", "\0", &long,
        &longer,
    ];
    for (n, key) in keys.iter().enumerate() {
        assert!(a.items.set(key, Some(n as u64)).await.is_propagated(), "{n}");
    }
    for (n, key) in keys.iter().enumerate() {
        let found = b.items.get(key).await;
        assert_eq!(found.map(|cached| cached.value), Some(n as u64), "{n}");
        assert!(b.items.delete(key).await.is_propagated());
        let gone = eventually(PATIENCE, || async { a.items.get(key).await.is_none() });
        assert!(gone.await, "{n}");
    }
    assert_ne!(CacheKey::of(["a", "bc"]), CacheKey::of(["ab", "c"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_redis_and_is_no_value_is_a_miss_and_replaced() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 7)]);
    for foreign in [
        vec!["SET", "evenkeel:cache:items:{k}", "foreign"],
        vec!["SET", "evenkeel:cache:items:{k}", ""],
        vec![
            "SET",
            "evenkeel:cache:items:{k}",
            "EC\u{1}\u{1}aaaaaaaabbbbbbbbccccccccddddddddeeee\u{5}x",
        ],
        vec!["LPUSH", "evenkeel:cache:items:{k}", "x"],
    ] {
        server.cli(&["DEL", "evenkeel:cache:items:{k}"]).await.unwrap();
        server.cli(&foreign).await.unwrap();
        let a = Instance::at(&server.url()).ready().await;
        assert_eq!(a.reads(&database, "k").await, (Some(7), Tier::Loader), "{foreign:?}");
        let b = Instance::at(&server.url()).ready().await;
        let replaced = eventually(PATIENCE, || async {
            b.items.get("k").await.is_some_and(|cached| cached.value == 7)
        });
        assert!(replaced.await, "{foreign:?}");
        assert_eq!(a.redis.monitor().status().outages, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_beyond_the_bounds_are_returned_and_not_kept() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let builder = CacheBuilder::with_codec(&a.redis, "bytes", Raw).with_max_value_bytes(100);
    let bytes: Cache<Bytes> = builder.build().unwrap();
    assert!(eventually(PATIENCE, || async { bytes.is_in_step() }).await);
    let load = |length: usize| async move {
        Ok::<_, std::io::Error>(Some(Bytes::from(vec![7_u8; length])))
    };
    for (key, length, kept) in [("short", 100, true), ("long", 101, false)] {
        let first = bytes.get_or_load(key, || load(length)).await.unwrap();
        assert_eq!(first.value.unwrap().len(), length);
        assert_eq!(bytes.get(key).await.is_some(), kept, "{key}");
    }
    let tags: Vec<_> = (0..17).map(|n| n.to_string()).collect();
    let tagged = CacheValue::new(Bytes::new()).with_tags(&tags);
    let _ = bytes.set("tagged", tagged).await;
    assert!(bytes.get("tagged").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_of_nothing_and_one_of_a_century() {
    let server = RedisServer::start().await;
    let database = Database::with(&[("k", 1)]);
    let none = Instance::with(&server.url(), |builder| {
        patient(builder).with_ttl(Duration::ZERO).with_stale_for(Duration::ZERO)
    });
    let none = none.ready().await;
    for loads in 1..4 {
        assert_eq!(none.reads(&database, "k").await, (Some(1), Tier::Loader));
        assert_eq!(database.loads(), loads);
    }
    let century = Instance::named(&server.url(), "century", |builder| {
        patient(builder).with_ttl(Duration::MAX).with_stale_for(Duration::MAX)
    });
    let century = century.ready().await;
    assert_eq!(century.reads(&database, "k").await.1, Tier::Loader);
    assert_eq!(century.reads(&database, "k").await.1, Tier::Memory);
    let other = Instance::named(&server.url(), "century", patient).ready().await;
    assert!(eventually(PATIENCE, || async { other.items.get("k").await.is_some() }).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_codecs() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    for name in ["", "a b", "a:b", "a{b}", &"n".repeat(65)] {
        let error = Cache::<u64>::new(&a.redis, name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{name}");
    }
    let json: Cache<Vec<String>> =
        CacheBuilder::with_codec(&a.redis, "json", Json).build().unwrap();
    assert!(eventually(PATIENCE, || async { json.is_in_step() }).await);
    assert!(json.set("k", Some(vec!["a".to_owned()])).await.is_propagated());
    let text: Vec<u8> = server.query(&["GET", "evenkeel:cache:json:{k}"]).await.unwrap();
    assert!(text.ends_with(b"[\"a\"]"));
    assert_eq!(json.get("k").await.unwrap().value, ["a"]);
}
