//! What can be published.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, ErrorKind};

/// What becomes bytes to be published, and is read back. Implemented for [`Bytes`] as they are, and
/// for [`Json`].
pub trait Payload: Sized + Send + 'static {
    /// The bytes.
    ///
    /// # Errors
    ///
    /// The value has no such form.
    fn to_bytes(&self) -> Result<Bytes, Error>;

    /// The value; `None` where these are not the bytes of one. Anybody can publish anything on a
    /// channel of Redis: this is a stranger's input.
    fn from_bytes(bytes: &Bytes) -> Option<Self>;
}

impl Payload for Bytes {
    fn to_bytes(&self) -> Result<Bytes, Error> {
        Ok(self.clone())
    }

    fn from_bytes(bytes: &Bytes) -> Option<Self> {
        Some(bytes.clone())
    }
}

/// A value as JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for Json<T> {
    fn to_bytes(&self) -> Result<Bytes, Error> {
        let bytes = serde_json::to_vec(&self.0);
        let bytes = bytes.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        Ok(bytes.into())
    }

    fn from_bytes(bytes: &Bytes) -> Option<Self> {
        serde_json::from_slice(bytes).ok().map(Self)
    }
}
