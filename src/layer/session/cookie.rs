//! Cookies, as they come and as they go.

use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY},
};
use memchr::memchr_iter;

/// The names of the two cookies, and how they are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cookies {
    pub(crate) id: &'static str,
    pub(crate) snapshot: &'static str,
    is_secure: bool,
}

impl Cookies {
    /// What browsers take from this very host and by TLS only.
    pub(crate) const SECURE: Self =
        Self { id: "__Host-sid", snapshot: "__Host-sd", is_secure: true };
    /// For a server that is spoken to without TLS: a browser takes no `__Host-` there.
    pub(crate) const PLAIN: Self = Self { id: "sid", snapshot: "sd", is_secure: false };

    fn set(self, name: &str, value: &str, seconds: u64) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let cookie =
            format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::try_from(cookie).ok()
    }

    /// Sets a cookie for so long.
    pub(crate) fn give(self, headers: &mut HeaderMap, name: &str, value: &str, seconds: u64) {
        if let Some(cookie) = self.set(name, value, seconds) {
            headers.append(SET_COOKIE, cookie);
        }
    }

    /// Takes both cookies away.
    pub(crate) fn remove(self, headers: &mut HeaderMap) {
        self.give(headers, self.id, "", 0);
        self.give(headers, self.snapshot, "", 0);
    }
}

/// An answer that sets a cookie is for one client alone.
pub(crate) fn keep_from_caches(headers: &mut HeaderMap) {
    headers.append(CACHE_CONTROL, HeaderValue::from_static("no-cache=\"Set-Cookie\""));
    let varies = headers.get_all(VARY).iter().any(|value| {
        let names = value.as_bytes().split(|byte| *byte == b',');
        names
            .map(<[u8]>::trim_ascii)
            .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie"))
    });
    if !varies {
        headers.append(VARY, HeaderValue::from_static("Cookie"));
    }
}

/// The `Cookie` headers of a request; HTTP/2 may send several. Read only when asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl Shown {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(COOKIE).iter().cloned();
        Self { first: all.next(), others: all.collect() }
    }

    /// The value of the cookie of this name. Two that differ are none: who put them there cannot be told.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let headers = self.first.iter().chain(&self.others);
        let mut found = None;
        for pair in headers.flat_map(|header| pairs(header.as_bytes())) {
            let Some(value) = value_of(pair, name) else { continue };
            match found {
                Some(other) if other != value => return None,
                _ => found = Some(value),
            }
        }
        std::str::from_utf8(found?).ok()
    }

    /// Whether there is a cookie of this name, whatever its value.
    pub(crate) fn has(&self, name: &str) -> bool {
        let mut headers = self.first.iter().chain(&self.others);
        headers.any(|header| pairs(header.as_bytes()).any(|pair| value_of(pair, name).is_some()))
    }
}

/// `name=value` each. Sealed cookies are long: they are not looked at byte by byte.
fn pairs(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(b';', header).chain([header.len()]);
    let mut begin = 0;
    ends.filter_map(move |end| {
        let pair = header.get(begin..end);
        begin = end + 1;
        pair.map(<[u8]>::trim_ascii)
    })
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(headers: &[&[u8]]) -> Shown {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(COOKIE, HeaderValue::from_bytes(header).unwrap());
        }
        Shown::of(&map)
    }

    #[test]
    fn finds_its_own_among_others() {
        let cookies = shown(&[b"a=1; sid=abc;  xsid=no;sid2=no", b"sd=x=y; other=\xff"]);
        assert_eq!(cookies.get("sid"), Some("abc"));
        assert_eq!(cookies.get("sd"), Some("x=y"));
        assert_eq!(cookies.get("other"), None);
        assert!(cookies.has("other") && !cookies.has("id"));
        assert_eq!(shown(&[]).get("sid"), None);
        assert_eq!(shown(&[b"sid", b"=;;;sid="]).get("sid"), Some(""));
    }

    #[test]
    fn two_that_differ_are_none() {
        assert_eq!(shown(&[b"sid=a; sid=b"]).get("sid"), None);
        assert_eq!(shown(&[b"sid=a", b"sid=b"]).get("sid"), None);
        assert_eq!(shown(&[b"sid=a", b"sid=a"]).get("sid"), Some("a"));
    }

    #[test]
    fn they_are_set_as_browsers_want_them() {
        let mut headers = HeaderMap::new();
        Cookies::SECURE.give(&mut headers, Cookies::SECURE.id, "abc", 60);
        Cookies::PLAIN.remove(&mut headers);
        let lines: Vec<_> =
            headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "__Host-sid=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure",
                "sid=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
                "sd=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
            ]
        );
    }

    #[test]
    fn caches_are_told_once() {
        for (vary, expected) in
            [(None, 1), (Some("accept, COOKIE"), 1), (Some("*"), 1), (Some("accept"), 2)]
        {
            let mut headers = HeaderMap::new();
            if let Some(vary) = vary {
                headers.insert(VARY, HeaderValue::from_static(vary));
            }
            keep_from_caches(&mut headers);
            assert_eq!(headers.get_all(VARY).iter().count(), expected, "{vary:?}");
            assert_eq!(headers[CACHE_CONTROL], "no-cache=\"Set-Cookie\"");
        }
    }

    proptest! {
        #[test]
        fn what_was_set_is_found_whatever_stands_beside_it(
            before in "[ -:<-~]{0,40}", after in "[ -:<-~]{0,40}", value in "[a-zA-Z0-9_-]{0,40}"
        ) {
            prop_assume!(!before.trim().starts_with("sid=") && !after.trim().starts_with("sid="));
            let header = format!("{before}; sid={value};{after}");
            let cookies = shown(&[header.as_bytes()]);
            prop_assert_eq!(cookies.get("sid"), Some(value.as_str()));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|b| *b >= 32 && *b != 127).collect();
            let _ = shown(&[&bytes]).get("sid");
        }
    }
}
