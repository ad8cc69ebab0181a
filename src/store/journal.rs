//! A place on disk for what guards, so that it outlives the process.

use std::{future::Future, pin::Pin, time::SystemTime};

use crate::Error;

/// Something to be kept until it expires. Later ones replace earlier ones of the same feature and
/// key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalRecord {
    /// Whose it is: `revocation`, `lockout`.
    pub feature: String,
    /// What it is about: printable ASCII, seldom over 100 bytes.
    pub key: String,
    /// What is to be kept: printable ASCII, under 100 bytes.
    pub value: String,
    /// When it may be forgotten.
    pub until: SystemTime,
}

impl JournalRecord {
    /// A record, for a [`Journal`] that gives back what it has kept.
    pub fn new(
        feature: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<String>,
        until: SystemTime,
    ) -> Self {
        Self { feature: feature.into(), key: key.into(), value: value.into(), until }
    }
}

/// Keeps what guards on disk: a table in the application's database, a file.
///
/// A process that restarts while Redis is away knows nothing; with a journal it knows what it was
/// told before. Records hold hashes, no ids or names.
///
/// ```
/// use std::{collections::BTreeMap, sync::Mutex};
/// use evenkeel::{Error, store::{JournalRecord, Journal}};
///
/// /// For a test: it does not outlive the process.
/// #[derive(Default)]
/// struct Kept(Mutex<BTreeMap<(String, String), JournalRecord>>);
///
/// impl Journal for Kept {
///     async fn save(&self, record: JournalRecord) -> Result<(), Error> {
///         let key = (record.feature.clone(), record.key.clone());
///         self.0.lock().unwrap().insert(key, record);
///         Ok(())
///     }
///
///     async fn load(&self, feature: &'static str) -> Result<Vec<JournalRecord>, Error> {
///         let kept = self.0.lock().unwrap();
///         Ok(kept.values().filter(|record| record.feature == feature).cloned().collect())
///     }
/// }
/// ```
///
/// # When Redis is down
///
/// That is what it is for. It must not need Redis itself.
pub trait Journal: Send + Sync + 'static {
    /// Keeps `record` until it expires. Returns when it is safe.
    ///
    /// # Errors
    ///
    /// It could not be kept. Whoever called is told where nothing else has it.
    fn save(&self, record: JournalRecord) -> impl Future<Output = Result<(), Error>> + Send;

    /// Everything of this feature that has not expired, in any order.
    ///
    /// # Errors
    ///
    /// It could not be read.
    fn load(
        &self,
        feature: &'static str,
    ) -> impl Future<Output = Result<Vec<JournalRecord>, Error>> + Send;
}

type Saving<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;

/// [`Journal`] behind a pointer.
pub(crate) trait DynJournal: Send + Sync + 'static {
    fn save(&self, record: JournalRecord) -> Saving<'_>;
}

impl<J: Journal> DynJournal for J {
    fn save(&self, record: JournalRecord) -> Saving<'_> {
        Box::pin(Journal::save(self, record))
    }
}
