//! A Redis that makes room drops tombstones, too: a logout holds all the same.

use http::StatusCode;

use super::{app::Instance, client::Client};
use crate::{
    guards::eviction::{is_back, key, limit, push_out},
    support::RedisServer,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_that_was_dropped_is_in_redis_again() {
    let server = RedisServer::start().await;
    let a = Instance::start(&server).await;
    let b = Instance::start(&server).await;
    let client = Client::logged_in(&a, "alice").await;
    assert_eq!(client.status(&a, "/logout").await, StatusCode::NO_CONTENT);
    let tombstone = key(&server, "evenkeel:session:*").await;
    limit(&server, "volatile-lru").await;
    push_out(&server, &tombstone).await;
    assert!(is_back(&server, &tombstone).await, "the tombstone is gone");
    for instance in [&a, &b] {
        assert_eq!(client.status(instance, "/me").await, StatusCode::UNAUTHORIZED);
        assert_eq!(instance.monitor().status().outages, 0);
    }
}
