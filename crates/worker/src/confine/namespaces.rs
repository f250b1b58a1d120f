//! A user namespace without rights over anything outside, and a network without interfaces.
#![allow(unsafe_code, reason = "unshare of what a process with one thread has")]

use rustix::thread::UnshareFlags;

use super::Enforced;

/// Leaves the namespaces that can be left.
pub(super) fn leave() -> Enforced {
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let flags =
        UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: no descriptors are unshared, and there is one thread.
    if let Err(error) = unsafe { rustix::thread::unshare_unsafe(flags) } {
        return Enforced::not("network_namespace", format!("unshare: {error}"));
    }
    // The same names inside: without them files would seem to be nobody's. A kernel that refuses takes
    // nothing away by it.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        std::fs::write(format!("/proc/self/{file}"), text).ok();
    }
    Enforced::by("network_namespace", "a network namespace of its own")
}
