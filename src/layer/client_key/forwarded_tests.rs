//! What is believed of forwarding headers, and that no bytes do harm.

use super::*;
use crate::layer::client_key::TrustedProxies;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn headers(name: &str, lines: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let name: HeaderName = name.parse().expect("a name");
        headers.append(name, http::HeaderValue::from_bytes(line).expect("a value"));
    }
    headers
}

/// With 10.0.0.0/8 and 2001:db8:aaaa::/48 trusted, and 10.0.0.1 the peer.
fn client(name: &str, lines: &[&str]) -> String {
    let proxies: TrustedProxies = "10.0.0.0/8,2001:db8:aaaa::/48".parse().expect("networks");
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    proxies.client(ip("10.0.0.1"), &headers(name, &lines)).to_string()
}

#[test]
fn x_forwarded_for() {
    for (lines, expected) in [
        (&["203.0.113.9"][..], "203.0.113.9"),
        (&["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (&["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        (&["6.6.6.6", "203.0.113.9", "10.0.0.3, 10.0.0.2"], "203.0.113.9"),
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["2001:db8::1"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["[2001:db8::1]:4711"], "2001:db8::1"),
        (&["203.0.113.9, 2001:db8:aaaa::7"], "203.0.113.9"),
        (&["::ffff:203.0.113.9"], "203.0.113.9"),
        (&["[::ffff:203.0.113.9]:1"], "203.0.113.9"),
        (&["203.0.113.9, ::ffff:10.0.0.2"], "203.0.113.9"),
        (&["203.0.113.9,, ,"], "203.0.113.9"),
        (&["\t203.0.113.9 \t"], "203.0.113.9"),
        // All trusted: the leftmost.
        (&["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
        // Unreadable: the last that was believed.
        (&["203.0.113.9, unknown"], "10.0.0.1"),
        (&["203.0.113.9, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["203.0.113.9, _hidden, 10.0.0.2"], "10.0.0.2"),
        (&["203.0.113.9, 999.1.1.1"], "10.0.0.1"),
        (&["203.0.113.9:"], "10.0.0.1"),
        (&["203.0.113.9:x"], "10.0.0.1"),
        (&["[2001:db8::1"], "10.0.0.1"),
        (&["[2001:db8::1]x"], "10.0.0.1"),
        (&["[203.0.113.9]"], "10.0.0.1"),
        (&["fe80::1%eth0"], "10.0.0.1"),
        (&["203.0.113.009"], "10.0.0.1"),
        (&["\"203.0.113.9"], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        (&[","], "10.0.0.1"),
        (&[], "10.0.0.1"),
    ] {
        assert_eq!(client("x-forwarded-for", lines), expected, "{lines:?}");
    }
}

#[test]
fn forwarded() {
    for (lines, expected) in [
        (&["for=203.0.113.9"][..], "203.0.113.9"),
        (&["For=\"203.0.113.9:4711\";proto=https;by=10.0.0.9"], "203.0.113.9"),
        (&["proto=https;FOR=203.0.113.9"], "203.0.113.9"),
        (&["for=\"[2001:db8::1]:4711\""], "2001:db8::1"),
        (&["for=\"[2001:db8::1]\""], "2001:db8::1"),
        (&["for=\"[::ffff:203.0.113.9]\""], "203.0.113.9"),
        (&["for=\"203.0.113.9:_port-1\""], "203.0.113.9"),
        (&["for=6.6.6.6, for=203.0.113.9;proto=http , for=10.0.0.2"], "203.0.113.9"),
        (&["for=6.6.6.6", "for=203.0.113.9, for=10.0.0.2;host=\"a,b;c\""], "203.0.113.9"),
        (&["for=203.0.113.9;host=\"a\\\",\\\"b\""], "203.0.113.9"),
        // An escaped quote ends nothing: what follows is still a host.
        (&["for=203.0.113.9;host=\"a\\\";for=6.6.6.6;b=\\\"c\""], "203.0.113.9"),
        (&["host=\"a\\\";for=6.6.6.6;b=\\\"c\";for=203.0.113.9"], "203.0.113.9"),
        // What a client wrote into a quoted value is no pair, however it is escaped.
        (&["host=\"a\\\";for=6.6.6.6;b=\\\"c\""], "10.0.0.1"),
        (&["for=203.0.113.9;host=\"a\\\\\";proto=http"], "203.0.113.9"),
        (&["for=203.0.113.9;"], "203.0.113.9"),
        // A stranger's open quote does not swallow what the proxy appended.
        (&["for=\"6.6.6.6, for=203.0.113.9"], "203.0.113.9"),
        (&["for=\"6.6.6.6\\, for=203.0.113.9"], "203.0.113.9"),
        (&["for=unknown"], "10.0.0.1"),
        (&["for=203.0.113.9, for=unknown, for=10.0.0.2"], "10.0.0.2"),
        (&["for=_SEVKISEK"], "10.0.0.1"),
        (&["for=203.0.113.9;for=203.0.113.9"], "10.0.0.1"),
        (&["for=\"203.0.113.9"], "10.0.0.1"),
        (&["proto=https"], "10.0.0.1"),
        (&["203.0.113.9"], "10.0.0.1"),
        (&["for=2001:db8::zz"], "10.0.0.1"),
        (&["for=\"\\2\\0\""], "10.0.0.1"),
        (&["for="], "10.0.0.1"),
        (&[""], "10.0.0.1"),
    ] {
        assert_eq!(client("forwarded", lines), expected, "{lines:?}");
    }
}

#[test]
fn strangers_are_not_believed() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
    let forged = headers("x-forwarded-for", &[b"10.9.9.9"]);
    assert_eq!(proxies.client(ip("203.0.113.9"), &forged), ip("203.0.113.9"));
    assert_eq!(
        proxies.client(ip("::ffff:10.0.0.1"), &forged),
        ip("10.9.9.9"),
        "folded before it is looked up"
    );
    assert_eq!(TrustedProxies::default().client(ip("10.0.0.1"), &forged), ip("10.0.0.1"));
}

#[test]
fn two_headers_that_disagree_count_for_the_proxy() {
    let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
    let mut both = headers("x-forwarded-for", &[b"203.0.113.9"]);
    both.insert(FORWARDED, http::HeaderValue::from_static("for=203.0.113.9"));
    let by = |header, both: &HeaderMap| {
        proxies.clone().with_header(header).client(ip("10.0.0.1"), both).to_string()
    };
    assert_eq!(by(ForwardedHeader::Either, &both), "203.0.113.9");
    both.insert(FORWARDED, http::HeaderValue::from_static("for=6.6.6.6"));
    assert_eq!(by(ForwardedHeader::Either, &both), "10.0.0.1");
    assert_eq!(by(ForwardedHeader::Forwarded, &both), "6.6.6.6");
    assert_eq!(by(ForwardedHeader::XForwardedFor, &both), "203.0.113.9");
}

#[test]
fn work_is_bounded() {
    let hops = vec!["10.0.0.2"; 200].join(",");
    assert_eq!(client("x-forwarded-for", &[&format!("203.0.113.9,{hops}")]), "10.0.0.2");
    let near = vec!["10.0.0.2"; MAX_HOPS - 1].join(",");
    assert_eq!(client("x-forwarded-for", &[&format!("203.0.113.9,{near}")]), "203.0.113.9");
    assert_eq!(
        client("x-forwarded-for", &[&format!("203.0.113.9,{}", ",".repeat(60_000))]),
        "10.0.0.1"
    );
    assert_eq!(
        client("x-forwarded-for", &[&format!("203.0.113.9,{}", " ".repeat(60_000))]),
        "10.0.0.1"
    );
    assert_eq!(
        client("forwarded", &[&format!("for=203.0.113.9;x=\"{}", "\\".repeat(60_000))]),
        "10.0.0.1"
    );
    let long = " ".repeat(60_000);
    assert_eq!(
        client("x-forwarded-for", &["203.0.113.9", &long]),
        "10.0.0.1",
        "not past a line that is too long"
    );
    let lines = vec![""; 1_000];
    assert_eq!(client("x-forwarded-for", &[&["203.0.113.9"][..], &lines].concat()), "10.0.0.1");
}

#[test]
fn networks_are_read() {
    let proxies: TrustedProxies =
        " 10.0.0.0/8 ,192.0.2.1, ::1 ,::ffff:172.16.0.0/108,".parse().expect("networks");
    for trusted in ["10.255.0.1", "192.0.2.1", "::1", "172.16.3.4", "::ffff:172.16.3.4"] {
        assert!(proxies.trusts(ip(trusted)), "{trusted}");
    }
    for other in ["192.0.2.2", "11.0.0.1", "::2", "172.32.0.1"] {
        assert!(!proxies.trusts(ip(other)), "{other}");
    }
    assert!("".parse::<TrustedProxies>().is_ok());
    for wrong in ["10.0.0.0/33", "10.0.0/8", "localhost", "10.0.0.0/8;::1", "::/129"] {
        let error = wrong.parse::<TrustedProxies>().expect_err(wrong).to_string();
        assert!(error.contains("like 10.0.0.0/8"), "{error}");
    }
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "for=",
        "For = ",
        "\"",
        "\\",
        ",",
        ";",
        ":",
        "[",
        "]",
        "_x",
        "unknown",
        "10.0.0.2",
        "203.0.113.9",
        "2001:db8::1",
        "::ffff:10.0.0.2",
        " ",
        "by=",
        "proto=https",
        ":80",
        "\u{e9}",
    ];
    prop_oneof![
        proptest::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec()),
        proptest::collection::vec(prop_oneof![Just(b'\t'), 0x20u8..0x7f, 0x80u8..=0xff], 0..6),
    ]
}

proptest! {
    /// Whatever a stranger sends, what the proxy appended decides.
    #[test]
    fn what_the_proxy_appended_decides(
        junk in proptest::collection::vec(piece(), 0..30),
        own_line in any::<bool>(),
    ) {
        let junk = junk.concat();
        let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
        for (name, appended) in [
            ("x-forwarded-for", &b"203.0.113.77, 10.0.0.2"[..]),
            ("forwarded", b"for=203.0.113.77;proto=https, for=10.0.0.2"),
        ] {
            let joined = [&junk, &b", "[..], appended].concat();
            let lines: &[&[u8]] = if own_line { &[&junk, appended] } else { &[&joined] };
            let client = proxies.client(ip("10.0.0.1"), &headers(name, lines));
            prop_assert_eq!(client, ip("203.0.113.77"));
        }
    }

    /// Junk alone never panics, and the answer is the peer or an address that stands there.
    #[test]
    fn junk_is_harmless(
        lines in proptest::collection::vec(proptest::collection::vec(piece(), 0..12), 0..4),
    ) {
        let lines: Vec<Vec<u8>> = lines.into_iter().map(|line| line.concat()).collect();
        let lines: Vec<&[u8]> = lines.iter().map(|line| &line[..]).collect();
        let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("a network");
        for name in ["x-forwarded-for", "forwarded"] {
            let client = proxies.client(ip("10.0.0.1"), &headers(name, &lines));
            prop_assert_eq!(client, client.to_canonical());
        }
    }

    #[test]
    fn every_address_is_read(v4 in any::<u32>(), v6 in any::<u128>(), port in any::<u16>()) {
        let (v4, v6) = (std::net::Ipv4Addr::from_bits(v4), Ipv6Addr::from_bits(v6));
        let folded = IpAddr::V6(v6).to_canonical();
        prop_assert_eq!(node(v4.to_string().as_bytes()), Some(IpAddr::V4(v4)));
        prop_assert_eq!(node(format!("{v4}:{port}").as_bytes()), Some(IpAddr::V4(v4)));
        prop_assert_eq!(node(v6.to_string().as_bytes()), Some(folded));
        prop_assert_eq!(node(format!("[{v6}]:{port}").as_bytes()), Some(folded));
        let element = format!("by=x;for=\"[{v6}]:{port}\"");
        prop_assert_eq!(forwarded_for(element.as_bytes()), Some(folded));
    }
}

#[test]
fn a_header_that_holds_one_address() {
    use ForwardedHeader::{CfConnectingIp, FlyClientIp, Single, XForwardedFor, XRealIp};
    let proxies: TrustedProxies = "10.0.0.0/8".parse().expect("networks");
    let (proxy, stranger) = (ip("10.0.0.1"), ip("203.0.113.50"));
    let own = HeaderName::from_static("true-client-ip");
    for (header, name) in [
        (XRealIp, "x-real-ip"),
        (CfConnectingIp, "cf-connecting-ip"),
        (FlyClientIp, "fly-client-ip"),
        (Single(own), "true-client-ip"),
    ] {
        let proxies = proxies.clone().with_header(header);
        let says = |peer, lines: &[&[u8]]| proxies.client(peer, &headers(name, lines)).to_string();
        for (line, client) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9\t", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("203.0.113.9:4711", "203.0.113.9"),
            // No address, or more than one: the proxy itself.
            ("", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("203.0.113.9, 203.0.113.10", "10.0.0.1"),
            ("203.0.113.9 203.0.113.10", "10.0.0.1"),
        ] {
            assert_eq!(says(proxy, &[line.as_bytes()]), client, "{name}: {line}");
        }
        assert_eq!(says(proxy, &[]), "10.0.0.1", "{name}");
        assert_eq!(says(proxy, &[b"203.0.113.9", b"203.0.113.9"]), "10.0.0.1", "{name} twice");
        assert_eq!(says(proxy, &[b"203.0.113.9\xff"]), "10.0.0.1", "{name}");
        assert_eq!(says(proxy, &[&[b'1'; 65_536]]), "10.0.0.1", "{name}");
        // Whoever is no proxy is not believed, and no other header is.
        assert_eq!(says(stranger, &[b"203.0.113.9"]), "203.0.113.50", "{name}");
        let others = headers("x-forwarded-for", &[b"203.0.113.9"]);
        assert_eq!(proxies.client(proxy, &others), proxy, "{name}");
        let lists = proxies.with_header(XForwardedFor);
        assert_eq!(lists.client(proxy, &headers(name, &[b"203.0.113.9"])), proxy, "{name}");
    }
}
