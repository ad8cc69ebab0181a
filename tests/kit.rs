//! Proves the test kit itself: every fault is seen with a plain client, and goes away again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::Level;

mod support;
use support::{
    Cluster, Fault, FaultProxy, Frame, Framer, LogCapture, Port, RedisServer, Sentinel, eventually,
    free_port,
};

/// For what must answer: long enough for a loaded machine.
const LONG: Duration = Duration::from_secs(20);
/// For what must not answer.
const SHORT: Duration = Duration::from_millis(250);

// --- the client's side ---

async fn connect_within(url: &str, patience: Duration) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

async fn connect(url: &str) -> MultiplexedConnection {
    connect_within(url, LONG).await.expect("a connection")
}

async fn ping_within(
    connection: &mut MultiplexedConnection,
    patience: Duration,
) -> RedisResult<String> {
    connection.set_response_timeout(patience);
    redis::cmd("PING").query_async(connection).await
}

/// PING, and how long its answer took.
async fn timed_ping(connection: &mut MultiplexedConnection) -> Duration {
    let asked = Instant::now();
    let answer = ping_within(connection, LONG).await;
    assert_eq!(answer.as_deref(), Ok("PONG"));
    asked.elapsed()
}

async fn assert_answers(connection: &mut MultiplexedConnection) {
    timed_ping(connection).await;
}

async fn assert_hangs(connection: &mut MultiplexedConnection) {
    let error = ping_within(connection, SHORT).await.expect_err("no answer");
    assert!(error.is_timeout(), "{error:?}");
}

async fn assert_lost(connection: &mut MultiplexedConnection) {
    let error = ping_within(connection, LONG).await.expect_err("a lost connection");
    assert!(error.is_connection_dropped(), "{error:?}");
}

async fn assert_refused(url: &str) {
    let error = connect_within(url, LONG).await.expect_err("a refused connection");
    assert!(error.is_connection_refusal(), "{error:?}");
}

