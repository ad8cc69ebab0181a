//! Content negotiation: does a client prefer a special media type to `application/json`?

use http::{HeaderMap, header::ACCEPT};

/// Whether the client names `special`, with a weight at least that of `application/json` if it
/// names that, too. A wildcard names nothing: such a client gets what everybody gets.
pub(crate) fn prefers(request: &HeaderMap, special: &str) -> bool {
    // Nearly every request: no `Accept`, or one that needs no weighing.
    let mut wanted = None;
    let mut plain = None;
    for line in request.get_all(ACCEPT) {
        for range in line.to_str().unwrap_or_default().split(',') {
            let (media_type, parameters) = range.split_once(';').unwrap_or((range, ""));
            let place = if media_type.trim().eq_ignore_ascii_case(special) {
                &mut wanted
            } else if media_type.trim().eq_ignore_ascii_case("application/json") {
                &mut plain
            } else {
                continue;
            };
            *place = Some(quality(parameters));
        }
    }
    wanted.is_some_and(|wanted| wanted > 0.0 && plain.is_none_or(|plain| wanted >= plain))
}

/// The `q` among a range's parameters; 1 where there is none, 0 where it cannot be read.
fn quality(parameters: &str) -> f32 {
    for parameter in parameters.split(';') {
        if let Some((name, value)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            return value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0);
        }
    }
    1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn asks(lines: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_static(line));
        }
        prefers(&headers, "application/problem+json")
    }

    #[test]
    fn only_those_who_name_it_get_it() {
        assert!(asks(&["application/problem+json"]));
        assert!(asks(&["Application/Problem+JSON"]));
        assert!(asks(&["application/problem+json, application/json"]));
        assert!(asks(&["text/html", "application/problem+json;q=0.3"]));
        assert!(asks(&["application/json;q=0.5, application/problem+json; charset=utf-8; Q=0.9"]));
        for line in [
            "*/*",
            "application/*",
            "application/json",
            "application/problem+xml",
            "application/problem+json;q=0",
            "application/problem+json;q=nan",
            "application/problem+json;q=",
            "application/json, application/problem+json;q=0.9",
            "",
            ",;,=;q",
        ] {
            assert!(!asks(&[line]), "{line}");
        }
        assert!(!asks(&[]));
    }

    #[test]
    fn bytes_that_are_no_text_ask_for_nothing() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert!(!prefers(&headers, "application/problem+json"));
    }
}
