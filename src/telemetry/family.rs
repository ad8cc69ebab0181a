//! The series of one instrument: a bounded map from label values to whatever counts.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::names::Instrument;

/// Series of one instrument. Beyond it, everything goes to one more, whose labels all read
/// [`OTHER`]: labels are meant to have few values, and a mistake with them must not cost memory
/// without end.
pub(super) const SERIES: usize = 1_000;
pub(super) const OTHER: &str = "other";

/// Values of the labels, in the order of [`Instrument::labels`].
pub(super) type Values = Box<[Box<str>]>;

pub(super) struct Family<T> {
    pub(super) instrument: &'static Instrument,
    series: RwLock<HashMap<Values, T>>,
}

impl<T: Clone> Family<T> {
    pub(super) fn new(instrument: &'static Instrument) -> Self {
        Self { instrument, series: RwLock::default() }
    }

    /// The one that counts for these labels: for the same labels always the same.
    pub(super) fn series(&self, values: &[&str], make: impl FnOnce(&[&str]) -> T) -> T {
        let key: Values = values.iter().map(|value| Box::from(*value)).collect();
        let known = self.series.read();
        if let Some(held) = known.get(&key) {
            return held.clone();
        }
        drop(known);
        let mut known = self.series.write();
        if known.len() < SERIES || known.contains_key(&key) {
            return known.entry(key).or_insert_with(|| make(values)).clone();
        }
        if known.len() == SERIES {
            let instrument = self.instrument.name;
            tracing::warn!(instrument, SERIES, "too many label values: the rest is counted as one");
        }
        let others: Vec<&str> = values.iter().map(|_| OTHER).collect();
        let key: Values = others.iter().map(|value| Box::from(*value)).collect();
        known.entry(key).or_insert_with(|| make(&others)).clone()
    }

    /// All of them, as they are now. What reads them runs without the lock.
    #[cfg_attr(not(feature = "otel"), allow(dead_code))]
    pub(super) fn all(&self) -> Vec<(Values, T)> {
        let series = self.series.read();
        series.iter().map(|(values, held)| (values.clone(), held.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::names, *};
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    #[test]
    fn is_bounded_and_loses_no_count() {
        let family = Family::<Arc<AtomicU64>>::new(names::FALLBACK_HITS);
        for n in 0..SERIES + 500 {
            let series = family.series(&[&n.to_string()], |_| Arc::default());
            series.fetch_add(1, Ordering::Relaxed);
        }
        let all = family.all();
        assert_eq!(all.len(), SERIES + 1);
        let count = |series: &Arc<AtomicU64>| series.load(Ordering::Relaxed);
        let other = all.iter().find(|(values, _)| &*values[0] == OTHER).unwrap();
        assert_eq!(count(&other.1), 500);
        assert_eq!(all.iter().map(|(_, series)| count(series)).sum::<u64>(), SERIES as u64 + 500);
        // Those that are known stay known.
        let first = family.series(&["0"], |_| Arc::default());
        assert_eq!(count(&first), 1);
    }
}
