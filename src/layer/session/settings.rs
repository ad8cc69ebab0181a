//! What the requests of one layer share.

use super::cookie_settings::CookieSettings;
use crate::store::session::Sessions;

pub(super) struct Settings {
    pub(super) sessions: Sessions,
    pub(super) cookies: CookieSettings,
}
