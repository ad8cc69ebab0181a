//! Why a value could not be loaded.

use std::{error::Error, fmt, sync::Arc};

/// Why there is no value: the loader has failed, and nothing older may be served in its place. It
/// is never about Redis. Shared by all who waited for the load.
#[derive(Debug, Clone)]
pub struct LoadError(Cause);

#[derive(Debug, Clone)]
enum Cause {
    Failed(Arc<dyn Error + Send + Sync>),
    Panicked,
    TimedOut,
    CoolingOff,
    Ended,
}

impl LoadError {
    pub(super) fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Cause::Failed(error.into().into()))
    }

    pub(super) const fn panicked() -> Self {
        Self(Cause::Panicked)
    }

    pub(super) const fn timed_out() -> Self {
        Self(Cause::TimedOut)
    }

    pub(super) const fn cooling_off() -> Self {
        Self(Cause::CoolingOff)
    }

    pub(super) const fn ended() -> Self {
        Self(Cause::Ended)
    }

    /// The loader's own error, if it has returned one of this type.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        match &self.0 {
            Cause::Failed(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// The loader has panicked.
    pub const fn is_panic(&self) -> bool {
        matches!(self.0, Cause::Panicked)
    }

    /// The loader took longer than its hard time-out.
    pub const fn is_timeout(&self) -> bool {
        matches!(self.0, Cause::TimedOut)
    }

    /// The loader was not asked, because it has failed again and again.
    pub const fn is_cooling_off(&self) -> bool {
        matches!(self.0, Cause::CoolingOff)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Cause::Failed(_) => "the loader failed",
            Cause::Panicked => "the loader panicked",
            Cause::TimedOut => "the loader took too long",
            Cause::CoolingOff => "the loader has failed repeatedly and is left alone for a while",
            Cause::Ended => "the runtime ended before the load did",
        })
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Cause::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_own_error_comes_through() {
        let error = LoadError::failed(std::io::Error::other("disk"));
        assert!(error.downcast_ref::<std::io::Error>().is_some());
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk"));
        assert!(LoadError::panicked().source().is_none() && LoadError::panicked().is_panic());
    }
}
