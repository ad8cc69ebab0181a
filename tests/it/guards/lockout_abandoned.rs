//! The client goes away in the middle: what it began is counted all the same, once.

use std::{future::Future, time::Duration};

use evenkeel::store::rate::Subject;

use super::{
    PATIENCE,
    lockout::{Guard, WINDOW, alice, begin, wrong},
    support::{Fault, FaultProxy, RedisServer, eventually},
};

/// Given up while the server asks for the script's text: by then nothing has been carried out.
async fn give_up<T>(server: &RedisServer, work: impl Future<Output = T>) {
    server.cli(&["SCRIPT", "FLUSH"]).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_nothing_back() {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    let a = Guard::at(&proxy.url()).ready().await;
    let b = Guard::at(&server.url()).ready().await;
    let locked = Subject::secret("locked");
    let lifted = Subject::secret("lifted");
    let failed = Subject::secret("failed");
    let address = Subject::address("203.0.113.9".parse().unwrap(), 64);
    a.lockout.lock(&lifted, WINDOW).await.unwrap();
    wrong(&a.lockout).await;
    let right = begin(&a.lockout, &alice()).await.unwrap();
    let other = begin(&a.lockout, &failed).await.unwrap();

    proxy.set(Fault::Delay(Duration::from_millis(60))).await;
    give_up(&server, a.lockout.lock(&locked, WINDOW)).await;
    give_up(&server, a.lockout.unlock(&lifted)).await;
    give_up(&server, a.lockout.succeed(right)).await;
    give_up(&server, a.lockout.fail(other)).await;
    give_up(&server, a.lockout.count(&address)).await;

    let counted = eventually(PATIENCE, || async {
        b.told_by_redis(&locked).await.is_locked()
            && !b.told_by_redis(&lifted).await.is_locked()
            && b.told_by_redis(&alice()).await.attempts_left() == 5
            && b.told_by_redis(&address).await.attempts_left() == 4
    });
    assert!(counted.await);
    let fields = async || {
        let keys: Vec<String> = server.query(&["KEYS", "evenkeel:lockout:login:*"]).await.unwrap();
        let mut fields = Vec::new();
        for key in keys {
            fields.extend(server.query::<Vec<String>>(&["HKEYS", &key]).await.unwrap());
        }
        fields
    };
    let judged = async || fields().await.iter().filter(|field| field.starts_with('f')).count() == 2;
    assert!(eventually(PATIENCE, judged).await, "{:?}", fields().await);
    assert_eq!(a.redis.monitor().status().outages, 0);
}
