//! How the two cookies are named, and to whom browsers return them.

use std::sync::Arc;

use crate::Error;

const LONGEST_NAME: usize = 64;

/// To requests from which sites a browser adds the cookies of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Only of one's own site. Whoever follows a link from elsewhere arrives without a session.
    Strict,
    /// Of one's own site, and where the user follows a link to it. Requests that another site sends
    /// by itself bring no session, so they cannot act for the user.
    #[default]
    Lax,
    /// Of any site: any page can act for the user, unless the application prevents it (with a
    /// token in each form). For what is embedded in other sites. Browsers take it only `Secure`.
    None,
}

/// The names and attributes, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CookieSettings {
    pub(super) id: Arc<str>,
    pub(super) snapshot: Arc<str>,
    pub(super) is_secure: bool,
    pub(super) same_site: SameSite,
    pub(super) domain: Option<Arc<str>>,
    pub(super) path: Arc<str>,
    /// They outlive the browser.
    pub(super) is_persistent: bool,
    has_own_names: bool,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            id: "__Host-sid".into(),
            snapshot: "__Host-sd".into(),
            is_secure: true,
            same_site: SameSite::default(),
            domain: None,
            path: "/".into(),
            is_persistent: true,
            has_own_names: false,
        }
    }
}

impl CookieSettings {
    pub(super) fn with_names(mut self, id: &str, snapshot: &str) -> Result<Self, Error> {
        for name in [id, snapshot] {
            let is_token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_token) {
                return Err(Error::config(format!(
                    "{name:?} cannot be the name of a cookie; expected 1 to {LONGEST_NAME} letters, \
                     digits and other characters of a token"
                )));
            }
        }
        if id == snapshot {
            return Err(Error::config("the two cookies of a session need two names"));
        }
        (self.id, self.snapshot, self.has_own_names) = (id.into(), snapshot.into(), true);
        self.checked()
    }

    pub(super) fn with_same_site(mut self, same_site: SameSite) -> Result<Self, Error> {
        self.same_site = same_site;
        self.checked()
    }

    pub(super) fn with_domain(mut self, domain: &str) -> Result<Self, Error> {
        let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
        let is_label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len()) && label.bytes().all(plain)
        };
        if domain.len() > 253 || !domain.split('.').all(is_label) {
            return Err(Error::config(format!(
                "{domain:?} cannot be the domain of a cookie; expected a name such as example.com"
            )));
        }
        self.domain = Some(domain.into());
        self.named_by_default().checked()
    }

    pub(super) fn with_path(mut self, path: &str) -> Result<Self, Error> {
        let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b';';
        if !path.starts_with('/') || !path.bytes().all(is_plain) {
            return Err(Error::config(format!(
                "{path:?} cannot be the path of a cookie; expected one that begins with /"
            )));
        }
        self.path = path.into();
        self.named_by_default().checked()
    }

    /// The names under which clients may hold the cookies of a session, ids and snapshots: today's,
    /// and those of other settings before.
    pub(super) fn all_names(&self) -> [Vec<&str>; 2] {
        let mut ids = vec![&*self.id, "__Host-sid", "__Secure-sid", "sid"];
        let mut snapshots = vec![&*self.snapshot, "__Host-sd", "__Secure-sd", "sd"];
        for names in [&mut ids, &mut snapshots] {
            let own = names[0];
            let mut at = 0;
            names.retain(|name| {
                at += 1;
                at == 1 || *name != own
            });
        }
        [ids, snapshots]
    }

    /// Without `Secure`, and so without what browsers allow only with it.
    pub(super) fn insecure(mut self) -> Self {
        self.is_secure = false;
        if self.same_site == SameSite::None {
            self.same_site = SameSite::Lax;
        }
        if self.has_own_names {
            (self.id, self.snapshot) = (bare(&self.id).into(), bare(&self.snapshot).into());
        }
        self.named_by_default()
    }

    /// The prefix that promises as much as the attributes keep.
    fn named_by_default(mut self) -> Self {
        if !self.has_own_names {
            let prefix = match self.is_secure {
                true if self.is_of_this_host() => "__Host-",
                true => "__Secure-",
                false => "",
            };
            self.id = format!("{prefix}sid").into();
            self.snapshot = format!("{prefix}sd").into();
        }
        self
    }

    fn is_of_this_host(&self) -> bool {
        self.domain.is_none() && &*self.path == "/"
    }

    /// A browser drops a cookie whose name promises more than its attributes keep, without a word.
    fn checked(self) -> Result<Self, Error> {
        for name in [&self.id, &self.snapshot] {
            // Browsers compare these prefixes without regard to case.
            let lower = name.to_ascii_lowercase();
            let wants_host = lower.starts_with("__host-");
            if wants_host && !(self.is_secure && self.is_of_this_host()) {
                return Err(Error::config(format!(
                    "{name}: __Host- needs Secure, Path=/ and no Domain"
                )));
            }
            if lower.starts_with("__secure-") && !self.is_secure {
                return Err(Error::config(format!("{name}: __Secure- needs Secure")));
            }
        }
        if self.same_site == SameSite::None && !self.is_secure {
            return Err(Error::config("SameSite=None needs Secure"));
        }
        Ok(self)
    }
}

