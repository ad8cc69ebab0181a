//! Forwarding headers of a stranger: no panic, bounded work, and whatever they send, what our proxy
//! appended decides.
//!
//! `cargo +nightly fuzz run forwarded`
#![no_main]

use std::net::IpAddr;

use evenkeel::layer::client_key::{ForwardedHeader, TrustedProxies};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let peer = IpAddr::from([10, 0, 0, 1]);
    let client = IpAddr::from([203, 0, 113, 77]);
    let proxies: TrustedProxies = "10.0.0.0/8,2001:db8::/32".parse().unwrap();

    // Lines are split at line feeds, which no header can hold.
    let lines =
        || data.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let names = [HeaderName::from_static("forwarded"), HeaderName::from_static("x-forwarded-for")];
    let appended =
        ["for=203.0.113.77;proto=https, for=\"[2001:db8::2]:80\"", "203.0.113.77, 2001:db8::2"];

    let mut all = HeaderMap::new();
    for (name, own) in names.iter().zip(appended) {
        let mut headers = HeaderMap::new();
        for line in lines() {
            headers.append(name.clone(), line.clone());
            all.append(name.clone(), line);
        }
        let said = proxies.client(peer, &headers);
        assert_eq!(said, said.to_canonical());

        // The proxy adds a line, or adds to the last line.
        let mut added = headers.clone();
        added.append(name.clone(), HeaderValue::from_static(own));
        assert_eq!(proxies.client(peer, &added), client);
        if let Some(last) = lines().last() {
            let joined = [last.as_bytes(), b", ", own.as_bytes()].concat();
            let mut joined_headers = HeaderMap::new();
            joined_headers.append(name.clone(), HeaderValue::from_bytes(&joined).unwrap());
            assert_eq!(proxies.client(peer, &joined_headers), client);
        }

        // A stranger is never believed.
        let stranger = IpAddr::from([198, 51, 100, 1]);
        assert_eq!(proxies.client(stranger, &headers), stranger);
    }
    let single = ForwardedHeader::Single(HeaderName::from_static("x-forwarded-for"));
    for header in [
        ForwardedHeader::Either,
        ForwardedHeader::Forwarded,
        ForwardedHeader::XForwardedFor,
        single,
    ] {
        let _ = proxies.clone().with_header(header).client(peer, &all);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = text.parse::<TrustedProxies>();
    }
});
