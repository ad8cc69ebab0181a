//! The fixed words of Redis's own refusals: all that is shown of what a server says.
//!
//! A server repeats keys, values and passwords in its errors, quoted or not. What is shown comes
//! from this table, and nothing from the server.

/// What follows the code: the beginnings that are known, up to the first part that may vary.
const KNOWN: [(&str, &str); 46] = [
    ("ERR", "syntax error"),
    ("ERR", "unknown command"),
    ("ERR", "unknown subcommand"),
    ("ERR", "unknown or unsupported command"),
    ("ERR", "wrong number of arguments"),
    ("ERR", "value is not an integer or out of range"),
    ("ERR", "value is out of range"),
    ("ERR", "value is not a valid float"),
    ("ERR", "hash value is not an integer"),
    ("ERR", "hash value is not a float"),
    ("ERR", "increment or decrement would overflow"),
    ("ERR", "increment would produce NaN or Infinity"),
    ("ERR", "invalid expire time"),
    ("ERR", "timeout is not a float or out of range"),
    ("ERR", "timeout is not an integer or out of range"),
    ("ERR", "timeout is negative"),
    ("ERR", "no such key"),
    ("ERR", "index out of range"),
    ("ERR", "offset is out of range"),
    ("ERR", "bit offset is not an integer or out of range"),
    ("ERR", "bit is not an integer or out of range"),
    ("ERR", "string exceeds maximum allowed size"),
    ("ERR", "min or max is not a float"),
    ("ERR", "min or max not valid string range item"),
    ("ERR", "resulting score is not a number (NaN)"),
    ("ERR", "source and destination objects are the same"),
    ("ERR", "Number of keys can't be greater than number of args"),
    ("ERR", "Number of keys can't be negative"),
    ("ERR", "Error running script"),
    ("ERR", "Error compiling script"),
    ("ERR", "This Redis command is not allowed from script"),
    ("ERR", "Script attempted to access keys that do not hash to the same slot"),
    ("ERR", "MULTI calls can not be nested"),
    ("ERR", "EXEC without MULTI"),
    ("ERR", "DISCARD without MULTI"),
    ("ERR", "Protocol error"),
    ("EXECABORT", "Transaction discarded because of"),
    ("WRONGTYPE", "Operation against a key holding the wrong kind of value"),
    ("NOSCRIPT", "No matching script"),
    ("NOPERM", "this user has no permissions to run the"),
    ("NOPERM", "this user has no permissions to access one of the keys"),
    ("NOPERM", "this user has no permissions to access one of the channels"),
    ("CROSSSLOT", "Keys in request don't hash to the same slot"),
    ("BUSYGROUP", "Consumer Group name already exists"),
    ("BUSYKEY", "Target key name already exists"),
    ("NOGROUP", "No such key"),
];

/// The known words that `detail` begins with.
pub(super) fn fixed_words(code: &str, detail: &str) -> Option<&'static str> {
    let begins = |words: &str| {
        detail.strip_prefix(words).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    };
    let known = KNOWN.iter().filter(|(of, words)| *of == code && begins(words));
    known.map(|(_, words)| *words).max_by_key(|words| words.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_varies_is_shown() {
        for (code, detail, shown) in [
            ("ERR", "syntax error", Some("syntax error")),
            ("ERR", "syntax error script: f_a, on @user_script:1.", Some("syntax error")),
            ("ERR", "syntax errors", None),
            (
                "ERR",
                "unknown command 'HELLO', with args beginning with: 'pw'",
                Some("unknown command"),
            ),
            ("ERR", "unknown command `pw`, with args", Some("unknown command")),
            (
                "ERR",
                "value is not an integer or out of range",
                Some("value is not an integer or out of range"),
            ),
            ("ERR", "hunter2", None),
            ("ERR", "Error running script (call to f_1): hunter2", Some("Error running script")),
            ("NOGROUP", "No such key 'hunter2' or consumer group 'g'", Some("No such key")),
            ("WRONGTYPE", "syntax error", None),
        ] {
            assert_eq!(fixed_words(code, detail), shown, "{code} {detail}");
        }
    }

    #[test]
    fn no_entry_has_a_place_for_a_value() {
        for (code, words) in KNOWN {
            assert!(!words.contains(['\'', '"', '`', '%']) || words.contains("n't"), "{words}");
            assert_eq!(fixed_words(code, words), Some(words));
        }
    }
}
