//! What the requests of one layer share.

use super::set_cookie::CookieNames;
use crate::store::session::Sessions;

pub(super) struct Settings {
    pub(super) sessions: Sessions,
    pub(super) cookies: CookieNames,
}
