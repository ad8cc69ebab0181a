//! The channels and patterns that have subscribers here.

use std::collections::HashMap;

use super::{glob, local::Local};
use crate::redis::Topic;

/// Patterns stand apart: each message is compared with all of them, however many channels there
/// are.
#[derive(Default)]
pub(super) struct Locals {
    channels: HashMap<Topic, Local>,
    patterns: HashMap<Topic, Local>,
}

impl Locals {
    fn of(&self, topic: &Topic) -> &HashMap<Topic, Local> {
        match topic {
            Topic::Channel(_) => &self.channels,
            Topic::Pattern(_) => &self.patterns,
        }
    }

    fn of_mut(&mut self, topic: &Topic) -> &mut HashMap<Topic, Local> {
        match topic {
            Topic::Channel(_) => &mut self.channels,
            Topic::Pattern(_) => &mut self.patterns,
        }
    }

    pub(super) fn get(&self, topic: &Topic) -> Option<&Local> {
        self.of(topic).get(topic)
    }

    pub(super) fn get_mut(&mut self, topic: &Topic) -> Option<&mut Local> {
        self.of_mut(topic).get_mut(topic)
    }

    pub(super) fn get_or_insert(
        &mut self,
        topic: &Topic,
        make: impl FnOnce() -> Local,
    ) -> &mut Local {
        self.of_mut(topic).entry(topic.clone()).or_insert_with(make)
    }

    pub(super) fn remove(&mut self, topic: &Topic) {
        let all = self.of_mut(topic);
        all.remove(topic);
        if all.capacity() > 4 * all.len() + 64 {
            all.shrink_to_fit();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Local> {
        self.channels.values().chain(self.patterns.values())
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Local> {
        self.channels.values_mut().chain(self.patterns.values_mut())
    }

    /// Those that a message of this channel belongs to.
    pub(super) fn matching<'a>(
        &'a self,
        channel: &'a Topic,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a Topic, &'a Local)> {
        let patterns = self.patterns.iter();
        let patterns =
            patterns.filter(|(_, local)| glob::matches(local.name.as_bytes(), name.as_bytes()));
        self.channels.get_key_value(channel).into_iter().chain(patterns)
    }
}
