//! Reading settings from the environment, with errors that say how to mend them.

use std::{env, str::FromStr, time::Duration};

use crate::Error;

/// Reads a duration written as `250ms`, `5s` or `1m` (also `us` and `h`; fractions are allowed).
///
/// ```
/// use std::time::Duration;
/// use evenkeel::config::parse_duration;
///
/// assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
/// assert_eq!(parse_duration("5"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * seconds_per_unit;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads the environment variable `name`, if it is set and not empty, with [`FromStr`].
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config), with the name, the value and the accepted `form`.
pub fn var<T: FromStr>(name: &str, form: &str) -> Result<Option<T>, Error> {
    var_with(name, form, |text| text.parse().ok())
}

/// Reads the environment variable `name`, if it is set and not empty, with `parse`.
///
/// # Errors
///
/// [`ErrorKind::Config`](crate::ErrorKind::Config), with the name, the value and the accepted `form`.
pub fn var_with<T>(
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
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-1s", "1 s", "5 minutes", "1e400s", "NaNs", "..5s", "1ms1s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn milliseconds_come_back(millis in 0_u64..1_000_000_000) {
            let read = parse_duration(&format!("{millis}ms")).unwrap();
            prop_assert!(read.abs_diff(Duration::from_millis(millis)) < Duration::from_micros(1));
        }
    }
}
