//! What all layers do that decide about a request: pass it on, annotate it, or refuse it.
//!
//! A layer says *what* is decided ([`decide`]); *how* that is carried out stands here, once. The
//! decision is made in the call itself where memory or the monitor can make it. Only where Redis
//! has to be asked is anything boxed: the question, the request, and the service that was ready for
//! it.
//!
//! | file | |
//! | --- | --- |
//! | `decide.rs` | what a layer decides, and what it tells of it |
//! | `config.rs` | the rules of a layer and how it refuses, shared with its services |
//! | `service.rs` | the service of the layers that may have to ask Redis |
//! | `future.rs` | the response future of all layers that decide |

mod config;
#[cfg(feature = "redis")]
mod decide;
mod disposition;
mod future;
#[cfg(feature = "redis")]
mod service;

pub(super) use config::Config;
pub(super) use disposition::{Disposition, Unannotated};
pub use future::GateFuture;
#[cfg(feature = "redis")]
pub use service::Gate;
#[cfg(feature = "redis")]
pub(super) use {decide::Decide, disposition::Annotate};
