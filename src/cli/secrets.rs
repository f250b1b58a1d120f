//! Takes the gateway's secrets out of the environment, once they are read: plugins run in this process
//! and are not to find them there, nor the programs that they start.

use std::ffi::{CStr, c_char};

use mozaiks_config::{COMMANDS_OWN, KEYS, Secrecy};

#[expect(unsafe_code, reason = "the C library's own list")]
unsafe extern "C" {
    /// POSIX' list of `NAME=value` strings, ended by a null pointer.
    static environ: *const *mut c_char;
}

/// Removes every variable that may hold a secret: the secrets, and the URIs, which may hold a password.
///
/// What the kernel shows as `/proc/self/environ` is the memory that the process was started with, which
/// removing a variable does not touch: the values are overwritten in place first.
///
/// Call it before there is a second thread: the environment is shared and has no lock.
pub(super) fn remove_from_environment() {
    let names = KEYS
        .iter()
        .filter(|key| key.secrecy != Secrecy::Public)
        .flat_map(|key| std::iter::once(&key.variable).chain(key.aliases))
        // A token of an admin, where the shell has one for other commands.
        .chain(&COMMANDS_OWN);
    for name in names {
        wipe(name);
        // SAFETY: only this thread exists, so nobody reads the environment meanwhile.
        #[expect(unsafe_code, reason = "there is no safe way to unset a variable")]
        unsafe {
            std::env::remove_var(name);
        }
    }
}

/// Overwrites the value of each entry of that name; the list may hold one twice.
#[expect(unsafe_code, reason = "the strings belong to the C library")]
fn wipe(name: &str) {
    // SAFETY: only this thread exists. The list and its strings are those that the process was started
    // with, writable and ended by NUL; nothing is written beyond a string's own end.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if let Some(value) = text
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            {
                let (at, length) = (text.len() - value.len(), value.len());
                std::ptr::write_bytes((*entry).add(at), 0, length);
            }
            entry = entry.add(1);
        }
    }
}
