//! The cookies that a response sets, and what it then tells caches.

use std::fmt::Write;

use cookie::{Cookie, time::Duration};
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, SET_COOKIE, VARY},
};

use super::cookie_settings::{CookieSettings, SameSite};

/// Sets one of the two cookies for so long.
pub(super) fn set(
    settings: &CookieSettings,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    seconds: u64,
) {
    let seconds = Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    write(settings, headers, name, value, Some(seconds).filter(|_| settings.is_persistent));
}

/// Takes both away.
pub(super) fn remove(settings: &CookieSettings, headers: &mut HeaderMap) {
    for name in [&settings.id, &settings.snapshot] {
        write(settings, headers, name, "", Some(Duration::ZERO));
    }
}

fn write(
    settings: &CookieSettings,
    headers: &mut HeaderMap,
    name: &str,
    value: &str,
    max_age: Option<Duration>,
) {
    let mut cookie = Cookie::build((name, value))
        .path(&*settings.path)
        .http_only(true)
        .same_site(match settings.same_site {
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::None => cookie::SameSite::None,
        })
        .secure(settings.is_secure);
    if let Some(max_age) = max_age {
        cookie = cookie.max_age(max_age);
    }
    if let Some(domain) = &settings.domain {
        cookie = cookie.domain(&**domain);
    }
    // A sealed value is some 4 KiB long: written once, without growing.
    let mut line = String::with_capacity(value.len() + 128);
    if write!(line, "{cookie}").is_ok()
        && let Ok(line) = HeaderValue::try_from(line)
    {
        headers.append(SET_COOKIE, line);
    }
}

/// An answer that sets a cookie is for one client alone, whatever the handler says to shared
/// caches.
pub(super) fn keep_from_caches(headers: &mut HeaderMap) {
    make_private(headers);
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

/// Takes back what allows a shared cache to keep the answer: not every cache heeds
/// `no-cache="Set-Cookie"`. An answer about which the handler says nothing is left to that.
fn make_private(headers: &mut HeaderMap) {
    let lines: Vec<HeaderValue> = headers.get_all(CACHE_CONTROL).iter().cloned().collect();
    let own = lines.iter().flat_map(|line| directives(line.as_bytes()));
    let mut own: Vec<&[u8]> = own.filter(|directive| !directive.is_empty()).collect();
    let is_one_of = |names: &[&str], directive: &[u8]| {
        let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default();
        names.iter().any(|other| name.trim_ascii().eq_ignore_ascii_case(other.as_bytes()))
    };
    if own.is_empty() || own.iter().any(|directive| is_one_of(&["no-store"], directive)) {
        return;
    }
    own.retain(|directive| !is_one_of(&["public", "private", "s-maxage"], directive));
    // First: a quote that the handler has left open cannot hide it.
    own.insert(0, b"private");
    if let Ok(line) = HeaderValue::from_bytes(&own.join(&b", "[..])) {
        headers.insert(CACHE_CONTROL, line);
    }
}

/// The parts between the commas that stand outside of quotes.
fn directives(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = line.split(move |byte| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match byte {
            b'\\' if is_quoted => is_escaped = !was_escaped,
            b'"' if !was_escaped => is_quoted = !is_quoted,
            _ => {}
        }
        *byte == b',' && !is_quoted
    });
    parts.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_set_as_browsers_want_them() {
        let default = CookieSettings::default();
        let plain = default.clone().insecure();
        let other = default.clone().with_domain("example.com").unwrap().with_path("/a").unwrap();
        let other = other.with_same_site(SameSite::Strict).unwrap();
        let mut other = other;
        other.is_persistent = false;
        let mut headers = HeaderMap::new();
        set(&default, &mut headers, &default.id, "abc", 60);
        remove(&plain, &mut headers);
        set(&other, &mut headers, &other.id, "abc", 60);
        remove(&other, &mut headers);
        let lines: Vec<_> =
            headers.get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            lines,
            [
                "__Host-sid=abc; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=60",
                "sid=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
                "sd=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0",
                "__Secure-sid=abc; HttpOnly; SameSite=Strict; Secure; Path=/a; Domain=example.com",
                "__Secure-sid=; HttpOnly; SameSite=Strict; Secure; Path=/a; Domain=example.com; Max-Age=0",
                "__Secure-sd=; HttpOnly; SameSite=Strict; Secure; Path=/a; Domain=example.com; Max-Age=0",
            ]
        );
    }

    #[test]
    fn private_wins_over_what_the_handler_says() {
        for (own, expected) in [
            (&["public, max-age=60"][..], Some("private, max-age=60")),
            (&["Public", "S-MaxAge=9,immutable"], Some("private, immutable")),
            (&["max-age=60"], Some("private, max-age=60")),
            (&["private=\"x, public\", max-age=1"], Some("private, max-age=1")),
            (&["ext=\"a\\\", public\", public"], Some("private, ext=\"a\\\", public\"")),
            (&["ext=\"open, public"], Some("private, ext=\"open, public")),
            (&["no-store"], Some("no-store")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in own {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            keep_from_caches(&mut headers);
            let lines: Vec<_> =
                headers.get_all(CACHE_CONTROL).iter().map(|v| v.to_str().unwrap()).collect();
            let expected: Vec<_> =
                expected.into_iter().chain(["no-cache=\"Set-Cookie\""]).collect();
            assert_eq!(lines, expected, "{own:?}");
        }
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
