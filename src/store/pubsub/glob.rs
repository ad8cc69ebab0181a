//! Patterns as Redis matches them, for what is published within this process.
//!
//! Redis's own (`stringmatchlen` in `util.c`) tries again after each `*`, which takes exponential
//! time for some patterns. This goes back to the last `*` alone, which finds the same matches: what
//! an earlier one could take more of, the last one can take, too.

/// Whether `text` matches: `*` any bytes, `?` any byte, `[a-c]`, `[^a]`, and `\` before a byte that
/// stands for itself.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*`: in the pattern, and in the text.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        match (text.get(t), one(&pattern[p.min(pattern.len())..])) {
            (None, None) => return true,
            (Some(byte), Some((one, length))) if one.takes(*byte) => {
                p += length;
                t += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((after, from)) if from < text.len() => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// The pattern that matches this text alone.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// What takes one byte.
enum One<'a> {
    Any,
    Byte(u8),
    /// What stands between the brackets.
    Class(&'a [u8]),
}

/// The first of a pattern, and how long it is there.
fn one(pattern: &[u8]) -> Option<(One<'_>, usize)> {
    Some(match pattern {
        [] => return None,
        [b'?', ..] => (One::Any, 1),
        [b'\\', byte, ..] => (One::Byte(*byte), 2),
        [b'[', class @ ..] => {
            let length = class_length(class);
            // Without its end a class goes on to the end of the pattern.
            (One::Class(&class[..length]), (length + 2).min(pattern.len()))
        }
        [byte, ..] => (One::Byte(*byte), 1),
    })
}

fn class_length(class: &[u8]) -> usize {
    let mut at = usize::from(class.first() == Some(&b'^'));
    loop {
        match class.get(at) {
            None | Some(b']') => return at.min(class.len()),
            Some(b'\\') if at + 1 < class.len() => at += 2,
            Some(_) if class.len() >= at + 3 && class[at + 1] == b'-' => at += 3,
            Some(_) => at += 1,
        }
    }
}

impl One<'_> {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => true,
            Self::Byte(one) => *one == byte,
            Self::Class([b'^', class @ ..]) => !class_has(class, byte),
            Self::Class(class) => class_has(class, byte),
        }
    }
}

fn class_has(mut class: &[u8], byte: u8) -> bool {
    loop {
        let (has, rest) = match class {
            [] => return false,
            [b'\\', one, rest @ ..] => (*one == byte, rest),
            [from, b'-', to, rest @ ..] => ((*from.min(to)..=*from.max(to)).contains(&byte), rest),
            [one, rest @ ..] => (*one == byte, rest),
        };
        if has {
            return true;
        }
        class = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_the_manual_has_it() {
        for (pattern, text, is_match) in [
            ("h?llo", "hallo", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h*llo", "hello!", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hbllo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[a-b]llo", "hcllo", false),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hallo", false),
            ("*", "", true),
            ("", "a", false),
            ("room:*:b", "room:a:b:b", true),
            ("room:*:b", "room:a:bc", false),
        ] {
            let found = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(10_000).as_bytes()));
    }

    proptest! {
        #[test]
        fn what_is_escaped_matches_itself_alone(text in ".{0,12}", other in ".{0,12}") {
            let escaped = escape(&text);
            prop_assert!(matches(escaped.as_bytes(), text.as_bytes()));
            prop_assert_eq!(matches(escaped.as_bytes(), other.as_bytes()), text == other);
        }

        #[test]
        fn any_bytes_are_a_pattern(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}
