//! The arrows between the rooms of `src/` (`layer -> store -> {redis, memory}`; all of them
//! `-> health`, which knows none) and between its files, which make no circle; how long a file is,
//! and how wide.

mod arrows;
mod lexer;
mod modules;
mod small;
mod uses;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use arrows::Arrow;
use modules::Crate;

/// In which rooms what may not be named. A room is a folder or a file of `src/`, or one with its
/// folder.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "health",
        &[
            "crate::redis",
            "crate::store",
            "crate::jobs",
            "crate::layer",
            "crate::memory",
            "http",
            "tower",
        ],
    ),
    (
        "redis",
        &[
            "crate::jobs",
            "crate::store",
            "crate::layer",
            "crate::memory",
            "crate::respond",
            "tower",
        ],
    ),
    (
        "memory",
        &["crate::jobs", "crate::redis", "crate::store", "crate::layer", "crate::health", "tower"],
    ),
    (
        "store",
        &["crate::jobs", "crate::layer", "crate::respond", "crate::health_router", "http", "tower"],
    ),
    (
        "jobs",
        &[
            "crate::layer",
            "crate::memory",
            "crate::respond",
            "crate::health_router",
            "http",
            "tower",
        ],
    ),
    (
        "layer",
        &[
            "crate::jobs",
            "deadpool_redis",
            "redis::aio",
            "redis::client",
            "redis::Connection",
            "redis::Script",
        ],
    ),
    ("respond", &["crate::jobs", "crate::layer", "crate::store", "crate::redis"]),
    ("health_router", &["crate::jobs", "crate::layer", "crate::store", "crate::redis"]),
    (
        "telemetry",
        &["crate::jobs", "crate::redis", "crate::store", "crate::layer", "crate::health"],
    ),
];

/// The room that knows the client.
const KNOWS_THE_CLIENT: &str = "redis";

/// The longest file that is seen whole, in lines of code.
const CODE_LINES: usize = 250;
/// The widest comment, and the widest line of a script.
const COLUMNS: usize = 100;

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn evenkeel() -> Crate {
    Crate::read(&src().join("lib.rs"))
}

/// The first name below `src/`, without `.rs`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(src()).unwrap();
    below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// Whether these names follow each other in the path, from its beginning or below `crate`.
fn names(path: &[String], what: &str) -> bool {
    let what: Vec<&str> = what.split("::").collect();
    let begins =
        |path: &[String]| path.len() >= what.len() && path.iter().zip(&what).all(|(a, b)| a == b);
    begins(path) || path.first().is_some_and(|first| first == "crate") && begins(&path[1..])
}

/// The arrows that are part of a circle.
fn circles(arrows: &BTreeSet<Arrow>) -> BTreeSet<Arrow> {
    let mut next: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for arrow in arrows {
        next.entry(arrow.from).or_default().insert(arrow.to);
    }
    let reached = |from: usize| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
        while let Some(at) = todo.pop() {
            todo.extend(next.get(&at).into_iter().flatten().filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reached: BTreeMap<usize, _> = next.keys().map(|from| (*from, reached(*from))).collect();
    let leads_back = |arrow: &&Arrow| {
        reached.get(&arrow.to).is_some_and(|reached| reached.contains(&arrow.from))
    };
    arrows.iter().filter(leads_back).cloned().collect()
}

/// The lines with a comment that is too wide. A table, an example and the target of a link cannot
/// be wrapped.
fn wide_comments(source: &str) -> Vec<usize> {
    let mut wide = Vec::new();
    let mut is_example = false;
    for (at, line) in source.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else { continue };
        let comment = comment.trim_start_matches(['/', '!']).trim_start();
        is_example ^= comment.starts_with("```");
        let is_link = comment.starts_with('[') && comment.contains("]: ");
        if line.chars().count() > COLUMNS && !is_example && !comment.starts_with('|') && !is_link {
            wide.push(at + 1);
        }
    }
    wide
}

#[test]
fn point_one_way() {
    let evenkeel = evenkeel();
    let mut wrong = Vec::new();
    for (file, path) in evenkeel.paths() {
        let file = &evenkeel.files[file].path;
        let room = room(file);
        let forbidden = FORBIDDEN.iter().filter(|(from, _)| *from == room);
        if forbidden.flat_map(|(_, what)| *what).any(|what| names(&path, what)) {
            wrong.push(format!("{} names {}", file.display(), path.join("::")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_one_room_knows_the_client() {
    let evenkeel = evenkeel();
    let named = evenkeel.paths().into_iter().filter(|(_, path)| path[0] == "deadpool_redis");
    let rooms: BTreeSet<String> = named.map(|(file, _)| room(&evenkeel.files[file].path)).collect();
    assert_eq!(rooms, BTreeSet::from([KNOWS_THE_CLIENT.to_owned()]));
}

#[test]
fn no_circle_between_files() {
    let evenkeel = evenkeel();
    let file = |at: usize| evenkeel.files[at].path.strip_prefix(src()).unwrap().display();
    let circles: Vec<String> = circles(&evenkeel.arrows())
        .into_iter()
        .map(|arrow| format!("{} -> {}: {}", file(arrow.from), file(arrow.to), arrow.name))
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn every_file_is_seen_whole() {
    let files = evenkeel().files;
    let long: Vec<_> = files.iter().filter(|file| file.code_lines > CODE_LINES).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn comments_are_read_without_scrolling() {
    let mut wide = Vec::new();
    for file in evenkeel().files {
        let source = fs::read_to_string(&file.path).unwrap();
        let lines = wide_comments(&source).into_iter();
        wide.extend(lines.map(|line| format!("{}:{line}", file.path.display())));
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn scripts_are_read_without_scrolling() {
    let (scripts, mut wide) = (files_below(&src(), "lua"), Vec::new());
    for path in &scripts {
        let source = fs::read_to_string(path).unwrap();
        let lines = source.lines().zip(1..).filter(|(line, _)| line.len() > COLUMNS);
        wide.extend(lines.map(|(_, at)| format!("{}:{at}", path.display())));
    }
    assert!(!scripts.is_empty() && wide.is_empty(), "{wide:#?}");
}

/// The files of this kind in a folder and below it.
pub(crate) fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|its| its == extension) {
                files.push(path);
            }
        }
    }
    files
}
