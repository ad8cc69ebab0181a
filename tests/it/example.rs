//! The example `gateway`, for tests that run it as a process of its own.

use std::{path::PathBuf, process::Command, sync::OnceLock};

/// Its program, built anew if it is older than this test: `cargo test` builds the examples,
/// `cargo test --test it` does not.
pub(crate) fn gateway() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("examples/gateway");
        let modified = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
        if modified(&program) < modified(&test) {
            let mut build = Command::new(env!("CARGO"));
            build.args(["build", "--quiet", "--all-features", "--example", "gateway"]);
            // What cargo says of this test would make it build some dependencies anew.
            for (name, _) in std::env::vars_os() {
                let name = name.to_string_lossy();
                if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                    build.env_remove(&*name);
                }
            }
            assert!(build.status().unwrap().success(), "the gateway does not build");
        }
        program
    })
}
