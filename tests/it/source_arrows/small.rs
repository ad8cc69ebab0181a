//! Each check fails where it should: on sources of a few lines.

use std::{collections::BTreeMap, path::Path};

use super::{
    circles, evenkeel,
    lexer::{code_lines, tokens, without_tests},
    modules::Crate,
    names, room, src,
    uses::uses,
    wide_comments,
};

fn sources(files: &[(&str, &str)]) -> Crate {
    let files: BTreeMap<String, String> =
        files.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned())).collect();
    Crate::with(Path::new("src/lib.rs"), &|path| files.get(&*path.to_string_lossy()).cloned())
}

/// `from -> to: name`, with the names of the files.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let read = sources(files);
    let file = |at: usize| read.files[at].path.strip_prefix("src").unwrap().display().to_string();
    let line =
        |arrow: super::Arrow| format!("{} -> {}: {}", file(arrow.from), file(arrow.to), arrow.name);
    read.arrows().into_iter().map(line).collect()
}

fn code(source: &str) -> String {
    let kept = without_tests(&tokens(source));
    kept.iter().map(|token| token.text.clone()).collect::<Vec<_>>().join(" ")
}

#[test]
fn tokens_are_told_from_what_only_looks_like_them() {
    assert_eq!(code("a/* /* x */ */.b // c\n::d"), "a . b :: d");
    assert_eq!(code(r##"r#"a " use x"# b"\"" "\\" 'x' '\'' '"' <'a>"##), {
        r##"r#"a " use x"# b"\"" "\\" 'x' '\'' '"' < 'a >"##
    });
    assert_eq!(code_lines(&tokens("a\n\n// b\nc(\n\"d\ne\")")), 4);
}

#[test]
fn tests_are_left_out() {
    assert_eq!(code("a; #[cfg(test)] #[b] mod c { d; } e"), "a ; e");
    assert_eq!(code("#[cfg(test)] pub(crate) use a::{b, c}; d"), "d");
    assert_eq!(code("#[cfg(all(test, feature = \"x\"))] mod c; e"), "e");
    assert_eq!(code("struct A { #[cfg(test)] b: C<D>, e: F }"), "struct A { e : F }");
    assert_eq!(code("#[cfg(test)] const fn a(b: C, d: E) -> F { g; } h"), "h");
    assert_eq!(code("#![cfg(test)] a"), "");
    assert_eq!(code("#[cfg(any(test, feature = \"x\"))] a"), {
        "# [ cfg ( any ( test , feature = \"x\" ) ) ] a"
    });
}

#[test]
fn uses_are_taken_apart() {
    let names = |text: &str| {
        let found = uses(&tokens(text), false).into_iter();
        found.map(|used| format!("{}={}", used.name, used.path.join("::"))).collect::<Vec<_>>()
    };
    assert_eq!(names("a::b"), ["b=a::b"]);
    assert_eq!(names("super::{self as up, a::{self, B as C}, d::*,}"), {
        ["up=super", "a=super::a", "C=super::a::B", "*=super::d"]
    });
}

#[test]
fn an_arrow_leads_to_the_file_that_defines() {
    let found = arrows(&[
        ("lib.rs", "mod a; mod b; pub use b::Thing;"),
        ("a.rs", "use crate::Thing; fn f() { super::b::make(); }"),
        (
            "b/mod.rs",
            "mod inner; mod other; pub use inner::{Thing, make}; pub(crate) use self::other as o;",
        ),
        ("b/inner.rs", "pub struct Thing; pub fn make() {}"),
        ("b/other.rs", "use super::inner; fn g(_: inner::Thing) -> super::o::X {} macro! { X }"),
    ]);
    let expected = [
        "a.rs -> b/inner.rs: Thing",
        "a.rs -> b/inner.rs: make",
        "b/other.rs -> b/inner.rs: Thing",
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_handed_on_is_no_arrow_unless_it_is_used() {
    let with = |lib: &str| arrows(&[("lib.rs", lib), ("a.rs", "pub struct A;")]);
    assert_eq!(with("mod a; pub use a::A;"), [""; 0]);
    assert_eq!(with("mod a; pub use a::A; fn f(x: X) { x.A; }"), [""; 0]);
    assert_eq!(with("mod a; pub use a::A; fn f(_: A) {}"), ["lib.rs -> a.rs: A"]);
    assert_eq!(with("mod a; fn f(_: a::A) {}"), ["lib.rs -> a.rs: A"]);
    assert_eq!(with("mod a; use a::A;"), ["lib.rs -> a.rs: A"]);
    assert_eq!(with("mod a; mod b { use super::a::*; fn f(_: A) {} }"), ["lib.rs -> a.rs: *"]);
}

#[test]
fn circles_are_found_whatever_way_they_go() {
    let circle = |files: &[(&str, &str)]| circles(&sources(files).arrows()).len();
    let lib = ("lib.rs", "mod a; mod b; mod c;");
    let (b, c) =
        (("b.rs", "use crate::c::C; pub struct B;"), ("c.rs", "pub struct C(super::a::A);"));
    assert_eq!(circle(&[lib, ("a.rs", "use super::b::B; pub struct A;"), b, c]), 3);
    assert_eq!(circle(&[lib, ("a.rs", "pub struct A;"), b, c]), 0);
    assert_eq!(circle(&[lib, ("a.rs", "#[cfg(test)] use super::b::B; pub struct A;"), b, c]), 0);
    // A child that needs what its parent defines, which needs the child.
    let child = ("a.rs", "use super::X; pub fn f() {}");
    assert_eq!(circle(&[("lib.rs", "mod a; struct X; fn g() { a::f() }"), child]), 2);
    assert_eq!(circle(&[("lib.rs", "mod a; struct X; pub use a::f;"), child]), 0);
}

#[test]
fn wide_comments_are_found() {
    let wide = "word ".repeat(20);
    let lines = [
        format!("// {wide}"),
        format!("//! {}é", &wide[..96]),
        format!("    /// {wide}"),
        format!("/// | {wide}"),
        format!("/// [`link`]: {wide}"),
        format!("/// ```\n/// {wide}\n/// ```"),
        format!("let line = \"{wide}\";"),
        format!("/// [{wide}]"),
    ];
    assert_eq!(wide_comments(&lines.join("\n")), [1, 2, 3, 10]);
}

#[test]
fn rooms_are_named_in_every_way() {
    let read = sources(&[
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod c; use crate::{Error, redis::{Connection, Redis}};"),
        ("a/c.rs", "use super::super::store; fn f() { http::x(); } // tower::Layer"),
        ("b.rs", "use crate::{config::redis::X, health::redis}; use super::b::redis;"),
    ]);
    let room_names = |name: &str, what: &str| {
        let paths = read.paths().into_iter();
        paths
            .filter(|(file, _)| read.files[*file].path.to_string_lossy().contains(name))
            .any(|(_, path)| names(&path, what))
    };
    assert!(room_names("a/mod", "crate::redis") && room_names("a/mod", "redis::Connection"));
    assert!(room_names("a/c", "crate::store") && room_names("a/c", "http"));
    assert!(!room_names("a/c", "tower") && !room_names("b", "crate::redis"));
}

#[test]
fn the_whole_crate_is_read() {
    let evenkeel = evenkeel();
    assert!(evenkeel.files.len() > 50 && evenkeel.arrows().len() > 200);
    assert!(room(&src().join("redis/call.rs")) == "redis");
    assert!(evenkeel.files.iter().all(|file| file.code_lines < 1_000));
}
