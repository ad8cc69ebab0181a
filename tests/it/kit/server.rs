//! The server's life, its settings and its role.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use tokio::net::TcpStream;

use super::{
    LONG, assert_answers, assert_hangs, assert_lost, assert_refused, code, connect, ping_within,
};
use crate::support::{Port, RedisServer, eventually};

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
    let (_program, name) = concat!(module_path!(), "::server_ends_with_a_killed_test")
        .split_once("::")
        .expect("a module");
    let mut test = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture"])
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
