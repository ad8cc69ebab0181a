//! The probe: what the monitor asks of what it watches, and what it is answered.

use std::{future::Future, pin::Pin, time::Duration};

use super::Fault;

/// Which connection a probe is to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// The connections that are kept.
    Kept,
    /// A new one, made for this probe and dropped after it: can one be had?
    Fresh,
    /// New ones, which take the place of those that are kept when they serve.
    Renew,
    /// Both at once: is it the server or only the connection? Dead connections are to be replaced.
    Both,
}

/// How one probe is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeOptions {
    /// Over which connection it goes.
    pub via: Via,
    /// Whether a write is tried, too.
    pub write: bool,
    /// An answer that takes longer than this is late: a command would not have waited for it.
    pub late_after: Duration,
    /// The longest that the probe may take.
    pub deadline: Duration,
}

/// What a probe learned about writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Writes {
    /// A write worked.
    Work,
    /// A write was refused, or went unanswered while reads were answered.
    Gone(Fault),
    /// Not tried, or not allowed to try.
    Unknown,
}

/// A probe was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProbeAnswer {
    /// From the question to the answer, without the making of a connection.
    pub latency: Duration,
    /// What it says about writes.
    pub writes: Writes,
    /// It is another process than the one that was recovered last: it went and came back unseen,
    /// and data may be missing.
    pub restarted: bool,
}

impl ProbeAnswer {
    /// An answer after this time, which says nothing about writes.
    pub const fn new(latency: Duration) -> Self {
        Self { latency, writes: Writes::Unknown, restarted: false }
    }

    /// The same, with what was learned about writes.
    #[must_use]
    pub const fn with_writes(mut self, writes: Writes) -> Self {
        self.writes = writes;
        self
    }

    /// The same, from another process than before: the recovery steps run before it is used.
    #[must_use]
    pub const fn with_restarted(mut self, restarted: bool) -> Self {
        self.restarted = restarted;
        self
    }
}

/// What is known about the thing that is watched, safe to show to anyone.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Details {
    /// Where it is, without credentials.
    pub url: Option<String>,
    /// Its version, when it was last reached.
    pub server_version: Option<String>,
    /// `standalone`, `sentinel` or `cluster`.
    pub topology: Option<&'static str>,
    /// It may drop what it holds in order to make room; `None` when it does not say.
    pub may_evict: Option<bool>,
    /// What went through it.
    pub usage: Usage,
}

/// Counts of what an application did with a store: of its caches, where it has any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Reads of one value that found it.
    pub hits: u64,
    /// Reads of one value that found none.
    pub misses: u64,
    /// Values written.
    pub sets: u64,
    /// Values deleted.
    pub deletes: u64,
    /// Commands that failed.
    pub errors: u64,
}

impl Usage {
    /// Hits among hits and misses, 0 to 1; 0 before the first.
    pub fn hit_rate(&self) -> f64 {
        let asked = self.hits + self.misses;
        if asked == 0 { 0.0 } else { self.hits as f64 / asked as f64 }
    }
}

/// Something that a [`HealthMonitor`](super::HealthMonitor) can watch.
///
/// Redis is one; a database or another service can be another. A probe may take as long as it
/// likes: the monitor gives up at [`ProbeOptions::deadline`] and takes that for a hang. A probe
/// that panics counts as failed.
///
/// ```
/// use evenkeel::health::{Fault, FaultClass, Probe, ProbeAnswer, ProbeOptions};
///
/// struct Tcp(std::net::SocketAddr);
///
/// impl Probe for Tcp {
///     async fn probe(&self, _options: ProbeOptions) -> Result<ProbeAnswer, Fault> {
///         let begun = tokio::time::Instant::now();
///         match tokio::net::TcpStream::connect(self.0).await {
///             Ok(_) => Ok(ProbeAnswer::new(begun.elapsed())),
///             Err(_) => Err(Fault::new(FaultClass::Transport, "refused")),
///         }
///     }
/// }
/// ```
pub trait Probe: Send + Sync + 'static {
    /// Probes once.
    ///
    /// # Errors
    ///
    /// The fault that was met.
    fn probe(
        &self,
        options: ProbeOptions,
    ) -> impl Future<Output = Result<ProbeAnswer, Fault>> + Send;

    /// What is known about the thing itself, for the health page. Never causes I/O.
    fn details(&self) -> Details {
        Details::default()
    }

    /// An outage has begun: whatever waits for an answer is to return now. Connections are of no
    /// more use unless `keep` is set.
    fn outage(&self, keep: bool) {
        let _ = keep;
    }
}

pub(super) type ProbeFuture<'a> =
    Pin<Box<dyn Future<Output = Result<ProbeAnswer, Fault>> + Send + 'a>>;

/// [`Probe`] behind a pointer.
pub(super) trait DynProbe: Send + Sync + 'static {
    fn probe(&self, options: ProbeOptions) -> ProbeFuture<'_>;
    fn outage(&self, keep: bool);
    fn details(&self) -> Details;
}

impl<P: Probe> DynProbe for P {
    fn probe(&self, options: ProbeOptions) -> ProbeFuture<'_> {
        Box::pin(Probe::probe(self, options))
    }

    fn outage(&self, keep: bool) {
        Probe::outage(self, keep);
    }

    fn details(&self) -> Details {
        Probe::details(self)
    }
}
