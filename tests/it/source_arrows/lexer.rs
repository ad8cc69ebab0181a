//! Rust source as tokens: no comments, and no tests.

/// A word, a literal, `::`, or one other character.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_') && !self.text.ends_with('"')
    }
}

/// All the tokens of a source.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let (mut tokens, mut line, mut rest) = (Vec::new(), 1, source);
    while let Some(first) = rest.chars().next() {
        let length = length(rest);
        let (text, after) = rest.split_at(length);
        let skipped = first.is_whitespace() || text.starts_with("//") || text.starts_with("/*");
        if !skipped {
            tokens.push(Token { text: text.to_owned(), line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Of what stands first: white space, a comment or a token.
fn length(rest: &str) -> usize {
    let word =
        |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let first = rest.chars().next().unwrap();
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(length) = string(rest) {
        return length;
    }
    match first {
        ':' if rest.starts_with("::") => 2,
        '\'' => quoted(rest).unwrap_or_else(|| 1 + word(&rest[1..])),
        _ if first.is_alphanumeric() || first == '_' => word(rest),
        _ => first.len_utf8(),
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `"…"`, `b"…"`, `c"…"`, `r"…"`, `r#"…"#` and their kin.
fn string(rest: &str) -> Option<usize> {
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    let raw = rest[..prefix].contains('r');
    let hashes = if raw { rest[prefix..].find(|c| c != '#')? } else { 0 };
    let begin = prefix + hashes + 1;
    if prefix > 2 || !rest[prefix + hashes..].starts_with('"') {
        return None;
    }
    if raw {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(begin + rest[begin..].find(&end)? + end.len());
    }
    let mut escaped = false;
    let end = rest[begin..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some(begin + end + 1)
}

/// `'x'` and `'\x'`; `None` for a lifetime.
fn quoted(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    let (at, second) = chars.next()?;
    match (first, second) {
        ('\\', _) => Some(at + 1 + rest[at + 1..].find('\'')? + 1),
        (_, '\'') => Some(at + 1),
        _ => None,
    }
}

/// Without what is there for tests only: `#[cfg(test)]`, `#[cfg(all(test, …))]`.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        let rest = &tokens[at..];
        let attribute = attribute(rest);
        if !is_for_tests(&rest[..attribute]) {
            let next = attribute.max(1);
            kept.extend_from_slice(&rest[..next]);
            at += next;
        } else if rest[1].is("!") {
            return Vec::new();
        } else {
            at += attribute + item(&rest[attribute..]);
        }
    }
    kept
}

/// How many tokens `#[…]` or `#![…]` takes; 0 if none stands first.
fn attribute(tokens: &[Token]) -> usize {
    let begin = match tokens {
        [hash, open, ..] if hash.is("#") && open.is("[") => 1,
        [hash, bang, open, ..] if hash.is("#") && bang.is("!") && open.is("[") => 2,
        _ => return 0,
    };
    begin + group(&tokens[begin..])
}

/// How many tokens the brackets that stand first take with what is in them.
pub(super) fn group(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

fn is_for_tests(attribute: &[Token]) -> bool {
    let text: String = attribute.iter().map(|token| token.text.as_str()).collect();
    ["[cfg(test)]", "[cfg(all(test,"].iter().any(|test| text.contains(test))
}

/// How many tokens an item, a field or a statement takes, with its other attributes.
fn item(tokens: &[Token]) -> usize {
    const ENDS_AT_SEMICOLON: &[&str] = &["use", "let", "const", "static", "type"];
    const ITEMS: &[&str] = &[
        "fn",
        "mod",
        "struct",
        "enum",
        "union",
        "trait",
        "impl",
        "async",
        "unsafe",
        "extern",
        "macro_rules",
        "#",
    ];
    let mut at = 0;
    while attribute(&tokens[at..]) > 0 {
        at += attribute(&tokens[at..]);
    }
    let mut first = at;
    if tokens.get(first).is_some_and(|token| token.is("pub")) {
        first += 1;
        if tokens.get(first).is_some_and(|token| token.is("(")) {
            first += group(&tokens[first..]);
        }
    }
    let first = tokens.get(first).map_or("", |token| token.text.as_str());
    let to_semicolon = ENDS_AT_SEMICOLON.contains(&first)
        && !tokens.get(at + 1).is_some_and(|token| token.is("fn"));
    let is_item = to_semicolon || ITEMS.contains(&first) || first == "const";
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            "{" if !to_semicolon => return at + group(&tokens[at..]),
            "(" | "[" | "{" => at += group(&tokens[at..]),
            _ => at += 1,
        }
    }
    at
}

/// How many lines have code on them.
pub(super) fn code_lines(tokens: &[Token]) -> usize {
    let lines =
        tokens.iter().flat_map(|token| token.line..=token.line + token.text.matches('\n').count());
    lines.collect::<std::collections::BTreeSet<_>>().len()
}
