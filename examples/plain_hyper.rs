//! The layers round a hyper service, without a framework:
//! `cargo run --release --example plain_hyper`.
//!
//! `GET /strict` needs Redis, `GET /soft` says whether it is there, `/health` and its neighbours
//! tell more. `LISTEN_ADDR` (default `127.0.0.1:3003`) and the settings of Redis come from the
//! environment.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks to its user")]

#[path = "support/env.rs"]
mod env;

use std::{
    convert::Infallible, error::Error, io::IsTerminal, net::SocketAddr, process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use env::var;
use evenkeel::{
    health_router::HealthRouter,
    layer::{CheckRedisLayer, RedisStatus, RequireRedisLayer},
    redis::{Redis, RedisConfig},
};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, signal};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> ExitCode {
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(colours).init();
    let settings = RedisConfig::from_env().and_then(|redis| {
        let form = "an address and a port, as 127.0.0.1:3003";
        let default = SocketAddr::from(([127, 0, 0, 1], 3003));
        Ok((redis, var("LISTEN_ADDR", form)?.unwrap_or(default)))
    });
    let (redis, address) = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("plain_hyper: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(redis, address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plain_hyper: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(redis: RedisConfig, address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let redis = Redis::new(redis)?;
    let monitor = redis.monitor();
    let strict = RequireRedisLayer::new(monitor).layer(service_fn(strict));
    let routes = service_fn(move |request: Request<Incoming>| {
        let strict = strict.clone();
        async move {
            match request.uri().path() {
                "/strict" => strict.oneshot(request).await,
                "/soft" => Ok(soft(&request)),
                _ => Ok(json(StatusCode::NOT_FOUND, r#"{"error":"Not Found"}"#)),
            }
        }
    });
    // Health in front of everything, and the status of Redis in every request.
    let service = ServiceBuilder::new()
        .layer(HealthRouter::new(monitor).layer())
        .layer(CheckRedisLayer::new(monitor))
        .service(routes);

    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("hyper on http://{address} (Ctrl-C stops it). Try /soft, /strict and /health");

    let server = auto::Builder::new(TokioExecutor::new());
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(asked_to_stop());
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of descriptors: the next one may find some.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        let service = TowerToHyperService::new(service.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let connection = open.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    open.shutdown().await;
    redis.monitor().shutdown().await;
    println!("stopped");
    Ok(())
}

async fn strict(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(json(StatusCode::OK, r#"{"ok":true}"#))
}

fn soft<B: From<Bytes>>(request: &Request<Incoming>) -> Response<B> {
    let redis = request.extensions().get::<RedisStatus>();
    let available = redis.is_some_and(|redis| redis.is_available());
    json(StatusCode::OK, format!(r#"{{"redisAvailable":{available}}}"#))
}

fn json<B: From<Bytes>>(status: StatusCode, body: impl Into<Bytes>) -> Response<B> {
    let mut response = Response::new(B::from(body.into()));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
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
