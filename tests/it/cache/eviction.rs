//! A Redis that drops what says what was invalidated, to make room.

use evenkeel::store::cache::{CacheValue, Tier};

use super::{Database, Instance, support::RedisServer};

const GENERATIONS: &str = "evenkeel:cache:items:generations";

/// Before anybody has noticed it, and a tag is invalidated in between: what is written then is not
/// all that there was.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cleared_stays_so_for_newcomers_when_the_generations_were_dropped() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    for round in 0..5 {
        let (key, new) = (format!("k{round}"), Database::with(&[(&format!("k{round}"), 2)]));
        let old = CacheValue::new(1).with_tags(["tag"]);
        assert!(a.items.set(&key, old).await.is_propagated());
        let cleared = match round % 3 {
            0 => a.items.clear().await,
            1 => a.items.clear_prefix("k").await,
            _ => a.items.invalidate_tag("tag").await,
        };
        assert!(cleared.is_propagated());
        server.cli(&["DEL", GENERATIONS]).await.unwrap();
        assert!(a.items.invalidate_tag("another").await.is_propagated());
        let newcomer = Instance::at(&server.url()).ready().await;
        assert_eq!(newcomer.reads(&new, &key).await, (Some(2), Tier::Loader));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_place_of_the_generations_is_written_over() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let database = Database::with(&[("k", 2)]);
    assert!(a.items.set("k", Some(1)).await.is_propagated());
    let foreign: [&[&str]; 4] = [
        &["SET", GENERATIONS, "junk"],
        &["SADD", GENERATIONS, "junk"],
        &["HSET", GENERATIONS, "", "junk"],
        &["HSET", GENERATIONS, "", "7", "tag", "junk"],
    ];
    for junk in foreign {
        server.cli(&["DEL", GENERATIONS]).await.unwrap();
        server.cli(junk).await.unwrap();
        let b = Instance::at(&server.url()).ready().await;
        assert_eq!(b.reads(&database, "k").await.0, Some(2));
        assert!(b.items.invalidate_tag("tag").await.is_propagated());
        let is_hash = server.query::<u64>(&["HGET", GENERATIONS, ""]).await;
        assert!(is_hash.is_ok(), "{junk:?}");
    }
}
