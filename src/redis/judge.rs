//! What an answer, or the lack of one, means for the caller, the monitor and the metrics.

use deadpool_redis::redis::RedisResult;

use super::{classify, conn::Reply, metrics::Outcome, shared::Failure};
use crate::{
    Error, ErrorKind,
    health::{Fault, FaultClass},
};

/// What came of sending.
pub(super) enum Sent {
    NoConnection,
    Answered(RedisResult<Reply>),
    Released,
    TimedOut,
}

/// What came of a call: for the metrics, the monitor, a second try, and the caller.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    pub(super) fault: Option<Fault>,
    /// The connection was lost under it.
    pub(super) lost: bool,
    pub(super) result: Result<Reply, Failure>,
}

pub(super) fn judge(sent: Sent) -> Judged {
    let failed = |outcome, fault, lost, error| Judged {
        outcome,
        fault,
        lost,
        result: Err(Failure::Own(error)),
    };
    match sent {
        Sent::Answered(Ok(reply)) => {
            let error = classify::server_error(&reply);
            // That a script is not known yet is how a script is sent.
            let is_error = error.is_some_and(|error| error.code() != "NOSCRIPT");
            let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
            let fault = error.and_then(|error| classify::of_server(error.code(), error.details()));
            Judged { outcome, fault, lost: false, result: Ok(reply) }
        }
        Sent::Answered(Err(error)) => {
            let fault = classify::of_error(&error);
            let lost = fault.is_some_and(|fault| fault.class() == FaultClass::Transport);
            Judged { outcome: Outcome::Error, fault, lost, result: Err(Failure::Client(error)) }
        }
        Sent::NoConnection => {
            let error = Error::new(ErrorKind::Unavailable, "there is no connection to Redis");
            failed(Outcome::Skipped, None, true, error)
        }
        Sent::Released => {
            let error = Error::new(ErrorKind::Connection, "Redis went away before it answered");
            failed(Outcome::Error, None, true, error)
        }
        Sent::TimedOut => {
            let error = Error::new(ErrorKind::Timeout, "no answer from Redis in time")
                .with_fault(Fault::HANG);
            failed(Outcome::Timeout, Some(Fault::HANG), false, error)
        }
    }
}