fn bare(name: &str) -> &str {
    let prefix = ["__host-", "__secure-"].into_iter().find(|prefix| {
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    prefix.map_or(name, |prefix| &name[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(settings: &CookieSettings) -> [&str; 2] {
        [&settings.id, &settings.snapshot]
    }

    #[test]
    fn names_promise_what_the_attributes_keep() {
        let default = CookieSettings::default;
        assert_eq!(names(&default()), ["__Host-sid", "__Host-sd"]);
        let shared = default().with_domain(".Example.com").unwrap();
        assert_eq!(names(&shared), ["__Secure-sid", "__Secure-sd"]);
        assert_eq!(shared.domain.as_deref(), Some("example.com"));
        let below = default().with_path("/app").unwrap();
        assert_eq!(names(&below), ["__Secure-sid", "__Secure-sd"]);
        assert_eq!(names(&below.with_path("/").unwrap()), ["__Host-sid", "__Host-sd"]);
        assert_eq!(names(&shared.insecure()), ["sid", "sd"]);
        let own = default().with_names("__Host-a", "__Secure-b").unwrap();
        assert_eq!(names(&own.insecure()), ["a", "b"]);
    }

    #[test]
    fn what_browsers_would_drop_is_refused() {
        let default = CookieSettings::default;
        let own = default().with_names("__HOST-a", "b").unwrap();
        assert!(own.clone().with_domain("example.com").is_err());
        assert!(own.clone().with_path("/app").is_err());
        assert!(default().with_domain("example.com").unwrap().with_names("a", "__host-b").is_err());
        assert!(default().insecure().with_names("__Secure-a", "b").is_err());
        assert!(default().insecure().with_same_site(SameSite::None).is_err());
        let none = default().with_same_site(SameSite::None).unwrap();
        assert_eq!(none.insecure().same_site, SameSite::Lax);
        for name in ["", "a b", "a;b", "a=b", "ä", "a\r\nb", &"n".repeat(65)] {
            assert!(default().with_names(name, "b").is_err(), "{name}");
            assert!(default().with_names("b", name).is_err(), "{name}");
        }
        assert!(default().with_names("a", "a").is_err());
        for domain in ["", ".", "a..b", "a;b", "a b", "example.com; Path=/", "ä.example"] {
            assert!(default().with_domain(domain).is_err(), "{domain}");
        }
        for path in ["", "app", "/a;b", "/a\r\n", "/ä"] {
            assert!(default().with_path(path).is_err(), "{path}");
        }
    }
}
