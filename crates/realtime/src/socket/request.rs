//! What is known of a socket before it is one.

use std::sync::Arc;

use crate::{
    hub::Resume,
    services::{Identity, UnauthenticatedSlot},
};

/// What the request said before the upgrade.
#[derive(Debug)]
pub struct SocketRequest {
    /// Whom it wants to be: the id in the path.
    pub path_user: Option<Arc<str>>,
    /// Who it is, or a place to find out.
    pub credentials: Credentials,
    /// `_epoch` and `_offset` on each message.
    pub tracked: bool,
    /// Where it stopped last time.
    pub resume: Option<Resume>,
}

/// Who is behind a fresh socket.
#[derive(Debug)]
pub enum Credentials {
    /// Presented with the request.
    Verified(Identity),
    /// To come in a first message.
    Awaited(UnauthenticatedSlot),
}

/// Whether the user may have the connection that the path names.
pub fn may_connect_as(identity: &Identity, path_user: Option<&str>) -> bool {
    let principal = &identity.principal;
    path_user.is_none_or(|user| principal.is_superadmin || *principal.user_id == *user)
}
