//! `/__mozaiks/admin/…`: what admins see and do, one file a resource. Every handler takes an
//! [`Admin`](super::identify::Admin), and answers for the admin's own
//! app; `status` is the process's.

pub(super) mod events;
pub(super) mod notifications;
pub(super) mod status;
