//! A tonic server with the layers, and nothing that needs protoc:
//! `cargo run --release --example grpc`.
//!
//! `evenkeel.example.Greeter` says whether Redis is there (`RATE_LIMIT` times, by default 100 a
//! minute), `evenkeel.example.StrictGreeter` needs it, and `grpc.health.v1` tells of both.
//! `cargo run --example grpc -- hello NAME` and `… -- strict NAME` are clients of the running
//! server. `LISTEN_ADDR` (default `127.0.0.1:3002`) and the settings of Redis come from the
//! environment.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

mod client;
#[path = "../support/env.rs"]
mod env;
mod greeter;

use std::{error::Error, io::IsTerminal, net::SocketAddr, process::ExitCode};

use env::var;
use evenkeel::{
    grpc_health::follow_redis,
    layer::{CheckRedisLayer, RateLimitLayer, RequireRedisLayer},
    redis::{Redis, RedisConfig},
    store::rate::Quota,
};
use greeter::{Greeter, StrictGreeter};
use tokio::{net::TcpListener, signal};
use tonic::{
    server::NamedService,
    service::LayerExt,
    transport::{Server, server::TcpIncoming},
};

#[tokio::main]
async fn main() -> ExitCode {
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).init();
    let settings = RedisConfig::from_env().and_then(|redis| {
        let form = "an address and a port, as 127.0.0.1:3002";
        let default = SocketAddr::from(([127, 0, 0, 1], 3002));
        let address = var("LISTEN_ADDR", form)?.unwrap_or(default);
        let quota = var("RATE_LIMIT", "count/period, as 100/60s")?;
        Ok((redis, address, quota.unwrap_or(Quota::per_minute(100))))
    });
    let (redis, address, quota) = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("grpc: {error}");
            return ExitCode::from(2);
        }
    };
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => serve(redis, address, quota).await,
        ["hello", name] => client::hello::<Greeter>(address, name).await,
        ["strict", name] => client::hello::<StrictGreeter>(address, name).await,
        _ => Err("usage: grpc, grpc hello NAME, or grpc strict NAME".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("grpc: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(
    redis: RedisConfig,
    address: SocketAddr,
    quota: Quota,
) -> Result<(), Box<dyn Error>> {
    let redis = Redis::new(redis)?;
    let monitor = redis.monitor();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<Greeter>().await;
    tokio::spawn(follow_redis(monitor, reporter, ["redis", StrictGreeter::NAME]));

    // By the client's address, which tonic's server tells (feature `tonic`).
    let limit = RateLimitLayer::new(&redis, quota);

    let listener = TcpListener::bind(address).await?;
    println!("gRPC on {} (Ctrl-C stops it). Try, in another terminal:", listener.local_addr()?);
    println!("  cargo run --example grpc -- hello Ada     says whether Redis is there");
    println!("  cargo run --example grpc -- strict Ada    refused while Redis is away");

    Server::builder()
        .layer(CheckRedisLayer::new(monitor))
        .add_service(health)
        .add_service(limit.named_layer(Greeter))
        .add_service(RequireRedisLayer::new(monitor).named_layer(StrictGreeter))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), asked_to_stop())
        .await?;
    redis.monitor().shutdown().await;
    println!("stopped");
    Ok(())
}

async fn asked_to_stop() {
    let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}
