//! A user namespace without rights over anything outside, a network without interfaces, and mounts that
//! are read-only but for one directory.
#![allow(
    unsafe_code,
    reason = "namespaces of a process with one thread, and a call without a binding"
)]

use std::{ffi::CString, os::unix::ffi::OsStrExt as _, path::Path};

use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    thread::UnshareFlags,
};

use super::Enforced;

/// Leaves the namespaces that can be left.
pub(super) fn leave(writable: Option<&Path>) -> Vec<Enforced> {
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWNS;
    // SAFETY: no descriptors are unshared, and there is one thread.
    if let Err(error) = unsafe { rustix::thread::unshare_unsafe(flags) } {
        let why = format!("unshare: {error}");
        return vec![
            Enforced::not("network_namespace", why.clone()),
            Enforced::not("read_only_mounts", why),
        ];
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
    let mounts = match close_mounts(writable) {
        Ok(()) => Enforced::by("read_only_mounts", "a mount namespace of its own"),
        Err(error) => Enforced::not("read_only_mounts", format!("mounts: {error}")),
    };
    vec![
        Enforced::by("network_namespace", "a network namespace of its own"),
        mounts,
    ]
}

/// Everything is read-only but for one directory: also modes and times of files, which Landlock leaves.
fn close_mounts(writable: Option<&Path>) -> std::io::Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private)?;
    if let Some(dir) = writable {
        mount_bind(dir, dir)?;
    }
    set_read_only(Path::new("/"), true)?;
    if let Some(dir) = writable
        && let Err(error) = set_read_only(dir, false)
    {
        // It must be able to write there: then the whole stays as it was.
        set_all(Path::new("/"), false)?;
        return Err(error);
    }
    Ok(())
}

fn set_read_only(path: &Path, read_only: bool) -> std::io::Result<()> {
    if read_only {
        return set_all(path, true);
    }
    set(path, false, 0)
}

fn set_all(path: &Path, read_only: bool) -> std::io::Result<()> {
    set(path, read_only, libc::AT_RECURSIVE.unsigned_abs())
}

fn set(path: &Path, read_only: bool, flags: u32) -> std::io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (on, off) = match read_only {
        true => (libc::MOUNT_ATTR_RDONLY, 0),
        false => (0, libc::MOUNT_ATTR_RDONLY),
    };
    let attributes = libc::mount_attr {
        attr_set: on,
        attr_clr: off,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path and the attributes live for the call, whose size of them is theirs.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error())
}
