//! What the stores over one handle share within a process: one value of each type.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

type Slot = Arc<Mutex<Option<Weak<dyn Any + Send + Sync>>>>;

/// Holds each value weakly: it lives for as long as a store uses it.
#[derive(Default)]
pub(super) struct Registry(Mutex<HashMap<TypeId, Slot>>);

impl Registry {
    /// The value of this type that is in use, or else the one that `make` returns.
    pub(super) fn get_or_make<T: Send + Sync + 'static>(
        &self,
        make: impl FnOnce() -> Arc<T>,
    ) -> Arc<T> {
        let slot = Arc::clone(self.0.lock().entry(TypeId::of::<T>()).or_default());
        // Only this type's lock is held while `make` runs, so `make` may ask for values of other
        // types.
        let mut slot = slot.lock();
        let in_use = slot.as_ref().and_then(Weak::upgrade);
        if let Some(Ok(value)) = in_use.map(Arc::downcast) {
            return value;
        }
        let made = make();
        let shared: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&made);
        *slot = Some(Arc::downgrade(&shared));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Outer(Arc<u32>);

    #[test]
    fn there_is_one_of_a_type_for_as_long_as_it_is_used() {
        let registry = Registry::default();
        let first = registry.get_or_make(|| Arc::new(1_u32));
        let second = registry.get_or_make(|| Arc::new(2_u32));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(*registry.get_or_make(|| Arc::new(3_u64)), 3);
        drop((first, second));
        assert_eq!(*registry.get_or_make(|| Arc::new(4_u32)), 4);
    }

    #[test]
    fn what_makes_one_may_ask_for_another() {
        let registry = Registry::default();
        let outer =
            registry.get_or_make(|| Arc::new(Outer(registry.get_or_make(|| Arc::new(5_u32)))));
        assert!(Arc::ptr_eq(&outer.0, &registry.get_or_make(|| Arc::new(6_u32))));
    }

    #[test]
    fn threads_that_ask_together_get_the_same_one() {
        let registry = Registry::default();
        let made = std::sync::atomic::AtomicU32::new(0);
        let ask = || {
            registry.get_or_make(|| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                Arc::new(made.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
            })
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            let all: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(all.iter().all(|value| Arc::ptr_eq(value, &all[0])));
        });
    }
}
