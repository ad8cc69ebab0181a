//! Keys of cached values: text, made of parts that cannot run into each other.

use std::{borrow::Cow, fmt, sync::Arc};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// Between parts, and what would be taken for it inside of one.
const PART: &AsciiSet = &CONTROLS.add(b':').add(b'%');
/// What a name in Redis must not contain: braces choose the slot of a cluster.
const NAME: &AsciiSet = &CONTROLS.add(b'{').add(b'}').add(b'%').add(b'#');
/// Longer names are hashed.
const LONGEST_NAME: usize = 512;

/// The key of a cached value. Any text is one; [`of`](Self::of) makes one of several parts.
///
/// ```
/// use evenkeel::store::cache::CacheKey;
///
/// assert_eq!(CacheKey::of(["user", "7"]).as_str(), "user:7");
/// // Parts never run into each other.
/// assert_ne!(CacheKey::of(["a", "b:c"]), CacheKey::of(["a:b", "c"]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CacheKey(Arc<str>);

impl CacheKey {
    /// The key of these parts, joined by `:`. A `:` or `%` inside a part is escaped.
    pub fn of(parts: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut key = String::new();
        for (index, part) in parts.into_iter().enumerate() {
            if index > 0 {
                key.push(':');
            }
            key.extend(utf8_percent_encode(part.as_ref(), PART));
        }
        Self(key.into())
    }

    /// The key as text, as prefixes are compared with it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CacheKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name in Redis of what is kept under `prefix` for `key`: bounded, and one slot of a cluster
/// together with what is derived from it.
pub(super) fn name_in_redis(prefix: &str, key: &str) -> String {
    let escaped: Cow<'_, str> = utf8_percent_encode(key, NAME).into();
    if escaped.len() <= LONGEST_NAME {
        return format!("{prefix}:{{{escaped}}}");
    }
    let hash = Sha256::digest(key.as_bytes());
    let hex = hash.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    // `#` is escaped in every other name.
    format!("{prefix}:{{#{hex}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn long_keys_have_short_names_of_their_own() {
        let long = "k".repeat(64 << 10);
        let names: HashSet<_> = ["k", "#k", "%23k", "{k}", &long, &format!("{long}k")]
            .map(|key| name_in_redis("p", key))
            .into();
        assert_eq!(names.len(), 6);
        assert!(names.iter().all(|name| name.len() < 600), "{names:?}");
    }

    proptest! {
        #[test]
        fn parts_never_run_into_each_other(one in proptest::collection::vec(".{0,4}", 1..4), other in proptest::collection::vec(".{0,4}", 1..4)) {
            prop_assert_eq!(CacheKey::of(&one) == CacheKey::of(&other), one == other);
        }

        #[test]
        fn each_key_has_a_name_with_one_slot(one in ".{0,20}", other in ".{0,20}") {
            let name = name_in_redis("p", &one);
            prop_assert_eq!(name.matches(['{', '}']).count(), 2);
            prop_assert_eq!(name == name_in_redis("p", &other), one == other);
        }
    }
}
