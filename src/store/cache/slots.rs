//! The law of the memory tier: what began before an invalidation of its key is not kept.

use std::{collections::HashMap, sync::Arc};

/// What goes on about some keys; nothing is remembered of a key about which nothing does. Used
/// under a lock, which those who keep an entry hold meanwhile.
#[derive(Debug)]
pub(super) struct Slots<F>(HashMap<Arc<str>, Slot<F>>);

#[derive(Debug)]
struct Slot<F> {
    generation: u64,
    tickets: usize,
    /// The load under way that others may wait for.
    flight: Option<F>,
}

impl<F> Default for Slots<F> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<F> Slots<F> {
    /// Something that may become an entry of the key begins. Returns the generation of its ticket.
    pub(super) fn begin(&mut self, key: &Arc<str>) -> u64 {
        let empty = || Slot { generation: 0, tickets: 0, flight: None };
        let slot = self.0.entry(Arc::clone(key)).or_insert_with(empty);
        slot.tickets += 1;
        slot.generation
    }

    pub(super) fn flight(&self, key: &str) -> Option<&F> {
        self.0.get(key)?.flight.as_ref()
    }

    /// For the holder of a ticket: others may wait for its load.
    pub(super) fn set_flight(&mut self, key: &str, flight: F) {
        if let Some(slot) = self.0.get_mut(key) {
            slot.flight = Some(flight);
        }
    }

    /// The key is invalidated: no ticket that is out is worth anything.
    pub(super) fn void(&mut self, key: &str) {
        if let Some(slot) = self.0.get_mut(key) {
            slot.generation += 1;
            slot.flight = None;
        }
    }

    /// The ticket was not voided.
    pub(super) fn is_current(&self, key: &str, generation: u64) -> bool {
        self.0.get(key).is_some_and(|slot| slot.generation == generation)
    }

    /// A ticket is given back, with its flight if that is its `own`.
    pub(super) fn end(&mut self, key: &str, own: impl FnOnce(&F) -> bool) {
        let Some(slot) = self.0.get_mut(key) else { return };
        slot.tickets -= 1;
        if slot.flight.as_ref().is_some_and(own) {
            slot.flight = None;
        }
        if slot.tickets == 0 {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voided_ticket_stays_so_and_nothing_is_left_at_the_end() {
        let mut slots = Slots::<u8>::default();
        let key: Arc<str> = "k".into();
        let old = slots.begin(&key);
        slots.set_flight(&key, 1);
        slots.void(&key);
        assert!(!slots.is_current(&key, old) && slots.flight(&key).is_none());
        let new = slots.begin(&key);
        slots.set_flight(&key, 2);
        assert!(slots.is_current(&key, new));
        slots.end(&key, |flight| *flight == 1);
        assert!(!slots.is_current(&key, old) && slots.flight(&key) == Some(&2));
        slots.end(&key, |flight| *flight == 2);
        assert!(slots.0.is_empty());
        slots.void(&key);
        assert!(slots.0.is_empty());
    }
}

#[cfg(all(test, loom))]
mod model {
    use loom::{
        sync::{
            Arc as Shared, Mutex,
            atomic::{AtomicU64, Ordering::SeqCst},
        },
        thread,
    };

    use super::*;

    /// A database, and one key of a memory tier in front of it.
    struct Model {
        database: AtomicU64,
        memory: Mutex<(Slots<()>, Option<u64>)>,
    }

    impl Model {
        fn load(&self, key: &Arc<str>) {
            let ticket = self.memory.lock().unwrap().0.begin(key);
            let value = self.database.load(SeqCst);
            let (slots, entry) = &mut *self.memory.lock().unwrap();
            if slots.is_current(key, ticket) {
                *entry = Some(value);
            }
            slots.end(key, |()| false);
        }

        fn write(&self, key: &str, value: u64) {
            self.database.store(value, SeqCst);
            let (slots, entry) = &mut *self.memory.lock().unwrap();
            slots.void(key);
            *entry = None;
        }

        fn kept(&self) -> Option<u64> {
            self.memory.lock().unwrap().1
        }
    }

    #[test]
    fn no_load_brings_back_what_a_write_has_ended() {
        loom::model(|| {
            let model =
                Shared::new(Model { database: AtomicU64::new(1), memory: Mutex::default() });
            let loads: Vec<_> = (0..2)
                .map(|_| {
                    let model = Shared::clone(&model);
                    thread::spawn(move || model.load(&"k".into()))
                })
                .collect();
            model.write("k", 2);
            assert_ne!(model.kept(), Some(1));
            loads.into_iter().for_each(|load| load.join().unwrap());
            assert_ne!(model.kept(), Some(1));
        });
    }
}
