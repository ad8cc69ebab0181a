//! How values become bytes in Redis.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::Error;

/// Writes values of `V` as bytes, and reads them again. What cannot be read (written by an older
/// release, or by somebody else) counts as absent and is replaced.
pub trait Codec<V>: Send + Sync + 'static {
    /// The value as bytes.
    ///
    /// # Errors
    ///
    /// The value has no such form. It is then kept in memory alone.
    fn encode(&self, value: &V) -> Result<Bytes, Error>;

    /// The value of these bytes; `None` when they are not one. They may come from anybody who can
    /// write to Redis.
    fn decode(&self, bytes: &[u8]) -> Option<V>;
}

/// The default: the compact form of the crate [`postcard`](https://docs.rs/postcard). It has no
/// names of fields, so after a change of the type give the cache another name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Postcard;

/// JSON: longer and slower, readable for others, and indifferent to new fields.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

/// Bytes as they are, for values that are encoded already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl<V: Serialize + DeserializeOwned> Codec<V> for Postcard {
    fn encode(&self, value: &V) -> Result<Bytes, Error> {
        postcard::to_allocvec(value).map(Bytes::from).map_err(refused)
    }

    fn decode(&self, bytes: &[u8]) -> Option<V> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Some(value),
            _ => None,
        }
    }
}

impl<V: Serialize + DeserializeOwned> Codec<V> for Json {
    fn encode(&self, value: &V) -> Result<Bytes, Error> {
        serde_json::to_vec(value).map(Bytes::from).map_err(refused)
    }

    fn decode(&self, bytes: &[u8]) -> Option<V> {
        serde_json::from_slice(bytes).ok()
    }
}

impl Codec<Bytes> for Raw {
    fn encode(&self, value: &Bytes) -> Result<Bytes, Error> {
        Ok(value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(bytes))
    }
}

/// What serde says may quote the value.
fn refused<E>(_: E) -> Error {
    Error::new(crate::ErrorKind::Invalid, "the value cannot be encoded for the cache")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(value: (u64, String, Option<Vec<u8>>)) {
            for bytes in [Postcard.encode(&value).unwrap(), Postcard.encode(&value).unwrap()] {
                let read: Option<(u64, String, Option<Vec<u8>>)> = Postcard.decode(&bytes);
                prop_assert_eq!(read.as_ref(), Some(&value));
            }
            let bytes = Json.encode(&value).unwrap();
            prop_assert_eq!(Json.decode(&bytes), Some(value));
        }

        #[test]
        fn anything_else_is_no_value(bytes: Vec<u8>) {
            let _: Option<(u64, String)> = Postcard.decode(&bytes);
            let _: Option<(u64, String)> = Json.decode(&bytes);
            prop_assert_eq!(Raw.decode(&bytes), Some(Bytes::from(bytes.clone())));
        }
    }
}