/// Reads what is there; an end or silence fails the test.
async fn read(socket: &mut TcpStream) -> std::io::Result<String> {
    let mut bytes = [0; 256];
    let length = timeout(LONG, socket.read(&mut bytes)).await.expect("no silence")?;
    assert_ne!(length, 0, "the connection has ended");
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn code(error: &RedisError) -> &str {
    error.code().unwrap_or_default()
}

async fn proxied() -> (RedisServer, FaultProxy) {
    let server = RedisServer::start().await;
    let proxy = FaultProxy::in_front_of(&server).await;
    (server, proxy)
}

// --- ports and waiting ---

#[test]
fn ports_are_not_given_twice() {
    let ports: Vec<Port> = (0..50).map(|_| Port::take()).collect();
    let numbers: BTreeSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(numbers.len(), ports.len());
    assert!(Port::reserve(ports[0].number()).is_none());
}

#[tokio::test]
async fn nothing_listens_on_a_free_port() {
    let error = TcpStream::connect(("127.0.0.1", free_port())).await.expect_err("nobody there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn eventually_tells_true_from_never() {
    let mut asked = 0;
    let third_time = eventually(LONG, || {
        asked += 1;
        let now = asked == 3;
        async move { now }
    });
    assert!(third_time.await);
    assert!(!eventually(Duration::from_millis(20), || async { false }).await);
    assert!(eventually(Duration::ZERO, || async { true }).await);
}

// --- the server ---

#[tokio::test]
async fn server_answers_and_counts() {
    let server = RedisServer::start().await;
    assert!(server.is_running());
    assert_eq!(server.connected_clients().await, 0);
    assert_eq!(server.commands_processed("ping").await, 0);
    let mut connection = connect(&server.url()).await;
    assert_answers(&mut connection).await;
    assert_answers(&mut connection).await;
    assert_eq!(server.connected_clients().await, 1);
    assert_eq!(server.commands_processed("PING").await, 2);
    assert!(server.info("server").await.expect("INFO").contains("redis_version"));
    drop(connection);
    assert!(eventually(LONG, || async { server.connected_clients().await == 0 }).await);
}

#[tokio::test]
async fn server_asks_for_its_password() {
    let server = RedisServer::builder().password("open sesame".replace(' ', "-").as_str());
    let server = server.start().await;
    let mut stranger = connect(&server.url()).await;
    let error = ping_within(&mut stranger, LONG).await.expect_err("NOAUTH");
    assert_eq!(code(&error), "NOAUTH");
    assert_answers(&mut connect(&server.url_with_password()).await).await;
    server.restart().await;
    server.cli(&["PING"]).await.expect("the kit's own password");
}

#[tokio::test]
async fn frozen_server_hangs_until_thawed() {
    let server = RedisServer::start().await;
    let mut connection = connect(&server.url()).await;
    for _ in 0..3 {
        server.freeze();
        assert!(server.is_running());
        assert_hangs(&mut connection).await;
        TcpStream::connect(server.addr()).await.expect("the kernel still accepts");
        server.thaw();
        assert_answers(&mut connection).await;
    }
    server.freeze();
    server.restart().await;
    assert_answers(&mut connect(&server.url()).await).await;
}

#[tokio::test]
async fn killed_server_refuses_and_comes_back_empty() {
    let server = RedisServer::start().await;
    let port = server.port();
    let mut connection = connect(&server.url()).await;
    server.cli(&["SET", "key", "1"]).await.expect("SET");
    server.kill();
    assert!(!server.is_running());
    assert_lost(&mut connection).await;
    assert_refused(&server.url()).await;
    server.restart().await;
    assert_eq!(server.port(), port);
    assert_eq!(server.query::<Option<i32>>(&["GET", "key"]).await, Ok(None));
    server.shutdown().await;
    assert!(!server.is_running());
    assert!(server.log().contains("bye bye"), "it ended by itself");
}

#[tokio::test]
async fn persistent_server_keeps_its_data_until_emptied() {
    let server = RedisServer::builder().persistent(true).start().await;
    server.cli(&["SET", "key", "1"]).await.expect("SET");
    server.kill();
    server.restart().await;
    assert_eq!(server.query::<Option<i32>>(&["GET", "key"]).await, Ok(Some(1)));
    server.restart().await;
    assert_eq!(server.query::<Option<i32>>(&["GET", "key"]).await, Ok(Some(1)));
    server.restart_empty().await;
    assert_eq!(server.query::<Option<i32>>(&["GET", "key"]).await, Ok(None));
}

#[tokio::test]
async fn loading_server_is_seen_loading_on_demand_only() {
    let settings = RedisServer::builder().persistent(true).arg("key-load-delay", 400);
    let server = settings.start().await;
    let fill = "for i = 1, 5000 do redis.call('SET', i, i) end";
    server.cli(&["EVAL", fill, "0"]).await.expect("EVAL");
    server.restart_loading().await;
    let error = server.cli(&["GET", "5000"]).await.expect_err("LOADING");
    assert_eq!(code(&error), "LOADING");
    server.restart().await;
    assert_eq!(server.query::<i32>(&["GET", "5000"]).await, Ok(5000));
}

#[tokio::test]
async fn older_dump_rolls_back() {
    for persistent in [false, true] {
        let server = RedisServer::builder().persistent(persistent).start().await;
        server.cli(&["SET", "key", "old"]).await.expect("SET");
        let dump = server.save_dump().await;
        server.cli(&["SET", "key", "new"]).await.expect("SET");
        server.cli(&["SET", "other", "new"]).await.expect("SET");
        server.restart_from(&dump).await;
        let values: (String, Option<String>) =
            server.query(&["MGET", "key", "other"]).await.expect("MGET");
        assert_eq!(values, ("old".to_owned(), None));
        if persistent {
            server.cli(&["SET", "later", "1"]).await.expect("SET");
            server.kill();
            server.restart().await;
            let values: (String, String) =
                server.query(&["MGET", "key", "later"]).await.expect("MGET");
            assert_eq!(values, ("old".to_owned(), "1".to_owned()));
        }
    }
}

#[tokio::test]
async fn server_takes_settings() {
    let server = RedisServer::builder()
        .arg("maxmemory", "2mb")
        .arg("maxmemory-policy", "noeviction")
        .start()
        .await;
    let value = "x".repeat(100_000);
    let mut error = None;
    for key in 0..30 {
        error = error.or(server.cli(&["SET", &key.to_string(), &value]).await.err());
    }
    assert_eq!(code(&error.expect("3 MB do not fit into 2 MB")), "OOM");
    server.flushall().await;
    server.cli(&["SET", "key", "1"]).await.expect("SET");
    server.cli(&["DEBUG", "SLEEP", "0"]).await.expect("DEBUG is allowed");
}

#[tokio::test]
async fn replica_follows_and_is_promoted() {
    let (master, replica) = tokio::join!(RedisServer::start(), RedisServer::start());
    master.cli(&["SET", "key", "1"]).await.expect("SET");
    replica.replica_of(&master).await;
    assert_eq!(replica.query::<i32>(&["GET", "key"]).await, Ok(1));
    assert_eq!(master.connected_clients().await, 0, "a replica is no client");
    let error = replica.cli(&["SET", "key", "2"]).await.expect_err("read only");
    assert_eq!(code(&error), "READONLY");
    replica.promote().await;
    replica.cli(&["SET", "key", "2"]).await.expect("SET");
}

#[tokio::test]
async fn fixed_port_is_used() {
    let port = Port::take();
    let number = port.number();
    drop(port);
    let server = RedisServer::builder().port(number).start().await;
    assert_eq!(server.port(), number);
    server.cli(&["PING"]).await.expect("PING");
}

#[tokio::test]
async fn dropped_server_is_gone() {
    let server = RedisServer::start().await;
    let addr = server.addr();
    server.freeze();
    drop(server);
    assert!(TcpStream::connect(addr).await.is_err());
}

/// Runs itself a second time, as the process that is killed.
#[tokio::test]
async fn server_ends_with_a_killed_test() {
    const ROLE: &str = "EVENKEEL_KIT_IS_KILLED";
    if std::env::var_os(ROLE).is_some() {
        let server = RedisServer::start().await;
        println!("\nserver on port {}", server.port());
        tokio::time::sleep(3 * LONG).await;
        panic!("was not killed");
    }
    let mut test = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "server_ends_with_a_killed_test", "--nocapture"])
        .env(ROLE, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second test process");
    let output = BufReader::new(test.stdout.take().expect("its output"));
    let port = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("server on port ")?.parse::<u16>().ok())
        .expect("the server's port");
    let connects = || async move { TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
    assert!(connects().await);
    test.kill().expect("kill");
    test.wait().expect("wait");
    assert!(eventually(LONG, || async move { !connects().await }).await);
}

// --- the proxy ---

#[tokio::test]
async fn proxy_passes_and_counts() {
    let (server, proxy) = proxied().await;
    let before = Instant::now();
    let mut first = connect(&proxy.url()).await;
    let mut second = connect(&proxy.url()).await;
    assert_answers(&mut first).await;
    assert_answers(&mut second).await;
    assert_eq!((proxy.connections(), proxy.accepted()), (2, 2));
    assert!(proxy.accept_times().iter().all(|at| *at >= before));
    let value = "x".repeat(5_000_000);
    let mut set = redis::cmd("SET");
    set.arg("key").arg(&value).exec_async(&mut first).await.expect("SET");
    let got: String = redis::cmd("GET").arg("key").query_async(&mut first).await.expect("GET");
    assert!(got == value, "{} bytes came back", got.len());

    proxy.cut_all().await;
    assert_eq!((proxy.connections(), proxy.accepted()), (0, 2));
    assert_lost(&mut first).await;
    assert_lost(&mut second).await;
    let third = connect(&proxy.url()).await;
    assert_eq!(proxy.connections(), 1);
    drop(third);
    assert!(eventually(LONG, || async { proxy.connections() == 0 }).await);
    assert!(eventually(LONG, || async { server.connected_clients().await == 0 }).await);
}

#[tokio::test]
async fn proxy_passes_on_a_dead_server() {
    let (server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    server.kill();
    assert_lost(&mut connection).await;
    assert!(connect_within(&proxy.url(), LONG).await.is_err());
    server.restart().await;
    assert_answers(&mut connect(&proxy.url()).await).await;
}

#[tokio::test]
async fn proxy_follows_a_new_upstream() {
    let (_first, proxy) = proxied().await;
    let second = RedisServer::start().await;
    let mut old = connect(&proxy.url()).await;
    proxy.set_upstream(second.addr());
    let mut new = connect(&proxy.url()).await;
    assert_answers(&mut old).await;
    assert_eq!(second.commands_processed("ping").await, 0);
    assert_answers(&mut new).await;
    assert_eq!(second.commands_processed("ping").await, 1);
}

#[tokio::test]
async fn dropped_proxy_is_gone() {
    let (_server, proxy) = proxied().await;
    let mut connection = connect(&proxy.url()).await;
    let url = proxy.url();
    drop(proxy);
    assert_lost(&mut connection).await;
    assert_refused(&url).await;
}

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

// --- the framer ---

fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut framer = Framer::default();
    let mut frames = Vec::new();
    for piece in pieces {
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next_frame()));
    }
    frames
}

