//! [`Served`]: an answer that says where it comes from.

use std::ops::Deref;

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Redis.
    Redis,
    /// This process' memory.
    Memory,
    /// The application's database.
    Database,
    /// No store at all: it is the default that the caller gave.
    Fallback,
}

impl Source {
    /// The word on the wire and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Memory => "memory",
            Self::Database => "database",
            Self::Fallback => "fallback",
        }
    }
}

/// A value, and where it comes from. Reads as the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served<T> {
    /// The answer.
    pub value: T,
    /// Where it comes from.
    pub source: Source,
}

impl<T> Served<T> {
    /// This value, from there.
    pub const fn new(value: T, source: Source) -> Self {
        Self { value, source }
    }

    /// Whether it was given without Redis.
    pub fn is_degraded(&self) -> bool {
        self.source != Source::Redis
    }

    /// The same source, with a value made of this one.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Served<U> {
        Served { value: f(self.value), source: self.source }
    }
}

impl<T> Deref for Served<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
