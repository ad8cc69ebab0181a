//! What a `use` brings into a module.

use super::lexer::Token;

/// One name, and the path that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// `*` for all that a module has.
    pub(super) name: String,
    pub(super) path: Vec<String>,
    /// Whether others can use the name: `pub use`, `pub(crate) use`.
    pub(super) public: bool,
}

/// Takes `a::{b, c as d, e::{self, f}}` apart.
pub(super) fn uses(tokens: &[Token], public: bool) -> Vec<Use> {
    let mut found = Vec::new();
    tree(tokens, &[], &mut found);
    let named = |(name, path)| Use { name, path, public };
    found.into_iter().map(named).collect()
}

fn tree(tokens: &[Token], before: &[String], found: &mut Vec<(String, Vec<String>)>) {
    let mut path = before.to_vec();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "{" => {
                for branch in branches(&tokens[at + 1..tokens.len() - 1]) {
                    tree(branch, &path, found);
                }
                return;
            }
            "*" => return found.push(("*".to_owned(), path)),
            "as" => return found.push((tokens[at + 1].text.clone(), path)),
            "::" => {}
            // `a::{self}`; a path that begins with it keeps it.
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        at += 1;
    }
    if let Some(name) = path.last().cloned() {
        found.push((name, path));
    }
}

/// Splits at the commas that are in no braces.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let mut depth = 0;
    let comma = |token: &Token| {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && token.is(",")
    };
    tokens.split(comma).filter(|branch| !branch.is_empty()).collect()
}
