//! A session's record as a broken or foreign Redis might answer it: no panic, and what is read is
//! written again as it was.
//!
//! `cargo +nightly fuzz run record`
#![no_main]

use std::sync::LazyLock;

use evenkeel::testing::{any_record, read_record};
use libfuzzer_sys::fuzz_target;

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(any_record);

fuzz_target!(|data: &[u8]| {
    // As it is, and behind the header of a record.
    read_record(data);
    read_record(&[&GOOD[..56], data].concat());

    // A record, bent: where and how the data says.
    let mut bent = GOOD.clone();
    for pair in data.chunks_exact(2) {
        let at = usize::from(pair[0]) % bent.len();
        bent[at] = pair[1];
    }
    read_record(&bent);
});
