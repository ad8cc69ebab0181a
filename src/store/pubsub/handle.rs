//! What channels hold: the hub, and the task that listens for it.

use std::sync::Arc;

use super::hub::Hub;
use crate::redis::{Following, Need};

pub(super) struct Handle {
    pub(super) hub: Arc<Hub>,
    pub(super) _following: Following,
    pub(super) _need: Need,
}
