//! What travels through Redis: whose message it is, which of theirs, and the message.

use bytes::{BufMut, Bytes, BytesMut};

/// So that a foreign publisher's messages are told apart, and a later form.
const MAGIC: &[u8; 4] = b"ekp1";
const HEAD: usize = MAGIC.len() + 16;

/// A message of one publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Envelope<'a> {
    /// A handle of a process.
    pub(super) publisher: u64,
    /// Which of its messages on this channel.
    pub(super) sequence: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub(super) fn to_bytes(self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD + self.payload.len());
        bytes.put_slice(MAGIC);
        bytes.put_u64(self.publisher);
        bytes.put_u64(self.sequence);
        bytes.put_slice(self.payload);
        bytes.freeze()
    }

    /// `None`: it is none of ours.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (publisher, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (sequence, payload) = rest.split_first_chunk()?;
        let (publisher, sequence) = (u64::from_be_bytes(*publisher), u64::from_be_bytes(*sequence));
        Some(Self { publisher, sequence, payload })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sent_is_heard(publisher: u64, sequence: u64, payload: Vec<u8>) {
            let envelope = Envelope { publisher, sequence, payload: &payload };
            let bytes = envelope.to_bytes();
            prop_assert_eq!(Envelope::parse(&bytes), Some(envelope));
            for cut in 0..HEAD {
                prop_assert_eq!(Envelope::parse(&bytes[..cut]), None);
            }
        }

        #[test]
        fn anything_else_is_nothing(bytes: Vec<u8>) {
            prop_assert!(Envelope::parse(&bytes).is_none() || bytes.starts_with(MAGIC));
        }
    }
}
