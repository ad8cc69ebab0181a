//! The modules of a crate, and what each of them defines and names.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{
    lexer::{Token, code_lines, group, tokens, without_tests},
    uses::{Use, uses},
};

/// A source of the crate.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) code_lines: usize,
}

/// A module, in a file of its own or within one.
#[derive(Default)]
pub(super) struct Module {
    pub(super) file: usize,
    pub(super) parent: usize,
    pub(super) children: Vec<(String, usize)>,
    pub(super) defines: BTreeSet<String>,
    pub(super) uses: Vec<Use>,
    /// Every path in the code, but for those of `use`.
    pub(super) paths: Vec<Vec<String>>,
}

/// A crate, but for its tests.
#[derive(Default)]
pub(super) struct Crate {
    pub(super) files: Vec<File>,
    pub(super) modules: Vec<Module>,
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
                word if depth == 0 && DEFINE.contains(&word) && is_word(tokens, at + 1) => {
                    self.modules[module].defines.insert(next(1).to_owned());
                    at += 1;
                }
                _ if token.is_word() && !after_dot => {
                    let mut path = vec![token.text.clone()];
                    while tokens.get(at + 1).is_some_and(|token| token.is("::"))
                        && is_word(tokens, at + 2)
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
}

fn is_word(tokens: &[Token], at: usize) -> bool {
    tokens.get(at).is_some_and(Token::is_word)
}

/// The file of a module, and the folder of its own modules.
fn place(folder: &Path, name: &str, read: &dyn Fn(&Path) -> Option<String>) -> (PathBuf, PathBuf) {
    let below = folder.join(name);
    let flat = folder.join(format!("{name}.rs"));
    if read(&flat).is_some() { (flat, below) } else { (below.join("mod.rs"), below) }
}
