//! A gauge: a value that is read at the moment of collection.

use std::sync::Arc;

use parking_lot::Mutex;

type Read = Arc<dyn Fn() -> Option<f64> + Send + Sync>;

/// Reads a value when somebody collects. Where several sources are added for the same labels, the
/// newest that still lives is believed. Clones are one gauge.
#[derive(Clone, Default)]
pub(super) struct Gauge(Arc<Mutex<Vec<Read>>>);

impl Gauge {
    /// The value now; `None` when every source is gone.
    #[cfg_attr(not(feature = "otel"), allow(dead_code))]
    pub(super) fn value(&self) -> Option<f64> {
        // A source is somebody else's code: it runs without the lock.
        let sources = self.0.lock().clone();
        sources.iter().rev().find_map(|read| read())
    }

    /// Reads `read` from now on, until it returns `None`.
    pub(super) fn add_source(&self, read: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        let mut sources = self.0.lock();
        sources.retain(|read| read().is_some());
        sources.push(Arc::new(read));
    }
}
