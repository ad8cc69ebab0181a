//! What protoc and a build script would write: two messages and two services of one method.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use evenkeel::layer::RedisStatus;
use http::{Request, Response};
use tonic::{
    Status,
    body::Body,
    server::{Grpc, NamedService},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HelloRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HelloReply {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(bool, tag = "2")]
    pub(crate) redis_available: bool,
}

/// Answers always, and says whether Redis is there.
#[derive(Debug, Clone)]
pub(crate) struct Greeter;

/// The same, for behind a `RequireRedisLayer`.
#[derive(Debug, Clone)]
pub(crate) struct StrictGreeter;

impl NamedService for Greeter {
    const NAME: &'static str = "evenkeel.example.Greeter";
}

impl NamedService for StrictGreeter {
    const NAME: &'static str = "evenkeel.example.StrictGreeter";
}

async fn hello(
    request: tonic::Request<HelloRequest>,
) -> Result<tonic::Response<HelloReply>, Status> {
    let redis = request.extensions().get::<RedisStatus>();
    let redis_available = redis.is_some_and(|redis| redis.is_available());
    let text = format!("Hello, {}!", request.get_ref().name);
    Ok(tonic::Response::new(HelloReply { text, redis_available }))
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

fn serve(request: Request<Body>) -> Answer {
    Box::pin(async move {
        if !request.uri().path().ends_with("/Hello") {
            return Ok(Status::unimplemented("there is one method: Hello").into_http());
        }
        let codec = ProstCodec::<HelloReply, HelloRequest>::default();
        Ok(Grpc::new(codec).unary(service_fn(hello), request).await)
    })
}

impl Service<Request<Body>> for Greeter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        serve(request)
    }
}

impl Service<Request<Body>> for StrictGreeter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        serve(request)
    }
}
