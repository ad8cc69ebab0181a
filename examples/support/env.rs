//! Settings of the examples that the library does not read itself.

use std::{env, str::FromStr};

use evenkeel::{Error, ErrorKind};

/// The environment variable `name`, if it is set and not empty.
pub(crate) fn var<T: FromStr>(name: &str, form: &str) -> Result<Option<T>, Error> {
    var_with(name, form, |text| text.parse().ok())
}

/// The same, read with `parse`. The error names the variable, its value and the accepted `form`.
pub(crate) fn var_with<T>(
    name: &str,
    form: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, Error> {
    let invalid = |what: String| Error::new(ErrorKind::Config, format!("{name}: {what}"));
    match env::var(name) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(invalid(format!("{text:?} cannot be read; expected {form}"))),
        },
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(invalid("the value is not UTF-8".to_owned())),
    }
}
