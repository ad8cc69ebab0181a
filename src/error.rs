//! The crate's one error: opaque, with a kind.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

use crate::health::Fault;

/// What went wrong, for code that has to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Redis is known to be away, or this request has used up its wait: nothing was sent.
    Unavailable,
    /// Sent, and not answered within the deadline. It may have taken effect.
    Timeout,
    /// The connection broke before the answer. It may have taken effect.
    Connection,
    /// Redis answered that it cannot do this now (`LOADING`, `READONLY`, `OOM`, …).
    Refused,
    /// Redis answered this command with an error of its own (`WRONGTYPE`, `ERR …`), or with
    /// something that is not of the type asked for.
    Command,
    /// A setting cannot be read or does not make sense.
    Config,
    /// The input is not acceptable.
    Invalid,
}

/// The error of this crate.
///
/// It says what happened in [`kind`](Self::kind) and in its message; where a library beneath has
/// more to say, [`source`](StdError::source) has it. No message holds a password, a
/// Redis key or a value.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    fault: Option<Fault>,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, fault: None, message: message.into(), source: None }
    }

    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    #[cfg_attr(not(feature = "redis"), allow(dead_code))]
    pub(crate) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// What went wrong.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The fault that was met, when this is about Redis and not about one command.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Redis did not serve: another answer has to be found without it. `false` for an error that is
    /// about the command, the settings or the input.
    pub const fn is_unavailable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unavailable
                | ErrorKind::Timeout
                | ErrorKind::Connection
                | ErrorKind::Refused
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind)
            .field("fault", &self.fault)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}
