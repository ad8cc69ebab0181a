//! `CheckRedisLayer` and `RequireRedisLayer`, round every kind of service, against a monitor that
//! is driven by hand.

mod grpc;
mod order;
mod readiness;
mod refusals;
mod stacks;

use std::convert::Infallible;

use bytes::Bytes;
use evenkeel::{
    health::{Fault, FaultClass, HealthMonitor},
    testing::{self, ManualControl},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

pub(crate) type Body = Full<Bytes>;

pub(crate) const OOM: Fault = Fault::new(FaultClass::WritesGone, "OOM");

pub(crate) fn up() -> (HealthMonitor, ManualControl) {
    let (monitor, mut control) = testing::monitor();
    control.up();
    (monitor, control)
}

pub(crate) fn down() -> (HealthMonitor, ManualControl) {
    let (monitor, mut control) = up();
    control.down(Fault::HANG);
    (monitor, control)
}

pub(crate) async fn done(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::from("done")))
}

pub(crate) async fn text<B>(response: Response<B>) -> String
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
