//! Reads settings from the environment. Its errors name the variable, the value and the form.

use std::{env, str::FromStr, time::Duration};

use crate::Error;

/// Reads a duration written as `250ms`, `5s` or `1m`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    // `5 s` and `1m 30s` are none of these forms; humantime would take them.
    if text.contains(char::is_whitespace) { None } else { humantime::parse_duration(text).ok() }
}

/// Reads the environment variable `name`, if it is set and not empty, with [`FromStr`].
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config), with the name, the value and the accepted
/// `form`.
pub(crate) fn var<T: FromStr>(name: &str, form: &str) -> Result<Option<T>, Error> {
    var_with(name, form, |text| text.parse().ok())
}

/// Reads the environment variable `name`, if it is set and not empty, with `parse`.
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config), with the name, the value and the accepted
/// `form`.
pub(crate) fn var_with<T>(
    name: &str,
    form: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let Some(text) = raw(name)? else { return Ok(None) };
    match parse(&text) {
        Some(value) => Ok(Some(value)),
        None => Err(Error::config(format!("{name}: {text:?} cannot be read; expected {form}"))),
    }
}

/// The variable's text; `None` when it is not set or empty.
pub(crate) fn raw(name: &str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Error::config(format!("{name}: the value is not UTF-8")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_forms_that_the_contract_names() {
        for (text, millis) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("1m", 60_000),
            (" 2s ", 2_000),
            ("0ms", 0),
            ("1h", 3_600_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "5 s", "-1s", "1e400s", "NaNs", "..5s", "99999999999999999999s"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = duration(&text);
        }

        #[test]
        fn milliseconds_come_back(millis in 0_u64..1_000_000_000) {
            prop_assert_eq!(duration(&format!("{millis}ms")), Some(Duration::from_millis(millis)));
        }
    }
}
