//! The cookies that a request brings.

use std::collections::HashSet;

use http::{HeaderMap, HeaderValue, header::COOKIE};
use memchr::memchr_iter;

/// The `Cookie` headers of a request; HTTP/2 may send several. They are read only when asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestCookies {
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl RequestCookies {
    pub(super) fn new(headers: &HeaderMap) -> Self {
        let mut all = headers.get_all(COOKIE).iter().cloned();
        Self { first: all.next(), others: all.collect() }
    }

    /// The value of the cookie of this name.
    ///
    /// Two that differ are none: it is unknown who put them there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
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

    /// The different values of all cookies of this name, without quotes round them: a client that
    /// logs out may mean any of them.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let headers = self.first.iter().chain(&self.others);
        // A stranger can send tens of thousands: a look at all those before for each of them would
        // take seconds.
        let (mut all, mut seen) = (Vec::new(), HashSet::new());
        for pair in headers.flat_map(|header| pairs(header.as_bytes())) {
            let value = value_of(pair, name).and_then(|value| std::str::from_utf8(value).ok());
            let Some(value) = value else { continue };
            let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = quoted.unwrap_or(value);
            if seen.insert(value) {
                all.push(value);
            }
        }
        all
    }

    /// Whether there is a cookie of this name, whatever its value.
    pub(super) fn has(&self, name: &str) -> bool {
        let mut headers = self.first.iter().chain(&self.others);
        headers.any(|header| pairs(header.as_bytes()).any(|pair| value_of(pair, name).is_some()))
    }
}

/// `name=value` each. Sealed cookies are long: `memchr` skips them, where a cookie parser would
/// look at each byte and copy.
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

    fn request_cookies(headers: &[&[u8]]) -> RequestCookies {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(COOKIE, HeaderValue::from_bytes(header).unwrap());
        }
        RequestCookies::new(&map)
    }

    #[test]
    fn finds_its_own_among_others() {
        let cookies = request_cookies(&[b"a=1; sid=abc;  xsid=no;sid2=no", b"sd=x=y; other=\xff"]);
        assert_eq!(cookies.get("sid"), Some("abc"));
        assert_eq!(cookies.get("sd"), Some("x=y"));
        assert_eq!(cookies.get("other"), None);
        assert!(cookies.has("other") && !cookies.has("id"));
        assert_eq!(request_cookies(&[]).get("sid"), None);
        assert_eq!(request_cookies(&[b"sid", b"=;;;sid="]).get("sid"), Some(""));
    }

    #[test]
    fn all_are_found_each_once() {
        let cookies =
            request_cookies(&[b"sid=a; sd=x; sid=\"b\"; sid=a", b"sid=c;xsid=d; sid=\xff"]);
        assert_eq!(cookies.all("sid"), ["a", "b", "c"]);
        assert_eq!(cookies.all("sd"), ["x"]);
        assert!(cookies.all("id").is_empty());
    }

    #[test]
    fn two_that_differ_are_none() {
        assert_eq!(request_cookies(&[b"sid=a; sid=b"]).get("sid"), None);
        assert_eq!(request_cookies(&[b"sid=a", b"sid=b"]).get("sid"), None);
        assert_eq!(request_cookies(&[b"sid=a", b"sid=a"]).get("sid"), Some("a"));
    }

    proptest! {
        #[test]
        fn what_was_set_is_found_whatever_stands_beside_it(
            before in "[ -:<-~]{0,40}", after in "[ -:<-~]{0,40}", value in "[a-zA-Z0-9_-]{0,40}"
        ) {
            prop_assume!(!before.trim().starts_with("sid=") && !after.trim().starts_with("sid="));
            let header = format!("{before}; sid={value};{after}");
            let cookies = request_cookies(&[header.as_bytes()]);
            prop_assert_eq!(cookies.get("sid"), Some(value.as_str()));
        }

        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|b| *b >= 32 && *b != 127).collect();
            let _ = request_cookies(&[&bytes]).get("sid");
        }
    }
}
