//! Refusals: what a client is told when an answer cannot be given now.
//!
//! A [`Refusal`] is a plain value: why, and when to come back. It becomes a response in the form
//! that the request asks for, and it is in the extensions of that response in every form, also
//! where [a closure](crate::layer::RequireRedisLayer::with_refusal) has replaced it:
//!
//! | the request says | the answer |
//! | --- | --- |
//! | nothing special | 503 or 429 (400 where the request names no client, 500 where the server cannot tell) with a JSON body |
//! | `accept: application/problem+json` | the same as [RFC 9457] problem details |
//! | `content-type: application/grpc…` | HTTP 200, trailers only, `grpc-status`, with `RetryInfo` |
//!
//! ```
//! use evenkeel::respond::{Refusal, RefusalKind};
//!
//! fn log(response: &http::Response<String>) {
//!     if let Some(refusal) = response.extensions().get::<Refusal>() {
//!         match refusal.kind() {
//!             RefusalKind::Unavailable { state } => println!("refused: Redis is {state}"),
//!             kind => println!("refused: {kind:?}"),
//!         }
//!     }
//! }
//! # log(&http::Response::default());
//! ```
//!
//! # When Redis is down
//!
//! No refusal causes I/O. The wait that it names comes from the monitor's schedule, spread by
//! jitter, so that those who are refused together do not come back together.
//!
//! [RFC 9457]: https://www.rfc-editor.org/rfc/rfc9457

mod accept;
mod body;
mod grpc;
mod json;
mod refusal;
mod replace;
mod response;

pub use body::ResponseBody;
pub use refusal::{Refusal, RefusalKind};
pub use replace::{RefusalResponse, StandardRefusal};

pub(crate) use accept::prefers;
