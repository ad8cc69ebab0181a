//! Names that an application gives to its caches, capacities and jobs: they stand in keys of Redis
//! and as labels of metrics.

const LONGEST: usize = 64;

/// 1 to 64 letters, digits, `-` or `_`.
pub(crate) fn is_label(name: &str) -> bool {
    let is_ok = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_ok)
}
