//! Memory that is free but still held: by mimalloc, and by the C library, from which SQLite takes.
//!
//! mimalloc gives pages back when a thread allocates again, some time after they were freed. Once the
//! threads of many connections are gone nobody does, so it has to be told.

/// Gives back to the operating system what the allocators hold and nobody uses.
pub(super) fn give_back() {
    // SAFETY: takes no pointers; callable on any thread, and without effect where mimalloc is not
    // the allocator of the program.
    #[allow(unsafe_code, reason = "there is no safe wrapper")]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes no pointers, and locks what it works on.
    #[allow(unsafe_code, reason = "there is no safe wrapper")]
    unsafe {
        libc::malloc_trim(0);
    }
}
