//! README and the guides: their links lead somewhere, and the first program that they show is the one
//! that is built as an outside crate.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use crate::source_arrows::files_below;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let in_root = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let guides = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let guides = guides.filter(|path| path.is_file());
    in_root.into_iter().chain(guides).collect()
}

/// The targets of links, inline and by reference, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            links.extend(inline.map(str::to_owned));
            if let Some((_, target)) = line.strip_prefix('[').and_then(|l| l.split_once("]: ")) {
                links.push(target.to_owned());
            }
        }
    }
    links
}

/// The anchors of a document's headings, as GitHub and rustdoc make them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let slug = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    headings.map(slug).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut checked = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for link in links(&text).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap_or(Path::new("")).join(path),
            };
            assert!(target.exists(), "{}: {link}", document.display());
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{}: {link}", document.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked} links");
}

#[test]
fn the_first_program_is_the_one_that_is_built_outside() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let program = fs::read_to_string(root().join("tests/outside/src/main.rs")).unwrap();
    let shown = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(&*program));
}

/// Adds the names of all tests in a folder and below it.
fn add_tests(folder: &Path, found: &mut HashSet<String>) {
    for path in files_below(folder, "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some((name, _)) = line.strip_prefix("fn ").and_then(|l| l.split_once('('))
                && std::mem::take(&mut is_test)
            {
                found.insert(name.to_owned());
            }
        }
    }
}

#[test]
fn each_test_that_holds_a_line_of_security_is_there() {
    let mut tests = HashSet::new();
    ["src", "tests"].iter().for_each(|folder| add_tests(&root().join(folder), &mut tests));
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let (mut named, mut unheld) = (0, 0);
    for line in text.lines().filter(|line| line.starts_with('|') && line.contains("can")) {
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        for name in &names {
            assert!(tests.contains(*name), "no test {name}");
        }
        assert!(!names.is_empty() || line.contains("**can**"), "nothing holds: {line}");
        named += names.len();
        unheld += usize::from(names.is_empty());
    }
    assert!(named > 40 && unheld < 10, "{named} names, {unheld} lines that nothing holds");
}
