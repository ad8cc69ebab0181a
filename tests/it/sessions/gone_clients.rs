//! A client that goes away in the middle of a logout is logged out all the same.
//!
//! Its future is dropped when Redis has answered `NOSCRIPT` and that answer is still on its way, so
//! that nobody sends the whole script any more.

use std::{future::Future, time::Duration};

use evenkeel::store::session::TowerSessionStore;
use http::StatusCode;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};
use tower_sessions::{
    SessionStore as _,
    cookie::time::{Duration as Span, OffsetDateTime},
    session::{Id, Record},
};

use super::{
    app::{Instance, PATIENCE},
    client::{Client, SD},
    support::{Fault, RedisServer, eventually},
};

const DELAY: Duration = Duration::from_millis(250);
const CREATE: &str = include_str!("../../../src/store/session/create.lua");
const ENLIST: &str = include_str!("../../../src/store/session/enlist.lua");
const REVOKE: &str = include_str!("../../../src/store/session/revoke.lua");

/// How often the server did not know a script.
async fn unknown_scripts(server: &RedisServer) -> u64 {
    let stats: String = server.query(&["INFO", "errorstats"]).await.unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("errorstat_NOSCRIPT:count="));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

/// Takes all scripts but these from the server, and makes its answers to this instance slow.
async fn forget_scripts(server: &RedisServer, on: &Instance, but: &[&str]) {
    let _: String = server.query(&["SCRIPT", "FLUSH"]).await.unwrap();
    for script in but {
        let _: String = server.query(&["SCRIPT", "LOAD", script]).await.unwrap();
    }
    on.proxy.set(Fault::Delay(DELAY)).await;
}

/// The request is under way, and the next script that it needs is unknown to the server.
async fn until_unknown_script(server: &RedisServer, before: u64) {
    let asked = eventually(PATIENCE, || async { unknown_scripts(server).await > before });
    assert!(asked.await, "no script was asked for");
}

/// The client of this request goes away in the middle of the first script that is not among `but`.
async fn goes_away<F: Future>(server: &RedisServer, on: &Instance, but: &[&str], request: F)
where
    F::Output: std::fmt::Debug,
{
    let before = unknown_scripts(server).await;
    forget_scripts(server, on, but).await;
    tokio::select! {
        answer = request => panic!("answered before the client went away: {answer:?}"),
        () = until_unknown_script(server, before) => {}
    }
    on.proxy.set(Fault::Pass).await;
}

async fn is_logged_out_of(client: &Client, on: &Instance) -> bool {
    eventually(PATIENCE, || async { client.status(on, "/peek").await == StatusCode::UNAUTHORIZED })
        .await
}

#[tokio::test]
async fn a_closed_socket_in_the_middle_of_a_logout() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let client = Client::logged_in(&a, "alice").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, a.router.clone()).into_future());
    let before = unknown_scripts(&server).await;
    forget_scripts(&server, &a, &[]).await;
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request =
        format!("GET /logout HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n\r\n", client.cookies());
    socket.write_all(request.as_bytes()).await.unwrap();
    until_unknown_script(&server, before).await;
    drop(socket);
    a.proxy.set(Fault::Pass).await;
    assert!(is_logged_out_of(&client, &b).await, "the logout was lost");
    assert_eq!(client.status(&a, "/peek").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn whatever_ends_a_session_is_cancel_safe() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let ways: [(&str, &[&str]); 6] = [
        ("logout", &[]),
        ("logout-by-id", &[]),
        ("cycle", &[CREATE, ENLIST]),
        ("revoke", &[]),
        ("revoke_all", &[]),
        ("revoke_all-deletions", &[REVOKE]),
    ];
    for (way, but) in ways {
        let client = Client::logged_in(&a, way).await;
        let name = a.store.list(way).await.unwrap()[0].name;
        let by_id = client.clone().without(SD);
        let request = async {
            match way {
                "logout" => drop(client.peek(&a, "/logout").await),
                "logout-by-id" => drop(by_id.peek(&a, "/logout").await),
                "cycle" => drop(client.peek(&a, "/cycle").await),
                "revoke" => drop(a.store.revoke(name).await),
                _ => drop(a.store.revoke_all(way).await),
            }
        };
        goes_away(&server, &a, but, request).await;
        assert!(is_logged_out_of(&client, &b).await, "{way}: lost");
        assert_eq!(client.status(&a, "/peek").await, StatusCode::UNAUTHORIZED, "{way}");
    }
    assert_eq!(a.monitor().status().outages, 0, "not thanks to a recovery");
}

#[tokio::test]
async fn a_deletion_by_tower_sessions_is_cancel_safe() {
    let server = RedisServer::start().await;
    let (a, b) = (Instance::start(&server).await, Instance::start(&server).await);
    let [on_a, on_b] = [&a, &b].map(|on| TowerSessionStore::new(&on.redis));
    // The large one has no copy that vouches for it.
    for size in [10, 100_000] {
        let mut record = Record {
            id: Id::default(),
            data: [("value".to_owned(), "x".repeat(size).into())].into(),
            expiry_date: OffsetDateTime::now_utc() + Span::seconds(600),
        };
        on_a.create(&mut record).await.unwrap();
        goes_away(&server, &a, &[], on_a.delete(&record.id)).await;
        let gone =
            eventually(PATIENCE, || async { on_b.load(&record.id).await.unwrap().is_none() });
        assert!(gone.await, "{size} bytes: the deletion was lost");
        assert!(on_a.load(&record.id).await.unwrap().is_none());
    }
}
