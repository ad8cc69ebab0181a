//! Whether an entry is still valid, looked up once for each invalidation anywhere.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

/// The version of the generations at which an entry was last found valid. An invalidation first
/// changes the generations, then their version.
#[derive(Debug)]
pub(super) struct Validated(AtomicU64);

impl Validated {
    /// At no version yet.
    pub(super) fn never() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Is it valid? `version` has to be read before: what `look_up` finds is so at that version at
    /// least.
    #[inline]
    pub(super) fn check(&self, version: u64, look_up: impl FnOnce() -> bool) -> bool {
        if self.0.load(Ordering::Acquire) == version {
            return true;
        }
        let is_valid = look_up();
        if is_valid {
            self.0.store(version, Ordering::Release);
        }
        is_valid
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_up_once_for_each_version_and_always_where_it_is_not_valid() {
        let validated = Validated::never();
        assert!(!validated.check(0, || false));
        assert!(validated.check(0, || true));
        assert!(validated.check(0, || unreachable!()));
        assert!(!validated.check(1, || false));
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::{
        sync::{Arc, Mutex},
        thread,
    };

    use super::*;

    struct Model {
        version: AtomicU64,
        is_valid: Mutex<bool>,
        validated: Validated,
    }

    impl Model {
        fn check(&self) -> bool {
            let version = self.version.load(Ordering::Acquire);
            self.validated.check(version, || *self.is_valid.lock().unwrap())
        }
    }

    #[test]
    fn nothing_is_valid_after_its_invalidation_has_returned() {
        loom::model(|| {
            let model = Arc::new(Model {
                version: AtomicU64::new(0),
                is_valid: Mutex::new(true),
                validated: Validated::never(),
            });
            let reader = {
                let model = Arc::clone(&model);
                thread::spawn(move || {
                    model.check();
                    model.check();
                })
            };
            *model.is_valid.lock().unwrap() = false;
            model.version.fetch_add(1, Ordering::AcqRel);
            assert!(!model.check());
            reader.join().unwrap();
            assert!(!model.check());
        });
    }
}
