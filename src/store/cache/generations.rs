//! The device that lets no old value back: everything that is loaded or read carries the generation
//! that it was begun under, and counts only while nothing that it belongs to (the cache, a tag, a
//! prefix of its key) was invalidated since.
//!
//! Two counts run side by side. The local one orders what this process does and hears. The one in
//! Redis ([`Begun::remote`]) orders what all instances write there; Redis hands it out, by its
//! clock, so that it also grows when its data is lost.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

/// Tags and prefixes known at once. Beyond that the whole cache is invalidated in their place.
const MOST_MARKS: usize = 10_000;

/// The moment before the first.
const NOTHING_LEARNED: u64 = 0;

/// What an invalidation is about, if not about one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    All,
    Tag(Arc<str>),
    Prefix(Arc<str>),
}

impl Scope {
    /// As it is written in Redis.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Tag(tag) => format!("t{tag}"),
            Self::Prefix(prefix) => format!("p{prefix}"),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.split_at_checked(1)? {
            ("*", "") => Some(Self::All),
            ("t", tag) => Some(Self::Tag(tag.into())),
            ("p", prefix) => Some(Self::Prefix(prefix.into())),
            _ => None,
        }
    }
}

/// Where a load or a read has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) local: u64,
    pub(super) remote: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Mark {
    /// What was begun locally before this is no longer valid.
    local: u64,
    /// The same for what stands in Redis.
    remote: u64,
    /// Redis has not been told of the invalidation at this local moment: nothing that stands there
    /// is valid.
    pending: Option<u64>,
}

impl Mark {
    fn admits(&self, generation: u64) -> bool {
        self.pending.is_none() && generation >= self.remote
    }
}

#[derive(Debug, Default)]
struct Table {
    now: Now,
    all: Mark,
    tags: HashMap<Arc<str>, Mark>,
    prefixes: HashMap<Arc<str>, Mark>,
    /// Lengths of the prefixes.
    lengths: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Now {
    local: u64,
    remote: u64,
}

/// What was invalidated, as this instance knows it. As long as it has [learned](Self::learned)
/// nothing from Redis, nothing that stands there counts.
#[derive(Debug)]
pub(super) struct Generations {
    /// Grows with every invalidation: while it stays, what was valid is valid.
    version: AtomicU64,
    table: RwLock<Table>,
}

impl Default for Generations {
    fn default() -> Self {
        let all = Mark { pending: Some(NOTHING_LEARNED), ..Mark::default() };
        let table = Table { all, ..Table::default() };
        Self { version: AtomicU64::new(0), table: RwLock::new(table) }
    }
}

impl Generations {
    /// A load or a read begins now.
    pub(super) fn begin(&self) -> Begun {
        let table = self.table.read();
        Begun { local: table.now.local, remote: table.now.remote }
    }

    /// See [`Self::is_valid`]: while this stays the same, so do its answers.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Does what this process began then still count?
    pub(super) fn is_valid(&self, key: &str, tags: &[Arc<str>], begun: u64) -> bool {
        self.table.read().marks(key, tags, |mark| begun >= mark.local)
    }

    /// Does what stands in Redis with this generation still count?
    pub(super) fn is_valid_in_redis(&self, key: &str, tags: &[Arc<str>], generation: u64) -> bool {
        self.table.read().marks(key, tags, |mark| mark.admits(generation))
    }

    /// Invalidates here, and all that stands in Redis until [`told`](Self::told). Returns the
    /// moment, and what Redis is to be told: the whole cache where there are too many marks.
    pub(super) fn raise(&self, scope: Scope) -> (Scope, u64) {
        self.change(scope, |mark, now| {
            mark.local = now;
            mark.pending = Some(now);
        })
    }

    /// Redis was told of the invalidation at `moment`, and gave it this generation.
    pub(super) fn told(&self, scope: &Scope, moment: u64, generation: u64) {
        let mut table = self.table.write();
        table.now.remote = table.now.remote.max(generation);
        // A mark that had to make room has left what was pending to that of the whole cache.
        let mark = if table.knows(scope) { table.mark(scope) } else { &mut table.all };
        mark.remote = mark.remote.max(generation);
        if mark.pending.is_some_and(|pending| pending <= moment) {
            mark.pending = None;
        }
    }

    /// Another instance has invalidated, with this generation.
    pub(super) fn heard(&self, scope: Scope, generation: u64) {
        self.change(scope, |mark, now| {
            mark.local = now;
            mark.remote = mark.remote.max(generation);
        });
        let mut table = self.table.write();
        table.now.remote = table.now.remote.max(generation);
    }

    /// Redis has this generation of the scope: new to this instance, it is as if heard.
    pub(super) fn learn(&self, scope: Scope, generation: u64) {
        if self.table.read().remote(&scope) < generation {
            self.heard(scope, generation);
        }
    }

    /// All generations of Redis are known.
    pub(super) fn learned(&self) {
        let all = &mut self.table.write().all;
        if all.pending == Some(NOTHING_LEARNED) {
            all.pending = None;
        }
    }

    /// Something may have been missed: nothing that this process has begun counts any more.
    pub(super) fn forget_local(&self) {
        self.change(Scope::All, |mark, now| mark.local = now);
    }

