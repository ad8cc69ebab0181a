//! A 128-bit keyed hash that stands for a subject.

use std::hash::{BuildHasher, RandomState};

/// What stands for a subject in memory: 128 bits, namely two SipHash-1-3 of its bytes under two
/// keys that are random in every process and never leave it.
///
/// Two subjects share a bucket only if both hashes collide. Without the keys nobody can look for a
/// collision but by trying, and a try meets only what is held at that moment: with 10^6 subjects
/// held and 10^15 tried, the chance that any two of them ever meet is below 10^-17. So the subjects
/// themselves need not be compared, nor fetched from memory, on the hot path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id(pub(super) [u64; 2]);

impl Id {
    /// The bits that choose the shard.
    pub(super) fn high(self) -> u64 {
        self.0[0]
    }

    /// The bits that choose the place in it.
    pub(crate) fn low(self) -> u64 {
        self.0[1]
    }
}

/// Makes [`Id`]s. Own code, since two hashes of the `siphasher` crate take a fifth longer (42 ns
/// beside 35 for the whole decision).
///
/// SipHash (Aumasson and Bernstein, 2012) with one compression and three finalisation rounds, as in
/// the standard library's `HashMap`. Two side by side rather than one of twice the length: they do
/// not wait for each other, so the second is nearly free.
#[derive(Clone)]
pub(crate) struct IdHasher([[u64; 2]; 2]);

impl IdHasher {
    /// A hasher with random keys, from the standard library's own source of hash keys.
    pub(crate) fn random() -> Self {
        let random = RandomState::new();
        let key = |n: u8| [random.hash_one(n), random.hash_one(n + 1)];
        Self([key(0), key(2)])
    }

    /// The name of `bytes` in the space `space` (a policy): the same bytes in another space are
    /// another subject. What is added after a keyed hash does not change how likely a collision is.
    #[inline]
    pub(crate) fn id(&self, space: u64, bytes: &[u8]) -> Id {
        let [one, two] = siphash::<1, 3>(self.0, bytes);
        Id([one ^ space, two])
    }
}

fn siphash<const C: usize, const D: usize>(keys: [[u64; 2]; 2], bytes: &[u8]) -> [u64; 2] {
    let mut lanes = keys.map(Sip::new);
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        lanes.iter_mut().for_each(|lane| lane.block::<C>(word));
    }
    let mut last = (bytes.len() as u64) << 56;
    for (index, byte) in tail.iter().enumerate() {
        last |= u64::from(*byte) << (8 * index);
    }
    lanes.map(|mut lane| {
        lane.block::<C>(last);
        lane.digest::<D>()
    })
}

struct Sip([u64; 4]);

impl Sip {
    #[inline]
    fn new([k0, k1]: [u64; 2]) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    #[inline]
    fn round(&mut self) {
        let [a, b, c, d] = &mut self.0;
        *a = a.wrapping_add(*b);
        *c = c.wrapping_add(*d);
        *b = b.rotate_left(13) ^ *a;
        *d = d.rotate_left(16) ^ *c;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*b);
        *a = a.wrapping_add(*d);
        *b = b.rotate_left(17) ^ *c;
        *d = d.rotate_left(21) ^ *a;
        *c = c.rotate_left(32);
    }

    #[inline]
    fn block<const C: usize>(&mut self, word: u64) {
        self.0[3] ^= word;
        for _ in 0..C {
            self.round();
        }
        self.0[0] ^= word;
    }

    #[inline]
    fn digest<const D: usize>(&mut self) -> u64 {
        self.0[2] ^= 0xff;
        for _ in 0..D {
            self.round();
        }
        self.0[0] ^ self.0[1] ^ self.0[2] ^ self.0[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first of the authors' vectors for SipHash-2-4 (`vectors.h`).
    #[test]
    fn the_authors_vectors() {
        let keys = [[0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]; 2];
        assert_eq!(siphash::<2, 4>(keys, &[]), [0x726f_db47_dd0e_0e31; 2]);
        assert_eq!(siphash::<2, 4>(keys, &[0]), [0x74f8_39c5_93dc_67fd; 2]);
    }

    /// With the rounds that are used here, what the standard library says (its keys are zero).
    #[test]
    fn the_standard_librarys_hash() {
        use std::hash::{DefaultHasher, Hasher};
        for len in 0..40 {
            let bytes: Vec<u8> = (0..len).collect();
            let mut std = DefaultHasher::new();
            std.write(&bytes);
            assert_eq!(siphash::<1, 3>([[0; 2]; 2], &bytes), [std.finish(); 2]);
        }
    }

    #[test]
    fn keys_and_spaces_are_apart() {
        let (one, two) = (IdHasher::random(), IdHasher::random());
        assert_eq!(one.id(0, b"a"), one.id(0, b"a"));
        assert_ne!(one.id(0, b"a"), one.id(1, b"a"));
        assert_ne!(one.id(0, b"a"), two.id(0, b"a"));
        assert_ne!(one.id(0, b"a"), one.id(0, b"a\0"));
        assert_ne!(one.id(0, b"a").high(), one.id(0, b"a").low());
    }
}
