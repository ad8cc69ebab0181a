//! Refuses requests whose token is revoked, or cannot be judged: [`RevocationLayer`].

mod layer;
mod rules;

pub use layer::{Revocation, RevocationFuture, RevocationLayer};