    fn change(&self, scope: Scope, change: impl FnOnce(&mut Mark, u64)) -> (Scope, u64) {
        let mut table = self.table.write();
        table.now.local += 1;
        let now = table.now.local;
        let scope = if table.has_room_for(&scope) {
            scope
        } else {
            table.merge();
            Scope::All
        };
        change(table.mark(&scope), now);
        drop(table);
        self.version.fetch_add(1, Ordering::AcqRel);
        (scope, now)
    }
}

impl Table {
    fn marks(&self, key: &str, tags: &[Arc<str>], admits: impl Fn(&Mark) -> bool) -> bool {
        let by_tag = |tag: &Arc<str>| self.tags.get(tag).is_none_or(&admits);
        let by_prefix = |length: &usize| {
            let prefix = key.get(..*length);
            prefix.and_then(|prefix| self.prefixes.get(prefix)).is_none_or(&admits)
        };
        admits(&self.all)
            && tags.iter().all(by_tag)
            && self.lengths.range(..=key.len()).all(by_prefix)
    }

    fn knows(&self, scope: &Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Tag(tag) => self.tags.contains_key(tag),
            Scope::Prefix(prefix) => self.prefixes.contains_key(prefix),
        }
    }

    /// The generation in Redis as it is known.
    fn remote(&self, scope: &Scope) -> u64 {
        let mark = match scope {
            Scope::All => Some(&self.all),
            Scope::Tag(tag) => self.tags.get(tag),
            Scope::Prefix(prefix) => self.prefixes.get(prefix),
        };
        mark.map_or(0, |mark| mark.remote).max(self.all.remote)
    }

    fn has_room_for(&self, scope: &Scope) -> bool {
        self.knows(scope) || self.tags.len() + self.prefixes.len() < MOST_MARKS
    }

    fn mark(&mut self, scope: &Scope) -> &mut Mark {
        match scope {
            Scope::All => &mut self.all,
            Scope::Tag(tag) => self.tags.entry(Arc::clone(tag)).or_default(),
            Scope::Prefix(prefix) => {
                self.lengths.insert(prefix.len());
                self.prefixes.entry(Arc::clone(prefix)).or_default()
            }
        }
    }

    /// All marks become one of the whole cache.
    fn merge(&mut self) {
        for mark in self.tags.values().chain(self.prefixes.values()) {
            self.all.local = self.all.local.max(mark.local);
            self.all.remote = self.all.remote.max(mark.remote);
            self.all.pending = self.all.pending.max(mark.pending);
        }
        self.tags.clear();
        self.prefixes.clear();
        self.lengths.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tag(name: &str) -> Scope {
        Scope::Tag(name.into())
    }

    fn tags(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn what_was_begun_before_an_invalidation_does_not_count_and_what_begins_after_it_does() {
        let generations = Generations::default();
        for (scope, hit) in [
            (Scope::All, true),
            (tag("list"), true),
            (tag("other"), false),
            (Scope::Prefix("user:".into()), true),
            (Scope::Prefix("user:7:".into()), false),
            (Scope::Prefix("".into()), true),
        ] {
            let begun = generations.begin().local;
            assert!(generations.is_valid("user:7", &tags(&["list"]), begun));
            let version = generations.version();
            generations.raise(scope.clone());
            assert_ne!(generations.version(), version);
            assert_eq!(generations.is_valid("user:7", &tags(&["list"]), begun), !hit, "{scope:?}");
            let begun = generations.begin().local;
            assert!(generations.is_valid("user:7", &tags(&["list"]), begun), "{scope:?}");
        }
    }

    #[test]
    fn nothing_in_redis_counts_until_redis_was_told_of_the_last() {
        let generations = Generations::default();
        let is_valid = |at| generations.is_valid_in_redis("k", &tags(&["t"]), at);
        assert!(!is_valid(u64::MAX), "nothing is known of what was invalidated");
        generations.learned();
        assert!(is_valid(0));
        let (scope, first) = generations.raise(tag("t"));
        assert!(!is_valid(u64::MAX));
        let (_, second) = generations.raise(tag("t"));
        generations.told(&scope, first, 10);
        assert!(!is_valid(u64::MAX), "the second is pending");
        generations.told(&scope, second, 20);
        assert!(is_valid(20) && !is_valid(19));
        assert_eq!(generations.begin().remote, 20);
        generations.heard(Scope::All, 30);
        assert!(is_valid(30) && !is_valid(29));
    }

    #[test]
    fn at_the_bound_one_mark_stands_for_all() {
        let generations = Generations::default();
        let begun = generations.begin().local;
        for n in 0..MOST_MARKS {
            let (scope, moment) = generations.raise(tag(&n.to_string()));
            assert_eq!(scope, tag(&n.to_string()));
            if n != 7 {
                generations.told(&scope, moment, n as u64);
            }
        }
        assert!(generations.is_valid("k", &tags(&["none"]), begun));
        let (scope, moment) = generations.raise(tag("one too many"));
        assert_eq!(scope, Scope::All);
        assert!(!generations.is_valid("k", &tags(&["none"]), begun));
        assert!(!generations.is_valid_in_redis("k", &[], u64::MAX));
        generations.told(&scope, moment, 1 << 40);
        assert!(generations.is_valid_in_redis("k", &[], 1 << 40));
    }

    proptest! {
        #[test]
        fn scopes_are_read_as_written(text in ".{0,12}", kind in 0..3) {
            let scope = match kind {
                0 => Scope::All,
                1 => Scope::Tag(text.into()),
                _ => Scope::Prefix(text.into()),
            };
            prop_assert_eq!(Scope::parse(&scope.to_text()), Some(scope));
        }

        #[test]
        fn prefixes_are_those_of_text(key in ".{0,8}", prefix in ".{0,4}") {
            let generations = Generations::default();
            let begun = generations.begin().local;
            generations.raise(Scope::Prefix(prefix.as_str().into()));
            prop_assert_eq!(generations.is_valid(&key, &[], begun), !key.starts_with(&prefix));
        }
    }
}
