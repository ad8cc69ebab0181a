//! Each fault of the proxy, as a plain client sees it.

use std::{
    io::ErrorKind,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use redis::RedisResult;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::{
    LONG, SHORT, assert_answers, assert_hangs, assert_lost, assert_refused, code, connect,
    connect_within, ping_within, proxied, read, timed_ping,
};
use crate::support::{Fault, eventually};

#[tokio::test]
async fn refuse() {
    let (_server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    for _ in 0..5 {
        proxy.set(Fault::Refuse).await;
        assert_eq!(proxy.connections(), 0);
        assert_lost(&mut connection).await;
        assert_refused(&proxy.url()).await;
        proxy.set(Fault::Pass).await;
        connection = connect(&proxy.url()).await;
        assert_answers(&mut connection).await;
    }
}

#[tokio::test]
async fn reset() {
    let (_server, proxy) = proxied().await;
    let mut open = TcpStream::connect(proxy.addr()).await.expect("a connection");
    open.write_all(b"PING\r\n").await.expect("PING");
    assert_eq!(read(&mut open).await.expect("an answer"), "+PONG\r\n");
    proxy.set(Fault::Reset).await;
    let error = read(&mut open).await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut new = TcpStream::connect(proxy.addr()).await.expect("it accepts");
    let error = read(&mut new).await.expect_err("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.accepted(), 2);
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connect(&proxy.url()).await).await;
}

#[tokio::test]
async fn refuse_new() {
    let (_server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    proxy.set(Fault::RefuseNew).await;
    assert_answers(&mut connection).await;
    assert_refused(&proxy.url()).await;
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connection).await;
    assert_answers(&mut connect(&proxy.url()).await).await;
}

/// A process on its way from fork to exec holds a copy of every socket, also of a closed listener.
#[tokio::test]
async fn refuses_while_processes_start() {
    let (_server, proxy) = proxied().await;
    let test = Arc::new(());
    for _ in 0..2 {
        let test = Arc::downgrade(&test);
        std::thread::spawn(move || {
            while test.strong_count() > 0 {
                Command::new("true").status().unwrap();
            }
        });
    }
    for _ in 0..300 {
        proxy.set(Fault::RefuseNew).await;
        let error = TcpStream::connect(proxy.addr()).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::Pass).await;
    }
}

#[tokio::test]
async fn black_hole() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    proxy.set(Fault::BlackHole).await;
    assert_hangs(&mut connection).await;
    let error = connect_within(&proxy.url(), SHORT).await.expect_err("no handshake");
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(proxy.accepted(), 2, "it was accepted all the same");
    assert_eq!(server.commands_processed("ping").await, 0);
    assert!(eventually(LONG, || async { proxy.connections() == 1 }).await, "who leaves is seen");
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connection).await;
    assert_eq!(server.commands_processed("ping").await, 2, "what was sent meanwhile arrives late");
}

#[tokio::test]
async fn black_hole_keeps_the_server_in_the_dark() {
    let (server, proxy) = proxied().await;
    let connection = connect(&proxy.url()).await;
    proxy.set(Fault::BlackHole).await;
    drop(connection);
    assert!(eventually(LONG, || async { proxy.connections() == 0 }).await);
    assert_eq!(server.connected_clients().await, 1, "the server has not heard of it");
    proxy.set(Fault::Pass).await;
    assert!(eventually(LONG, || async { server.connected_clients().await == 0 }).await);
}

#[tokio::test]
async fn hold_existing() {
    let (_server, proxy) = proxied().await;
    let mut old = connect(&proxy.url()).await;
    proxy.set(Fault::HoldExisting).await;
    assert_hangs(&mut old).await;
    let mut new = connect(&proxy.url()).await;
    assert_answers(&mut new).await;
    assert_hangs(&mut old).await;
    proxy.set(Fault::Pass).await;
    assert_answers(&mut old).await;
}

#[tokio::test]
async fn cut_to_server() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    let mut subscriber = TcpStream::connect(proxy.addr()).await.expect("a connection");
    subscriber.write_all(b"SUBSCRIBE news\r\n").await.expect("SUBSCRIBE");
    let subscribed = || async {
        server.query::<(String, i32)>(&["PUBSUB", "NUMSUB", "news"]).await.is_ok_and(|n| n.1 == 1)
    };
    assert!(eventually(LONG, subscribed).await);
    proxy.set(Fault::CutToServer).await;
    assert_hangs(&mut connection).await;
    assert_eq!(server.commands_processed("ping").await, 0);

    server.cli(&["PUBLISH", "news", "from the server"]).await.expect("PUBLISH");
    let mut heard = String::new();
    while !heard.contains("from the server") {
        heard += &read(&mut subscriber).await.expect("the other direction is open");
    }
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connection).await;
}

