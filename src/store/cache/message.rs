//! What instances tell each other: that something was invalidated.

use super::generations::Scope;

/// `<instance> key <key>`, `<instance> expired <key>` or `<instance> scope <generation> <scope>`,
/// the last written by Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message<'a> {
    Key(&'a str),
    Expired(&'a str),
    Scope(Scope, u64),
}

impl<'a> Message<'a> {
    pub(super) fn to_text(&self, instance: &str) -> String {
        match self {
            Self::Key(key) => format!("{instance} key {key}"),
            Self::Expired(key) => format!("{instance} expired {key}"),
            Self::Scope(scope, at) => format!("{instance} scope {at} {}", scope.to_text()),
        }
    }

    /// Who says it, and what.
    pub(super) fn parse(text: &'a str) -> Option<(&'a str, Self)> {
        let (instance, rest) = text.split_once(' ')?;
        let (kind, rest) = rest.split_once(' ')?;
        let message = match kind {
            "key" => Self::Key(rest),
            "expired" => Self::Expired(rest),
            "scope" => {
                let (generation, scope) = rest.split_once(' ')?;
                Self::Scope(Scope::parse(scope)?, generation.parse().ok()?)
            }
            _ => return None,
        };
        Some((instance, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_told_is_heard(text in ".{0,20}", generation: u64) {
            for message in [
                Message::Key(&text),
                Message::Expired(&text),
                Message::Scope(Scope::All, generation),
                Message::Scope(Scope::Prefix(text.as_str().into()), generation),
            ] {
                let told = message.to_text("me");
                prop_assert_eq!(Message::parse(&told), Some(("me", message)));
            }
        }

        #[test]
        fn anything_else_is_nothing(text in ".{0,40}") {
            let _ = Message::parse(&text);
        }
    }
}