#[test]
fn framer_splits_wherever_the_bytes_are_cut() {
    let whole: [&[u8]; 12] = [
        b"+PONG\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$5\r\na\r\nbc\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$0\r\n\r\n",
        b"*2\r\n*1\r\n:1\r\n*2\r\n+a\r\n*0\r\n",
        b"%1\r\n+key\r\n~2\r\n#t\r\n_\r\n",
        b"|1\r\n+ttl\r\n:5\r\n*1\r\n,1.5\r\n",
        b"PING now\r\n",
    ];
    let all = whole.concat();
    for cut in 0..=all.len() {
        let (head, tail) = all.split_at(cut);
        let frames = frames(&[head, tail]);
        assert!(frames.iter().all(|frame| frame.is_resp), "cut at {cut}");
        let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame.data[..]).collect();
        assert_eq!(frames, whole, "cut at {cut}");
    }
}

#[test]
fn framer_knows_commands_and_pushes() {
    let all = frames(&[b"*2\r\n$3\r\nget\r\n$1\r\na\r\n", b"ping\r\n", b">1\r\n+x\r\n"]);
    assert_eq!(all[0].command().as_deref(), Some("GET"));
    assert_eq!(all[1].command().as_deref(), Some("PING"));
    assert!(all[2].is_push() && !all[1].is_push());
}