#[tokio::test]
async fn cut_to_client() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    proxy.set(Fault::CutToClient).await;
    assert_hangs(&mut connection).await;
    assert!(eventually(LONG, || async { server.commands_processed("ping").await == 1 }).await);
    server.kill();
    assert_hangs(&mut connection).await; // nor does the connection's end pass
    proxy.set(Fault::Pass).await;
    assert_lost(&mut connection).await;
}

#[tokio::test]
async fn delay() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    let by = Duration::from_millis(150);
    proxy.set(Fault::Delay(by)).await;
    assert!(timed_ping(&mut connection).await >= by);
    proxy.set(Fault::DelayBoth(by)).await;
    assert!(timed_ping(&mut connection).await >= 2 * by);

    // Delay is latency, not a slower line: fifty together take as long as one.
    let pings = (0..50).map(|_| {
        let mut connection = connection.clone();
        tokio::spawn(async move { timed_ping(&mut connection).await })
    });
    let started = Instant::now();
    for ping in pings.collect::<Vec<_>>() {
        ping.await.expect("a PING");
    }
    assert!(started.elapsed() < 20 * by, "{:?}", started.elapsed());

    // The end of a delay is the end for what already waits, too.
    proxy.set(Fault::Delay(2 * LONG)).await;
    let mut clone = connection.clone();
    let waiting = tokio::spawn(async move { timed_ping(&mut clone).await });
    assert!(eventually(LONG, || async { server.commands_processed("ping").await == 53 }).await);
    proxy.set(Fault::Pass).await;
    waiting.await.expect("an answer at last");
}

#[tokio::test]
async fn drip() {
    let (_server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    let every = Duration::from_millis(40);
    proxy.set(Fault::Drip { bytes: 1, every }).await;
    // +PONG\r\n: seven bytes, six pauses between them.
    assert!(timed_ping(&mut connection).await >= 6 * every);
    proxy.set(Fault::Drip { bytes: 100, every: 2 * LONG }).await;
    assert_answers(&mut connection).await;
    assert_hangs(&mut connection).await;
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connection).await;
}

#[tokio::test]
async fn garbage() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    proxy.set(Fault::Garbage).await;
    let error = ping_within(&mut connection, LONG).await.expect_err("garbage");
    assert_eq!(error.kind(), redis::ErrorKind::Parse, "{error:?}");
    assert_eq!(server.commands_processed("ping").await, 0);
    assert!(connect_within(&proxy.url(), LONG).await.is_err());
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connect(&proxy.url()).await).await;
}

#[tokio::test]
async fn error_reply() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    proxy.set(Fault::loading()).await;
    for connection in [&mut connection, &mut connect(&proxy.url()).await] {
        for _ in 0..3 {
            let error = ping_within(connection, LONG).await.expect_err("LOADING");
            assert_eq!(code(&error), "LOADING");
        }
    }
    let mut pipeline = redis::pipe();
    let pipeline = pipeline.cmd("GET").arg("a").cmd("GET").arg("b");
    let error = pipeline.exec_async(&mut connection).await.expect_err("LOADING");
    assert_eq!(error.into_server_errors().expect("errors").len(), 2, "one for each command");
    assert_eq!(server.commands_processed("ping").await, 0);
    proxy.set(Fault::Pass).await;
    assert_answers(&mut connection).await;
}

#[tokio::test]
async fn error_reply_to_one_command() {
    let (_server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    proxy.set(Fault::ErrorReplyTo { command: "set".into(), error: "OOM full".into() }).await;
    // One after the other on one wire: the proxy's answers must stay in their places.
    let mut pipeline = redis::pipe();
    let pipeline = pipeline.cmd("ECHO").arg("first").cmd("SET").arg("key").arg(1).cmd("PING");
    let answers: Vec<RedisResult<String>> =
        pipeline.ignore_errors().query_async(&mut connection).await.expect("three answers");
    assert_eq!(answers[0].as_deref(), Ok("first"));
    assert_eq!(code(answers[1].as_ref().expect_err("OOM")), "OOM");
    assert_eq!(answers[2].as_deref(), Ok("PONG"));
}

#[tokio::test]
async fn lose_next_answer() {
    let (server, proxy) = proxied().await;
    let mut other = connect(&proxy.url()).await;
    let mut connection = connect(&proxy.url()).await;
    connection.set_response_timeout(LONG);
    proxy.set(Fault::lose_answer_to("incr")).await;
    assert_answers(&mut connection).await;
    let incr = redis::cmd("INCR").arg("key").to_owned();
    let error = incr.exec_async(&mut connection).await.expect_err("the answer is lost");
    assert!(error.is_connection_dropped(), "{error:?}");
    assert_eq!(server.query::<i32>(&["GET", "key"]).await, Ok(1), "yet it was done");
    assert_eq!(proxy.fault(), Fault::Pass);
    assert_answers(&mut other).await;
    incr.exec_async(&mut connect(&proxy.url()).await).await.expect("once only");

    proxy.set(Fault::LoseNextAnswer(None)).await;
    assert_lost(&mut other).await;
    assert_eq!(server.commands_processed("ping").await, 3);
}
