//! The arrows between the rooms of `src/`: `layer -> store -> {redis, memory}`; all of them `-> health`, which knows none.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// In which rooms what may not be named. A room is a folder or a file of `src/`, or one with its folder.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "health",
        &["crate::redis", "crate::store", "crate::layer", "crate::memory", "http::", "tower::"],
    ),
    ("redis", &["crate::store", "crate::layer", "crate::memory", "crate::respond", "tower::"]),
    ("memory", &["crate::redis", "crate::store", "crate::layer", "crate::health", "tower::"]),
    ("store", &["crate::layer", "crate::respond", "crate::health_router", "http::", "tower::"]),
    (
        "layer",
        &["deadpool_redis", "redis::aio", "redis::client", "redis::Connection", "redis::Script"],
    ),
    ("respond", &["crate::layer", "crate::store", "crate::redis"]),
    ("health_router", &["crate::layer", "crate::store", "crate::redis"]),
    ("telemetry", &["crate::redis", "crate::store", "crate::layer", "crate::health::"]),
];

/// The room that knows the client.
const KNOW_THE_CLIENT: &[&str] = &["redis"];

/// Every source of a room, with its code: no comments, no tests.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let code = code(&fs::read_to_string(&path).unwrap());
            found.push((path, code));
        }
    }
    found
}

fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|l| format!("{l}\n"))
        .collect()
}

/// The first name below `src/`, without `.rs`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(src()).unwrap();
    below.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// `use crate::{redis::X, …}` names `crate::redis`, too.
fn names(code: &str, what: &str) -> bool {
    if code.contains(what) {
        return true;
    }
    let Some(module) = what.strip_prefix("crate::") else { return false };
    code.split("crate::{").skip(1).any(|rest| {
        let group = rest.split(";\n").next().unwrap_or_default();
        let mut depth = 0;
        let mut start = true;
        let mut word = String::new();
        let mut first = Vec::new();
        for c in group.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    first.push(std::mem::take(&mut word));
                    start = true;
                    continue;
                }
                ':' if depth == 0 => start = false,
                _ => {}
            }
            if start && depth == 0 && (c.is_alphanumeric() || c == '_') {
                word.push(c);
            }
        }
        first.push(word);
        first.iter().any(|name| name == module.trim_end_matches("::"))
    })
}

#[test]
fn point_one_way() {
    let mut wrong = Vec::new();
    for (path, code) in sources(&src()) {
        let room = room(&path);
        if path.to_string_lossy().contains("_tests/") {
            continue;
        }
        let forbidden = FORBIDDEN.iter().filter(|(from, _)| *from == room);
        for what in forbidden.flat_map(|(_, what)| *what) {
            if names(&code, what) {
                wrong.push(format!("{} names {what}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_one_room_knows_the_client() {
    let mut wrong = Vec::new();
    for (path, code) in sources(&src()) {
        if code.contains("deadpool_redis") && !KNOW_THE_CLIENT.contains(&room(&path).as_str()) {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn this_test_can_fail() {
    assert!(names("use crate::redis::Redis;\n", "crate::redis"));
    assert!(names(
        "use crate::{\n    Error,\n    redis::{Connection, Redis},\n};\n",
        "crate::redis"
    ));
    assert!(names("use crate::{health::{Fault, State}, redis};\n", "crate::redis"));
    assert!(!names("use crate::{config::redis::X, health::redis, Error};\n", "crate::redis"));
    assert!(!names("use super::redis;\n", "crate::redis"));
    assert_eq!(code("let a;\n// deadpool_redis\n    /// crate::redis\n"), "let a;\n");
    assert!(sources(&src()).len() > 50 && room(&src().join("redis/call.rs")) == "redis");
}