#[test]
fn framer_lets_other_bytes_pass() {
    let all = frames(&[b"+OK\r\n\x16\x03\x01", b"more", b"+OK\r\n"]);
    let kinds: Vec<bool> = all.iter().map(|frame| frame.is_resp).collect();
    assert_eq!(kinds, [true, false, false, false]);
    assert_eq!(&all[1].data[..], b"\x16\x03\x01");
    assert!(!frames(&[b"$x\r\n"])[0].is_resp);
}

// --- topologies ---

#[tokio::test]
async fn cluster_of_one_serves_all_slots() {
    let cluster = Cluster::start(1).await;
    for key in ["a", "b", "c", "d"] {
        cluster.nodes[0].cli(&["SET", key, "1"]).await.expect("every slot is its own");
    }
}

#[tokio::test]
async fn cluster_of_three_shares_the_slots() {
    let cluster = Cluster::start(3).await;
    assert_eq!(cluster.urls().len(), 3);
    let mut moved = 0;
    for key in ["a", "b", "c", "d", "e", "f"] {
        moved += usize::from(match cluster.nodes[0].cli(&["SET", key, "1"]).await {
            Ok(_) => false,
            Err(error) => code(&error) == "MOVED",
        });
    }
    assert!(moved > 0 && moved < 6, "{moved} of 6 keys moved");
    cluster.nodes[2].kill();
    let down = || async {
        let answer = cluster.nodes[0].cli(&["GET", "a"]).await;
        answer.is_err_and(|error| code(&error) == "CLUSTERDOWN")
    };
    assert!(eventually(2 * LONG, down).await);
    cluster.nodes[2].restart().await;
    assert!(eventually(2 * LONG, || async { !down().await }).await);
}

#[tokio::test]
async fn sentinel_promotes_the_replica() {
    let set = Sentinel::start().await;
    assert_eq!(set.name(), "mymaster");
    assert_eq!(set.master_port().await, Some(set.master.port()));
    set.master.kill();
    set.wait_for_failover().await;
    assert_eq!(set.master_port().await, Some(set.replica.port()));
    set.replica.cli(&["SET", "key", "1"]).await.expect("the new master takes writes");
}

#[tokio::test]
async fn sentinel_fails_over_on_demand() {
    let set = Sentinel::start().await;
    set.fail_over().await;
    assert_eq!(set.master_port().await, Some(set.replica.port()));
    let role = || async { set.master.info_field("replication", "role").await };
    assert!(eventually(2 * LONG, || async { role().await.as_deref() == Some("slave") }).await);
}

// --- logs ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_of_every_thread_are_collected() {
    let logs = LogCapture::start();
    tracing::info!(target: "evenkeel::health", port = 6379, "connected to {}", "redis");
    tracing::info!(target: "evenkeel_other", "not ours");
    tracing::error!(target: "hyper", "not ours");
    let spawned = tokio::spawn(async { tracing::debug!(target: "evenkeel", "a probe") });
    spawned.await.expect("a task");
    let blocking = || tracing::warn!(target: "evenkeel", password = "hunter2", "oh");
    tokio::task::spawn_blocking(blocking).await.expect("a thread");
    let lines = logs.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!((lines[0].message.as_str(), lines[0].level), ("connected to redis", Level::INFO));
    assert_eq!(
        (lines[0].fields.as_str(), lines[0].target.as_str()),
        ("port=6379", "evenkeel::health")
    );
    assert_eq!(logs.count_info(), 2);
    assert_eq!(logs.at_least(Level::WARN).len(), 1);
    assert!(logs.contains("hunter2") && !logs.contains("not ours"));
    logs.clear();
    assert!(logs.lines().is_empty());
}

#[test]
fn logs_of_two_runtimes_are_kept_apart() {
    let runtimes = [(), ()].map(|()| tokio::runtime::Runtime::new().expect("a runtime"));
    let captures =
        [0, 1].map(|index: usize| runtimes[index].block_on(async { LogCapture::start() }));
    runtimes[0].block_on(async { tracing::info!(target: "evenkeel", "one") });
    tracing::info!(target: "evenkeel", "outside");
    assert_eq!(captures.each_ref().map(|capture| capture.count_info()), [1, 0]);
    drop(captures);
    let outside = LogCapture::start();
    tracing::info!(target: "evenkeel", "outside");
    assert_eq!(outside.count_info(), 1);
}
