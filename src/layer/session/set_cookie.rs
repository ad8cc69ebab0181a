//! The cookies that a response sets, and what it then tells caches.

use std::fmt::Write;

use cookie::{Cookie, SameSite, time::Duration};
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, SET_COOKIE, VARY},
};

/// The names of the two cookies, and whether browsers return them by TLS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CookieNames {
    pub(super) id: &'static str,
    pub(super) snapshot: &'static str,
    is_secure: bool,
}

impl CookieNames {
    /// What browsers take from this very host and by TLS only.
    pub(super) const SECURE: Self =
        Self { id: "__Host-sid", snapshot: "__Host-sd", is_secure: true };
    /// For a server that is spoken to without TLS: a browser takes no `__Host-` there.
    pub(super) const PLAIN: Self = Self { id: "sid", snapshot: "sd", is_secure: false };

    /// Sets one of them for so long.
    pub(super) fn set(self, headers: &mut HeaderMap, name: &str, value: &str, seconds: u64) {
        let cookie = Cookie::build((name, value))
            .path("/")
            .max_age(Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)))
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_secure);
        // A sealed value is some 4 KiB long: written once, without growing.
        let mut line = String::with_capacity(value.len() + 128);
        if write!(line, "{cookie}").is_ok()
            && let Ok(line) = HeaderValue::try_from(line)
        {
            headers.append(SET_COOKIE, line);
        }
    }

    /// Takes both away.
    pub(super) fn remove(self, headers: &mut HeaderMap) {
        self.set(headers, self.id, "", 0);
        self.set(headers, self.snapshot, "", 0);
    }
}

/// An answer that sets a cookie is for one client alone.
pub(super) fn keep_from_caches(headers: &mut HeaderMap) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_set_as_browsers_want_them() {
        let mut headers = HeaderMap::new();
        CookieNames::SECURE.set(&mut headers, CookieNames::SECURE.id, "abc", 60);
        CookieNames::PLAIN.remove(&mut headers);
        let lines: Vec<_> =
            headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "__Host-sid=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60",
                "sid=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
                "sd=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
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
}
