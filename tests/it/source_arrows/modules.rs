//! The modules of a crate, what each of them defines and names, and which file a path leads to.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    lexer::{Token, code_lines, group, tokens, without_tests},
    uses::{Use, uses},
};

/// More renamings than any path goes through; a name that is a renaming of itself leads nowhere.
const RENAMINGS: usize = 16;

/// A source of the crate.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) code_lines: usize,
}

/// A module, in a file of its own or within one.
#[derive(Default)]
struct Module {
    file: usize,
    parent: usize,
    children: Vec<(String, usize)>,
    defines: BTreeSet<String>,
    uses: Vec<Use>,
    /// Every path in the code, but for those of `use`.
    paths: Vec<Vec<String>>,
}

/// A crate, but for its tests.
#[derive(Default)]
pub(super) struct Crate {
    pub(super) files: Vec<File>,
    modules: Vec<Module>,
}

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
    /// Reads the crate of which this is the root.
    pub(super) fn read(root: &Path) -> Self {
        Self::with(root, &|path| fs::read_to_string(path).ok())
    }

    /// The same, with another way to read a file.
    pub(super) fn with(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let mut this = Self::default();
        this.file(root, 0, root.parent().unwrap(), read);
        this
    }

    /// Adds a file with all the modules below it. Those stand in `folder`.
    fn file(
        &mut self,
        path: &Path,
        parent: usize,
        folder: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) -> usize {
        let source = read(path).unwrap_or_else(|| panic!("{} cannot be read", path.display()));
        let tokens = without_tests(&tokens(&source));
        let file = self.files.len();
        self.files.push(File { path: path.to_owned(), code_lines: code_lines(&tokens) });
        let module = self.modules.len();
        self.modules.push(Module { file, parent, ..Module::default() });
        self.module(module, &tokens, folder, read);
        module
    }

    fn module(
        &mut self,
        module: usize,
        tokens: &[Token],
        folder: &Path,
        read: &dyn Fn(&Path) -> Option<String>,
    ) {
        const DEFINE: &[&str] =
            &["struct", "enum", "union", "trait", "type", "fn", "const", "static", "!"];
        let (mut at, mut depth) = (0, 0);
        while let Some(token) = tokens.get(at) {
            let next = |offset: usize| tokens.get(at + offset).map_or("", |next| &next.text);
            let after_dot = at > 0 && tokens[at - 1].is(".");
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "pub" if next(1) == "(" => at += group(&tokens[at + 1..]),
                "use" if next(1) != "<" => {
                    let end = tokens[at..].iter().position(|token| token.is(";")).unwrap();
                    let public = at > 0 && (tokens[at - 1].is("pub") || tokens[at - 1].is(")"));
                    self.modules[module].uses.extend(uses(&tokens[at + 1..at + end], public));
                    at += end;
                }
                "mod" if depth == 0 && next(2) == "{" => {
                    let name = next(1).to_owned();
                    let length = group(&tokens[at + 2..]);
                    let body = &tokens[at + 3..at + 1 + length];
                    let child = self.modules.len();
                    let file = self.modules[module].file;
                    self.modules.push(Module { file, parent: module, ..Module::default() });
                    self.modules[module].children.push((name.clone(), child));
                    self.module(child, body, &folder.join(name), read);
                    at += 1 + length;
                }
                "mod" if depth == 0 && next(2) == ";" => {
                    let name = next(1).to_owned();
                    let (path, below) = place(folder, &name, read);
                    let child = self.file(&path, module, &below, read);
                    self.modules[module].children.push((name, child));
                    at += 2;
                }
                word if depth == 0 && DEFINE.contains(&word) && self.is_word(tokens, at + 1) => {
                    self.modules[module].defines.insert(next(1).to_owned());
                    at += 1;
                }
                _ if token.is_word() && !after_dot => {
                    let mut path = vec![token.text.clone()];
                    while tokens.get(at + 1).is_some_and(|token| token.is("::"))
                        && self.is_word(tokens, at + 2)
                    {
                        path.push(tokens[at + 2].text.clone());
                        at += 2;
                    }
                    self.modules[module].paths.push(path);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn is_word(&self, tokens: &[Token], at: usize) -> bool {
        tokens.get(at).is_some_and(Token::is_word)
    }

    /// Every arrow from one file to another, sorted.
    pub(super) fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (at, module) in self.modules.iter().enumerate() {
            let mut add = |targets: Vec<Target>, name: &str| {
                for target in targets {
                    if let Target::Item(to) = target
                        && to != module.file
                    {
                        arrows.insert(Arrow { from: module.file, to, name: name.to_owned() });
                    }
                }
            };
            let words: BTreeSet<&str> = module.paths.iter().map(|path| path[0].as_str()).collect();
            for used in &module.uses {
                // What is only handed on is not needed here.
                if !used.public || words.contains(used.name.as_str()) {
                    add(self.resolve(at, &used.path, RENAMINGS), used.path.last().unwrap());
                }
            }
            for path in module.paths.iter().filter(|path| path.len() > 1) {
                let begins_in_a_module = matches!(path[0].as_str(), "crate" | "self" | "super")
                    || self
                        .resolve(at, &path[..1], RENAMINGS)
                        .iter()
                        .any(|target| matches!(target, Target::Module(_)));
                if begins_in_a_module {
                    add(self.resolve(at, path, RENAMINGS), path.last().unwrap());
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

    /// What a module calls by this path: what no `mod`, `use` or item names is made by a macro of its file.
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
            let through = |used: &&Use| self.resolve(at, &[&used.path, rest].concat(), renamings - 1);
            return Some(bound.iter().flat_map(through).collect());
        }
        let from_all = module.uses.iter().filter(|used| used.name == "*").find_map(|used| {
            let targets = self.resolve(at, &used.path, renamings - 1);
            targets.iter().find_map(|target| match target {
                Target::Module(all) => self.named(*all, path, renamings - 1),
                Target::Item(_) => None,
            })
        });
        from_all
    }

    /// Every path that a file names, from the root of the crate where it begins in one of its modules.
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

/// The file of a module, and the folder of its own modules.
fn place(folder: &Path, name: &str, read: &dyn Fn(&Path) -> Option<String>) -> (PathBuf, PathBuf) {
    let below = folder.join(name);
    let flat = folder.join(format!("{name}.rs"));
    if read(&flat).is_some() { (flat, below) } else { (below.join("mod.rs"), below) }
}
