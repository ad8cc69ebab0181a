//! For your own tests: a monitor under manual control, and a service that insists on readiness.
//!
//! ```
//! use evenkeel::{
//!     health::Fault,
//!     layer::RequireRedisLayer,
//!     testing::{self, Strict},
//! };
//! use http::{Request, Response, StatusCode};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), std::convert::Infallible> {
//! let (monitor, mut control) = testing::monitor();
//! let inner = Strict::new(tower::service_fn(|_: Request<String>| async {
//!     Ok::<_, std::convert::Infallible>(Response::new(String::from("done")))
//! }));
//! let calls = inner.calls();
//! let service = ServiceBuilder::new().layer(RequireRedisLayer::new(&monitor)).service(inner);
//!
//! control.up();
//! let answer = service.clone().oneshot(Request::default()).await?;
//! assert_eq!(answer.status(), StatusCode::OK);
//!
//! control.down(Fault::HANG);
//! let answer = service.oneshot(Request::default()).await?;
//! assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(calls.count(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # When Redis is down
//!
//! There is no Redis here: it is up and down when [`ManualControl`] says so.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tower::Service;

use crate::health::HealthMonitor;
pub use crate::health::ManualControl;
#[cfg(feature = "session")]
#[doc(hidden)]
pub use crate::store::session::{
    bench::SealedSnapshot,
    fuzz::{any_record, read_record},
};

/// A monitor without a task and without Redis, and the control that sets its state. It begins as a
/// real one does: [`Connecting`](crate::health::State::Connecting). Needs no runtime.
///
/// What needs the task does nothing here: [`HealthMonitor::release`] and the recovery steps.
pub fn monitor() -> (HealthMonitor, ManualControl) {
    ManualControl::monitor()
}

/// A service that panics when it is called without having been polled ready before, and counts its
/// calls.
///
/// The law of [`Service`] lets a service panic then, but most are lenient, so that a layer that
/// calls a clone of the service that was polled goes unnoticed until it meets one that is not. A
/// clone is not ready.
#[derive(Debug)]
pub struct Strict<S> {
    inner: S,
    ready: bool,
    calls: Calls,
}

/// The calls that reached a [`Strict`] service and its clones.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// How many so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl<S> Strict<S> {
    /// Insists on readiness in front of `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, ready: false, calls: Calls::default() }
    }

    /// Counts the calls of this service and of its clones.
    pub fn calls(&self) -> Calls {
        self.calls.clone()
    }
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), ready: false, calls: self.calls.clone() }
    }
}

impl<S: Service<R>, R> Service<R> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let poll = self.inner.poll_ready(cx);
        self.ready = matches!(poll, Poll::Ready(Ok(())));
        poll
    }

    fn call(&mut self, request: R) -> S::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        self.calls.0.fetch_add(1, Ordering::SeqCst);
        self.inner.call(request)
    }
}
