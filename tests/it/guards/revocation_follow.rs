//! An instance follows the log of revocations: it starts late, its connection dies in silence.

use std::time::{Duration, Instant};

use evenkeel::{
    redis::Redis,
    store::revocation::{RevocationStatus, Revocations, Token},
    telemetry::Metrics,
};
use tracing::Level;

use super::{
    Instance, PATIENCE, available, in_an_hour, quick,
    support::{Fault, FaultProxy, LogCapture, RedisServer, eventually},
};

/// Made when the first recovery is over already: no step of theirs has run in it.
#[tokio::test(flavor = "multi_thread")]
async fn revocations_made_after_the_first_recovery_begin_the_table_without_an_alarm() {
    let logs = LogCapture::start();
    let server = RedisServer::start().await;
    let redis = Redis::new(quick(&server.url(), &Metrics::new())).unwrap();
    available(&redis).await;
    let revocations = Revocations::new(&redis);
    assert!(eventually(PATIENCE, || async { revocations.is_in_step() }).await);
    let told = eventually(PATIENCE, || async {
        revocations.revoke("bad", in_an_hour()).await.unwrap().is_propagated()
    });
    assert!(told.await);
    assert!(revocations.check(&Token::new("good")).await.is_admitted());
    // An answer that is late on a busy machine may be warned of; a loss may not.
    let alarms = logs.at_least(Level::WARN);
    assert!(!alarms.iter().any(|line| line.message.contains("lost")), "{alarms:?}");
}

/// Commands work, so this is no outage; but whoever hears nothing must not think that nothing was
/// said.
#[tokio::test(flavor = "multi_thread")]
async fn silence_on_the_connection_that_listens_is_noticed_while_commands_work() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&proxy.url()).ready().await;
    proxy.set(Fault::HoldThatSends("XREAD".into())).await;
    let began = Instant::now();
    let noticed = eventually(PATIENCE, || async { !b.revocations.is_in_step() }).await;
    assert!(noticed && began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    assert_eq!(b.redis.monitor().status().outages, 0);

    // An outage that begins now finds it out of step, and it says so.
    server.kill();
    b.away().await;
    assert_eq!(b.status(&Token::new("bad")).await, RevocationStatus::Unknown);
    a.away().await;
    assert_eq!(a.status(&Token::new("good")).await, RevocationStatus::Clear);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_listens_and_fell_silent_is_replaced() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&proxy.url()).ready().await;
    proxy.set(Fault::HoldExisting).await;
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    b.knows(1).await;
    b.in_step().await;
    assert_eq!(b.redis.monitor().status().outages, 0);
}

/// The client is gone while the server asks for the script's text: nothing of it has been carried
/// out.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_back_no_revocation() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Instance::at(&proxy.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    server.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(60))).await;
    let revoke = a.revocations.revoke("bad", in_an_hour());
    assert!(tokio::time::timeout(Duration::from_millis(20), revoke).await.is_err());
    let bad = Token::new("bad");
    assert_eq!(a.status(&bad).await, RevocationStatus::Revoked, "here at once");
    assert!(b.revocations.is_empty());
    let soon = Duration::from_secs(2);
    assert!(eventually(soon, || async { b.revocations.len() == 1 }).await, "{:?}", b.revocations);
    assert_eq!(a.redis.monitor().status().outages, 0);
}
