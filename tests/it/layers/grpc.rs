//! The gRPC form, read by tonic: from headers, and over a real connection.

use std::time::Duration;

use evenkeel::{
    health::Fault,
    layer::{CheckRedisLayer, RequireRedisLayer},
    respond::Refusal,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body::Body as _;
use tonic::{
    Code, Status,
    transport::{Endpoint, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use super::{Body, up};

fn grpc() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    headers
}

#[test]
fn trailers_only_with_details_that_tonic_reads() {
    let (monitor, _hand) = super::down();
    for (refusal, code, number) in [
        (Refusal::unavailable(&monitor), Code::Unavailable, "14"),
        (Refusal::rate_limited(Some(Duration::from_secs(1_000_000))), Code::ResourceExhausted, "8"),
    ] {
        let response: Response<Body> = refusal.response(&grpc());
        let seconds = refusal.retry_after().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.body().is_end_stream());
        assert_eq!(response.extensions().get(), Some(&refusal));
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc");
        assert_eq!(headers["grpc-status"], number);
        assert_eq!(headers["grpc-message"], refusal.message());
        assert_eq!(headers["grpc-retry-pushback-ms"], (seconds * 1000).to_string());
        assert!(!headers["grpc-status-details-bin"].to_str().unwrap().contains('='));
        assert_eq!(headers.len(), 5);

        let status = Status::from_header_map(headers).unwrap();
        assert_eq!((status.code(), status.message()), (code, refusal.message()));
        let details = status.check_error_details().unwrap();
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(seconds)));
    }
}

/// Byte for byte what prost makes of the same message.
#[test]
fn the_details_are_canonical_protobuf() {
    let refusal = Refusal::rate_limited(Some(Duration::from_secs(300)));
    let response: Response<Body> = refusal.response(&grpc());
    let details = tonic_types::ErrorDetails::with_retry_info(Some(Duration::from_secs(300)));
    let status = Status::with_error_details(Code::ResourceExhausted, refusal.message(), details);
    let theirs: Response<()> = status.into_http();
    let ours = &response.headers()["grpc-status-details-bin"];
    assert_eq!(ours, &theirs.headers()["grpc-status-details-bin"]);
}

#[test]
fn what_never_fits_is_not_to_be_retried() {
    let response: Response<Body> = Refusal::rate_limited(None).response(&grpc());
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "-1");
    let status = Status::from_header_map(response.headers()).unwrap();
    assert!(status.get_error_details().retry_info().is_none());
}

#[tokio::test]
async fn a_tonic_client_and_a_tonic_server() {
    let (monitor, mut control) = up();
    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .layer(CheckRedisLayer::new(&monitor))
        .layer(RequireRedisLayer::new(&monitor))
        .add_service(health)
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(listener));
    let server = tokio::spawn(server);

    let mut client = HealthClient::new(
        Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap(),
    );
    let check = || HealthCheckRequest { service: String::new() };
    client.check(check()).await.unwrap();
    control.down(Fault::HANG);
    let status = client.check(check()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_error_details().retry_info().is_some());
    assert!(status.metadata().get("grpc-retry-pushback-ms").is_some());
    control.up();
    client.check(check()).await.unwrap();

    control.down(Fault::HANG);
    one_frame_of_headers(address).await;
    server.abort();
}

/// On the wire the refusal is a single HEADERS frame that ends the stream.
async fn one_frame_of_headers(address: std::net::SocketAddr) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Body>(executor, io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://{address}/any.Service/Method"))
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .body(Body::default())
        .unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "14");
    assert!(response.body().is_end_stream());
    connection.abort();
}
