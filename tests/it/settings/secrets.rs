//! A password never appears in a log line, an error, a health answer, a metric or a `Debug` output,
//! right or wrong.

use std::{error::Error as _, fmt::Write, time::Duration};

use evenkeel::{
    health::{Backoff, HealthConfig},
    health_router::HealthRouter,
    redis::{Redis, RedisConfig, RedisUrl},
    telemetry::Metrics,
};
use http_body_util::{BodyExt, Full};
use redis::cmd;
use tower::ServiceExt;

use super::{
    gateway::{Gateway, LONG, run},
    support::{LogCapture, RedisServer, eventually},
};

const SECRET: &str = "hunter2-p4ss";

/// Everything that the handle lets out while commands are tried, as one text.
async fn all_that_is_said(server: &RedisServer, password: &str) -> String {
    let logs = LogCapture::start();
    let url = format!("redis://:{password}@{}/0", server.addr());
    let url: RedisUrl = url.parse().unwrap();
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(50));
    let metrics = Metrics::prometheus("secrets", "test");
    let config = RedisConfig::new(url.clone())
        .with_health(HealthConfig::new("redis").with_backoff(backoff))
        .with_metrics(metrics.clone());
    let mut said = format!("{url} {url:?} {config:?}");
    let redis = Redis::new(config).unwrap();
    let settled = eventually(LONG, || async {
        let status = redis.monitor().status();
        status.is_available() || status.last_fault.is_some()
    });
    assert!(settled.await);
    let connection = redis.connection();
    write!(said, "{redis:?} {connection:?} {:?}", redis.monitor().details()).unwrap();
    for command in [cmd("GET").arg(SECRET), cmd("INCR").arg("list"), cmd("AUTH").arg(SECRET)] {
        let Err(error) = redis.query::<i64>(command).await else { continue };
        write!(said, "{error} {error:?}").unwrap();
        let mut source = error.source();
        while let Some(error) = source {
            write!(said, "{error} {error:?}").unwrap();
            source = error.source();
        }
    }
    let health = HealthRouter::new(redis.monitor()).with_metrics(&metrics);
    for path in ["/health", "/health/dependencies", "/metrics"] {
        let request = http::Request::get(path).body(Full::<bytes::Bytes>::default()).unwrap();
        let answer = health.clone().oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        said.push_str(&String::from_utf8_lossy(&body));
    }
    for line in logs.lines() {
        write!(said, "{} {}", line.message, line.fields).unwrap();
    }
    said
}

#[tokio::test]
async fn of_the_library() {
    let server = RedisServer::builder().password(SECRET).start().await;
    let said = all_that_is_said(&server, SECRET).await;
    assert!(said.contains("connected") && !said.contains(SECRET), "{said}");
    let said = all_that_is_said(&server, &format!("{SECRET}-wrong")).await;
    assert!(said.contains("WRONGPASS") && !said.contains(SECRET), "{said}");
    server.kill();
    let said = all_that_is_said(&server, SECRET).await;
    assert!(said.contains("refused") && !said.contains(SECRET), "{said}");
}

async fn of_a_gateway(variables: &[(&str, &str)], expected: &str) {
    let mut variables = variables.to_vec();
    variables.extend([("RUST_LOG", "trace"), ("REDIS_BACKOFF", "20ms..50ms")]);
    let gateway = Gateway::start(&variables).await;
    let known = eventually(LONG, || async {
        gateway.get("/health/dependencies").await.is_some_and(|body| body.contains(expected))
    });
    assert!(known.await, "{:?}", gateway.get("/health/dependencies").await);
    let mut said = String::new();
    for path in ["/", "/strict", "/soft", "/health", "/health/dependencies", "/metrics", "/none"] {
        said += &gateway.get(path).await.unwrap();
    }
    said += &gateway.stop().await;
    assert!(!said.contains(SECRET), "{said}");
}

#[tokio::test]
async fn of_the_gateway() {
    let server = RedisServer::builder().password(SECRET).start().await;
    let (port, addr) = (server.port().to_string(), server.addr());
    let wrong = format!("{SECRET}-wrong");
    let by_url = |password: &str| format!("redis://:{password}@{addr}/0");
    let connected = "\"connectionState\":\"connected\"";
    of_a_gateway(&[("REDIS_URL", &by_url(SECRET))], connected).await;
    of_a_gateway(&[("REDIS_URL", &by_url(&wrong))], "WRONGPASS").await;
    of_a_gateway(&[("REDIS_PORT", &port), ("REDIS_PASSWORD", SECRET)], connected).await;
    of_a_gateway(&[("REDIS_PORT", &port), ("REDIS_PASSWORD", &wrong)], "WRONGPASS").await;
    let socket = format!("unix:///no/such/socket?pass={SECRET}");
    of_a_gateway(&[("REDIS_URL", &socket)], "refused").await;
}

/// It is refused, and no three characters of the secret are said.
async fn refused(variables: &[(&str, &str)]) {
    let output = run(variables).await;
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(2), "{variables:?}: {said}");
    for part in ["QX4", "X4Z", "ZW5", "W58", "458", "KV/", "JQ@", "123", "345", "45?", "54/"] {
        assert!(!said.contains(part), "{part:?} of {variables:?}: {said}");
    }
}

/// With all that ends the address for a parser of URLs. No three characters of it are in any
/// message.
const SPLIT: &str = "QX4#ZW58?KV/JQ@X:458";

#[tokio::test]
async fn of_a_url_that_cannot_be_read() {
    for secret in [SPLIT, "12345#QX4Z", "45?QX4Z", "54/QX4Z", "QX4Z"] {
        for url in [
            format!("redis://:{secret}@"),
            format!("redis://user:{secret}@host:port"),
            format!("rediss://user:{secret}@host/#insecure"),
            format!("redis://user:{secret}@host?protocol=4"),
            format!("redis-sentinel://user:{secret}@a:1,b:2/"),
            format!("redis-cluster://user:{secret}@a:1,b:2/main"),
            format!("redis-cluster://user:{secret}@a:1,user:{secret}@b:2"),
            format!("unix://:{secret}@/run/redis.sock"),
            format!("unix:///run/redis.sock?password={secret}"),
            format!("redis://host/0?password={secret}"),
            format!("http://user:{secret}@host"),
            format!("{secret}@host"),
        ] {
            refused(&[("REDIS_URL", &url)]).await;
        }
    }
    for url in ["redis://default:QX4ZW58K", "redis://:QX4#ZW58", "QX4ZW58K"] {
        refused(&[("REDIS_URL", url)]).await;
    }
    refused(&[("REDIS_HOST", "no host"), ("REDIS_PASSWORD", SPLIT)]).await;
    refused(&[("REDIS_HOST", SPLIT), ("REDIS_PASSWORD", SPLIT)]).await;
    refused(&[("REDIS_HOST", "user:QX4ZW58@host")]).await;
}
