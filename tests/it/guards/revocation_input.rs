//! Ids, subjects and times that nobody should send.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel::{
    ErrorKind,
    store::revocation::{Propagation, RevocationStatus, Token},
};

use super::{Instance, in_an_hour, support::RedisServer};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_any_kind() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let huge = vec![b'x'; 64 * 1024];
    let ids: [&[u8]; 8] = [
        b"\0",
        b"\xff\xfe\r\n$-1\r\n",
        b"{}",
        b"*",
        b"#",
        "\u{202e}\u{0}🦀".as_bytes(),
        b"with spaces : and {braces}",
        &huge,
    ];
    for id in ids {
        assert_eq!(a.status(&Token::new(id)).await, RevocationStatus::Clear);
        let told = a.revocations.revoke(id, in_an_hour()).await.unwrap();
        assert_eq!(told, Propagation::Propagated);
        assert_eq!(b.status(&Token::new(id)).await, RevocationStatus::Revoked);
        let told = a.revocations.revoke_subject(id, SystemTime::now()).await.unwrap();
        assert_eq!(told, Propagation::Propagated);
    }
    for id in [&b""[..], &vec![b'x'; 64 * 1024 + 1]] {
        let error = a.revocations.revoke(id, in_an_hour()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let error = a.revocations.revoke_subject(id, SystemTime::now()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        // No token that could ever be revoked has such an id: it does not pass.
        assert_eq!(a.status(&Token::new(id)).await, RevocationStatus::Revoked);
        assert_eq!(a.status(&Token::new("a").of(id)).await, RevocationStatus::Revoked);
    }
    // An id is no subject, and the other way round.
    let _ = a.revocations.revoke("name", in_an_hour()).await.unwrap();
    assert_eq!(b.status(&Token::new("a").of("name")).await, RevocationStatus::Clear);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiries_in_the_past_and_beyond_a_century() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let b = Instance::at(&server.url()).ready().await;
    let now = SystemTime::now();
    // Its own expiry refuses it already; here it counts for a while, since clocks differ.
    for (id, until) in [("a", now - DAY), ("b", UNIX_EPOCH), ("c", UNIX_EPOCH - DAY)] {
        let told = a.revocations.revoke(id, until).await.unwrap();
        assert_eq!(told, Propagation::Propagated);
        assert_eq!(a.status(&Token::new(id)).await, RevocationStatus::Revoked);
        assert_eq!(b.status(&Token::new(id)).await, RevocationStatus::Revoked);
    }
    let _ = a.revocations.revoke("far", now + DAY * 36_000).await.unwrap();
    assert_eq!(b.status(&Token::new("far")).await, RevocationStatus::Revoked);
    for until in [now + DAY * 36_600, now + DAY * 400_000] {
        let error = a.revocations.revoke("too far", until).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let error = a.revocations.revoke_subject("too far", until).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    assert_eq!(a.status(&Token::new("too far").of("too far")).await, RevocationStatus::Clear);
    // A cut-off before anything was issued revokes nothing but what does not say when it was.
    let _ = a.revocations.revoke_subject("ancient", UNIX_EPOCH - DAY).await.unwrap();
    assert_eq!(
        b.status(&Token::new("x").of("ancient").issued_at(now)).await,
        RevocationStatus::Clear
    );
    assert_eq!(b.status(&Token::new("x").of("ancient")).await, RevocationStatus::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_again_never_shortens() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let table = "evenkeel:revocation:{table}";
    let until = |text: &str| text.split(':').next().unwrap().parse::<u64>().unwrap();
    let held = async || {
        let all: Vec<(Vec<u8>, String)> = server.query(&["HGETALL", table]).await.unwrap();
        let value = all.into_iter().find(|(field, _)| field.len() == 16).unwrap().1;
        until(&value)
    };
    let _ = a.revocations.revoke("bad", in_an_hour()).await.unwrap();
    let first = held().await;
    let _ = a.revocations.revoke("bad", SystemTime::now()).await.unwrap();
    assert_eq!(held().await, first);
    let _ = a.revocations.revoke("bad", in_an_hour() + DAY).await.unwrap();
    assert!(held().await >= first + 86_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_expire_in_redis_by_itself_is_dropped_when_its_time_is_over() {
    let server = RedisServer::start().await;
    let a = Instance::at(&server.url()).ready().await;
    let _ = a.revocations.revoke("kept", in_an_hour()).await.unwrap();
    let table = "evenkeel:revocation:{table}";
    let long_ago = ["HSET", table, "0123456789abcdef", "1600000000:0"];
    server.cli(&long_ago).await.unwrap();
    let fields = async || server.query::<usize>(&["HLEN", table]).await.unwrap();
    assert_eq!(fields().await, 4);
    let b = Instance::at(&server.url()).ready().await;
    assert_eq!(fields().await, 3);
    assert_eq!(b.revocations.len(), 1);
}
