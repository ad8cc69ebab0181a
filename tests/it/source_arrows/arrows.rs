//! Which file a path leads to, and with it which file needs which.

use std::collections::BTreeSet;

use super::{modules::Crate, uses::Use};

/// More renamings than any path goes through; a name that is a renaming of itself leads nowhere.
const RENAMINGS: usize = 16;

/// A file that needs another one, and by which name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) name: String,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Module(usize),
    /// Something that this file defines.
    Item(usize),
}

impl Crate {
    /// Every arrow from one file to another, sorted.
    pub(super) fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            let mut add = |to: usize, name: &str| {
                if to != module.file {
                    arrows.insert(Arrow { from: module.file, to, name: name.to_owned() });
                }
            };
            let words: BTreeSet<&str> = module.paths.iter().map(|path| path[0].as_str()).collect();
            for used in &module.uses {
                // What is only handed on is not needed here.
                if used.public && !words.contains(used.name.as_str()) {
                    continue;
                }
                for target in self.resolve(at, &used.path, RENAMINGS) {
                    match target {
                        Target::Item(file) => add(file, used.path.last().unwrap()),
                        Target::Module(all) if used.name == "*" => add(self.modules[all].file, "*"),
                        // What is needed of it is named by the paths that begin with it.
                        Target::Module(_) => {}
                    }
                }
            }
            for path in module.paths.iter().filter(|path| path.len() > 1) {
                let first = self.resolve(at, &path[..1], RENAMINGS);
                if !first.iter().any(|target| matches!(target, Target::Module(_))) {
                    continue;
                }
                for target in self.resolve(at, path, RENAMINGS) {
                    if let Target::Item(file) = target {
                        add(file, path.last().unwrap());
                    }
                }
            }
        }
        arrows
    }

    /// Where a path leads from a module; nowhere if it leads out of the crate.
    fn resolve(&self, from: usize, path: &[String], renamings: usize) -> Vec<Target> {
        if renamings == 0 {
            return Vec::new();
        }
        match path[0].as_str() {
            "crate" => self.below(0, &path[1..], renamings),
            "self" => self.below(from, &path[1..], renamings),
            "super" => {
                let (mut at, mut rest) = (from, path);
                while rest.first().is_some_and(|name| name == "super") {
                    (at, rest) = (self.modules[at].parent, &rest[1..]);
                }
                self.below(at, rest, renamings)
            }
            _ => self.named(from, path, renamings).unwrap_or_default(),
        }
    }

    /// What a module calls by this path: what no `mod`, `use` or item names is made by a macro of
    /// its file.
    fn below(&self, module: usize, path: &[String], renamings: usize) -> Vec<Target> {
        if path.is_empty() {
            return vec![Target::Module(module)];
        }
        let made = vec![Target::Item(self.modules[module].file)];
        self.named(module, path, renamings).unwrap_or(made)
    }

    /// `None` if the module has no such name.
    fn named(&self, at: usize, path: &[String], renamings: usize) -> Option<Vec<Target>> {
        let module = &self.modules[at];
        let (name, rest) = path.split_first()?;
        let children: Vec<usize> =
            module.children.iter().filter(|child| child.0 == *name).map(|child| child.1).collect();
        if !children.is_empty() {
            return Some(children.iter().flat_map(|at| self.below(*at, rest, renamings)).collect());
        }
        if module.defines.contains(name) {
            return Some(vec![Target::Item(module.file)]);
        }
        let bound: Vec<&Use> = module.uses.iter().filter(|used| used.name == *name).collect();
        if !bound.is_empty() {
            let through =
                |used: &&Use| self.resolve(at, &[&used.path, rest].concat(), renamings - 1);
            return Some(bound.iter().flat_map(through).collect());
        }
        module.uses.iter().filter(|used| used.name == "*").find_map(|used| {
            let targets = self.resolve(at, &used.path, renamings - 1);
            targets.iter().find_map(|target| match target {
                Target::Module(all) => self.named(*all, path, renamings - 1),
                Target::Item(_) => None,
            })
        })
    }

    /// Every path that a file names, from the root of the crate where it begins in one of its
    /// modules.
    pub(super) fn paths(&self) -> BTreeSet<(usize, Vec<String>)> {
        let mut paths = BTreeSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            let used = module.uses.iter().map(|used| &used.path);
            for path in used.chain(&module.paths) {
                paths.insert((module.file, self.absolute(at, path)));
            }
        }
        paths
    }

    fn absolute(&self, from: usize, path: &[String]) -> Vec<String> {
        let (mut at, mut rest) = (from, path);
        match path[0].as_str() {
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|name| name == "super") {
                    (at, rest) = (self.modules[at].parent, &rest[1..]);
                }
            }
            _ => return path.to_vec(),
        }
        let mut whole = rest.to_vec();
        while at != 0 {
            let parent = self.modules[at].parent;
            let own = self.modules[parent].children.iter().find(|child| child.1 == at).unwrap();
            whole.insert(0, own.0.clone());
            at = parent;
        }
        whole.insert(0, "crate".to_owned());
        whole
    }
}
